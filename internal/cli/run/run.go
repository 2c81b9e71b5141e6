// Package run is the command run: it serves the manifests of a cluster on this machine.
package run

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/local"
	"github.com/modelroute/modelroute/internal/local/manifest"
)

// drainTimeout is how long requests that have begun may take after SIGTERM: as long as an upstream may take for one where a route does not
// say otherwise.
const drainTimeout = 10 * time.Minute

const manual = `Serves every ModelRoute in the files on one address, with its budgets, rate limits and consumers,
without a cluster: the same proxy, the same ledger, one process. A request's key and its model say
which route it is for. Manifests are checked as a cluster checks them: by the CRD's schema and
rules, and no field may be unknown.

The API key of an upstream is in a Secret in the files, or in an environment variable that --secret
names.

Each consumer gets its Secret as a file in DIR/secrets/NAMESPACE, as YAML and for a shell; an
existing key is kept. Delete the YAML file to get a new key: the old one is refused from then on.

A file that changes is read again within seconds. A change that is wrong is refused, with the
reason, and what was good is served on.

SIGTERM and Ctrl-C let requests that have begun finish. A second one ends at once, and so does kill
-9: nothing that was spent is lost, the next run on DIR has it in its books.

Files:
  DIR/secrets/NAMESPACE/NAME.yaml   a consumer's Secret
  DIR/secrets/NAMESPACE/NAME.env    the same for a shell: set -a; . FILE; set +a
  DIR/ledger                        the books, for the commands of ledger: ledger history --data-dir DIR/ledger
  DIR/journal                       what the proxy has written down before it acted
  DIR/upstreams                     the upstreams' keys, while it runs

Exit status: 0 after SIGTERM or Ctrl-C, 1 if it cannot serve, 2 if it was called wrongly or the
manifests are refused; it says why.`

const examples = `  # The sample route, with the key from the environment:
  kubectl-modelroute run -f config/samples/mixtral-8x22b-instruct.yaml \
    --secret ai-platform/openrouter/apiKey=env:OPENROUTER_API_KEY
  # Then, in another shell:
  set -a; . .modelroute/secrets/ai-platform/mixtral-8x22b-instruct-search.env; set +a
  kubectl-modelroute chat "$MODEL" --url "$OPENAI_BASE_URL" "What is a ledger?"`

// New is the command.
func New(s *shell.Shell) *cobra.Command {
	options := local.Options{
		Secrets: map[manifest.SecretKey]string{}, DrainTimeout: drainTimeout, Announce: s.Out, Clock: s.Clock,
		Logger:       slog.New(slog.NewTextHandler(s.Diagnostics, nil)),
		LedgerLogger: slog.New(slog.NewTextHandler(s.Diagnostics, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	var secrets []string
	command := &cobra.Command{
		Use: "run -f FILE...", Short: "Serve the manifests of a cluster on this machine, without a cluster",
		Long: manual, Example: examples, Args: shell.Words(0, 0, ""),
		RunE: func(command *cobra.Command, _ []string) error {
			for _, text := range secrets {
				key, value, err := secret(text, s.LookupEnv)
				if err != nil {
					return err
				}
				options.Secrets[key] = value
			}
			switch {
			case len(options.Files) == 0:
				return shell.Misused("name a file with manifests, with -f FILE")
			case options.DataDir == "":
				return shell.Misused("--data-dir must not be empty")
			}
			return local.Run(command.Context(), options)
		},
	}
	flags := command.Flags()
	flags.StringArrayVarP(&options.Files, "filename", "f", nil,
		"a `FILE` with manifests, ModelRoutes and Secrets, as YAML with any number of documents; repeatable")
	// As it stands, since a flag's own error repeats the value, which may be the key itself.
	flags.StringArrayVar(&secrets, "secret", nil,
		"`NAMESPACE/NAME/KEY=env:VARIABLE` takes one value of a Secret from the environment, before what the files have; repeatable")
	flags.StringVar(&options.Listen, "listen", "127.0.0.1:8080",
		"the `ADDRESS` where clients call, /v1/... and /api/v1/..., and where the pages for people are, at /")
	flags.StringVar(&options.AdminListen, "admin-listen", "127.0.0.1:8081", "the `ADDRESS` where /healthz, /readyz and /metrics are")
	flags.StringVar(&options.DataDir, "data-dir", local.DefaultDataDir,
		"the `DIR` where everything is kept that must survive; one run at a time has it")
	return command
}

// secret reads NAMESPACE/NAME/KEY=env:VARIABLE. Its errors never repeat what follows the equals sign unless that names a variable.
func secret(text string, lookupEnv func(string) (string, bool)) (manifest.SecretKey, string, error) {
	const form = "--secret must be NAMESPACE/NAME/KEY=env:VARIABLE"
	name, source, found := strings.Cut(text, "=")
	parts := strings.Split(name, "/")
	if !found || len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return manifest.SecretKey{}, "", shell.MisusedBy(errors.New(form))
	}
	variable, fromEnv := strings.CutPrefix(source, "env:")
	if !fromEnv || variable == "" {
		return manifest.SecretKey{}, "", shell.Misused(
			"%s; for %s it names no variable: export the key in one, since everybody can read arguments", form, name)
	}
	value, _ := lookupEnv(variable)
	if strings.TrimSpace(value) == "" {
		return manifest.SecretKey{}, "", shell.Misused("--secret %s: the environment has nothing in %s: export it first", name, variable)
	}
	return manifest.SecretKey{Namespace: parts[0], Name: parts[1], Key: parts[2]}, value, nil
}
