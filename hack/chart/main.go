// Command chart makes the templates of charts/modelroute from config/chart, which is config/ with templates in the place of what the values
// of the chart change. So there is one source of what is installed: the chart has no manifest of its own.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
)

// stores are the kustomizations of config/chart and the value of ledger.store that asks for each.
var stores = []store{{folder: "sqlite", value: "SQLite"}, {folder: "postgresql", value: "PostgreSQL"}}

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	kustomize := flag.String("kustomize", "bin/kustomize", "the kustomize to build with")
	source := flag.String("source", "config/chart", "folder with a kustomization for each store")
	target := flag.String("target", "charts/modelroute/templates", "folder whose *.yaml are written anew")
	flag.Parse()
	if err := run(context.Background(), *kustomize, *source, *target); err != nil {
		logger.Error("The chart is not made", slog.Any("error", err))
		os.Exit(1)
	}
}

func run(ctx context.Context, kustomize, source, target string) error {
	built := make([]string, len(stores))
	for i, one := range stores {
		output, err := build(ctx, kustomize, filepath.Join(source, one.folder))
		if err != nil {
			return err
		}
		built[i] = output
	}
	files, err := templates(stores, built)
	if err != nil {
		return err
	}
	return write(target, files)
}

func build(ctx context.Context, kustomize, folder string) (string, error) {
	var output, problems bytes.Buffer
	command := exec.CommandContext(ctx, kustomize, "build", folder) //nolint:gosec // The caller says which kustomize.
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", folder, err, bytes.TrimSpace(problems.Bytes()))
	}
	return output.String(), nil
}

// write leaves in the folder exactly these files with the suffix .yaml.
func write(folder string, files map[string]string) error {
	stale, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", folder, err)
	}
	for _, file := range stale {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing what was made before: %w", err)
		}
	}
	for name, content := range files {
		//nolint:gosec // A chart is for everyone to read.
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("writing a template: %w", err)
		}
	}
	return nil
}
