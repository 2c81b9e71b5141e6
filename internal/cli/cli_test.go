package cli

import (
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/cli/shell"
)

// commanded runs a command in this process.
func commanded(t *testing.T, words ...string) (status int, output, diagnostics string) {
	t.Helper()
	var out, told strings.Builder
	environment := map[string]string{"KEY": "sk-or-key", "EMPTY": " "}
	status = Execute(t.Context(), words, &shell.Shell{
		In: strings.NewReader(""), Out: &out, Diagnostics: &told, Clock: clock.RealClock{},
		LookupEnv: func(name string) (string, bool) { value, found := environment[name]; return value, found },
	}, "unknown")
	return status, out.String(), told.String()
}

func TestCallsThatMakeNoSenseAreRefused(t *testing.T) {
	cases := map[string]struct {
		words []string
		want  string
	}{
		"no command":                         {nil, "kubectl-modelroute COMMAND"},
		"an unknown command":                 {[]string{"serve"}, `there is no command "serve", only chat, completion, doctor, help, keys, models, run, usage, version`},
		"help for an unknown command":        {[]string{"help", "serve"}, `there is no command "serve"`},
		"no file":                            {[]string{"run"}, "name a file with manifests, with -f FILE"},
		"an unknown flag":                    {[]string{"run", "--surprise"}, "surprise"},
		"an argument":                        {[]string{"run", "-f", "a.yaml", "b.yaml"}, `unexpected argument "b.yaml"`},
		"no data directory":                  {[]string{"run", "-f", "a.yaml", "--data-dir="}, "--data-dir must not be empty"},
		"a secret without a name":            {[]string{"run", "-f", "a.yaml", "--secret=apiKey=env:KEY"}, "--secret must be NAMESPACE/NAME/KEY=env:VARIABLE"},
		"a secret in the arguments":          {[]string{"run", "-f", "a.yaml", "--secret=ai/openrouter/apiKey=sk-or-key"}, "for ai/openrouter/apiKey it names no variable"},
		"a secret in no variable":            {[]string{"run", "-f", "a.yaml", "--secret=ai/openrouter/apiKey=env:NONE"}, "the environment has nothing in NONE"},
		"a secret in an empty variable":      {[]string{"run", "-f", "a.yaml", "--secret=ai/openrouter/apiKey=env:EMPTY"}, "the environment has nothing in EMPTY"},
		"a file that is not there":           {[]string{"run", "-f", "missing.yaml"}, "missing.yaml: cannot be read: no such file"},
		"usage in an unknown form":           {[]string{"usage", "-o", "yaml"}, `-o is "yaml", must be table, json or csv`},
		"models in an unknown form":          {[]string{"models", "-o", "yaml"}, `-o is "yaml", must be table or json`},
		"chat with nobody":                   {[]string{"chat"}, "it needs a ROUTE"},
		"an unknown command of keys":         {[]string{"keys", "steal"}, `unexpected argument "steal"`},
		"usage with an argument":             {[]string{"usage", "everything"}, `unexpected argument "everything"`},
		"usage of no directory":              {[]string{"usage", "--data-dir="}, "--data-dir must not be empty"},
		"a word behind the version":          {[]string{"version", "please"}, `unexpected argument "please"`},
		"a misuse tells where the manual is": {[]string{"usage", "-o", "yaml"}, "How it is used: kubectl-modelroute usage --help"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			status, output, diagnostics := commanded(t, test.words...)
			wantEqual(t, ExitUsage, status)
			wantContains(t, diagnostics, test.want)
			if strings.Contains(output+diagnostics, "sk-or-key") {
				t.Errorf("it tells the key: %s", diagnostics)
			}
		})
	}
}

func TestUsageOfADirectoryWithoutBooksSaysWhatToDo(t *testing.T) {
	status, _, diagnostics := commanded(t, "usage", "--data-dir", t.TempDir())
	wantEqual(t, ExitFailed, status)
	wantContains(t, diagnostics, "there are no books in", "--data-dir", "start one with run")
}

func TestHelpExplainsEveryCommandAndEveryFlag(t *testing.T) {
	cases := map[string][]string{
		"":        {"run ", "usage ", "models ", "keys ", "chat ", "doctor ", "completion ", "version ", "kubectl modelroute"},
		"run":     {"-f, --filename FILE", "--listen ADDRESS", "--admin-listen ADDRESS", "--data-dir DIR", "--secret NAMESPACE/NAME/KEY=env:VARIABLE"},
		"usage":   {"--data-dir DIR", "-o, --output FORMAT", "--by", "Which books it shows", "--context CONTEXT", "-n, --namespace NAMESPACE"},
		"models":  {"--all-namespaces", "--output FORMAT", "for a cluster"},
		"keys":    {"list", "rotate", "revoke", "env"},
		"chat":    {"--url URL", "--consumer CONSUMER", "OPENAI_API_KEY"},
		"doctor":  {"--system-namespace", "Exit status"},
		"version": {"Print the version"},
	}
	for name, parts := range cases {
		calls := [][]string{{"help", name}, {name, "--help"}, {name, "-h"}}
		if name == "" {
			calls = [][]string{{"help"}, {"--help"}, {"-h"}, {"help", "help"}}
		}
		for _, words := range calls {
			status, output, _ := commanded(t, words...)
			wantEqual(t, ExitOK, status)
			wantContains(t, output, parts...)
		}
	}
}

func TestTheVersionIsTold(t *testing.T) {
	for _, words := range [][]string{{"version"}, {"--version"}} {
		status, output, _ := commanded(t, words...)
		wantEqual(t, ExitOK, status)
		wantEqual(t, "kubectl-modelroute unknown\n", output)
	}
}

func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in:\n%s", part, text)
		}
	}
}

func wantEqual[T comparable](t *testing.T, want, got T) {
	t.Helper()
	if want != got {
		t.Errorf("got %v, want %v", got, want)
	}
}
