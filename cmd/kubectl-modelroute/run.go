package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/local"
	"github.com/modelroute/modelroute/internal/local/manifest"
)

// drainTimeout is how long requests that have begun may take after SIGTERM: as long as an upstream may take for one where a route does not
// say otherwise.
const drainTimeout = 10 * time.Minute

// run serves manifests on this machine.
func (c *command) run(ctx context.Context) error {
	options := local.Options{
		Secrets: map[manifest.SecretKey]string{}, DrainTimeout: drainTimeout, Announce: c.out, Clock: c.clock,
		Logger:       slog.New(slog.NewTextHandler(c.diagnostics, nil)),
		LedgerLogger: slog.New(slog.NewTextHandler(c.diagnostics, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	file := func(name string) error {
		options.Files = append(options.Files, name)
		return nil
	}
	// What is wrong with a secret is kept apart: flag's own message would repeat the value, which may be the key itself.
	var secretErr error
	c.flags.Func("f", "", file)
	c.flags.Func("filename", "", file)
	c.flags.Func("secret", "", func(text string) error {
		key, value, err := c.secret(text)
		options.Secrets[key] = value
		secretErr = errors.Join(secretErr, err)
		return nil
	})
	c.flags.StringVar(&options.Listen, "listen", "127.0.0.1:8080", "")
	c.flags.StringVar(&options.AdminListen, "admin-listen", "127.0.0.1:8081", "")
	c.flags.StringVar(&options.DataDir, "data-dir", defaultDataDir, "")
	if err := c.parse(0); err != nil {
		return err
	}
	switch {
	case secretErr != nil:
		return usageError{secretErr}
	case len(options.Files) == 0:
		return usageError{errors.New("name a file with manifests, with -f FILE")}
	case options.DataDir == "":
		return usageError{errors.New("--data-dir must not be empty")}
	}
	return local.Run(ctx, options)
}

// secret reads NAMESPACE/NAME/KEY=env:VARIABLE. Its errors never repeat what follows the equals sign unless that names a variable.
func (c *command) secret(text string) (manifest.SecretKey, string, error) {
	const form = "--secret must be NAMESPACE/NAME/KEY=env:VARIABLE"
	name, source, found := strings.Cut(text, "=")
	parts := strings.Split(name, "/")
	if !found || len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return manifest.SecretKey{}, "", errors.New(form)
	}
	variable, fromEnv := strings.CutPrefix(source, "env:")
	if !fromEnv || variable == "" {
		return manifest.SecretKey{}, "", fmt.Errorf(
			"%s; for %s it names no variable: export the key in one, since everybody can read arguments", form, name)
	}
	value, _ := c.lookupEnv(variable)
	if strings.TrimSpace(value) == "" {
		return manifest.SecretKey{}, "", fmt.Errorf("--secret %s: the environment has nothing in %s: export it first", name, variable)
	}
	return manifest.SecretKey{Namespace: parts[0], Name: parts[1], Key: parts[2]}, value, nil
}
