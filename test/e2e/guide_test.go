//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/test/guide"
)

func TestTheFiveMinutesOnAClusterWorkAsThePageHasThem(t *testing.T) {
	l := newLesson(t)
	const heading = "On a cluster that you have"
	var said string
	l.follow("getting-started.md", func(one string) bool { return one == heading }, map[string]turn{
		heading: func(_ int, run func() string) { said += run() },
	})
	if !strings.Contains(said, `"choices"`) || l.billed().IsZero() {
		t.Errorf("the model was not asked:\n%s", said)
	}
	if _, table, _ := strings.Cut(said, "NAMESPACE "); !strings.Contains(table, l.models) {
		t.Errorf("the route and its spend are not shown:\n%s", said)
	}
}

func TestTheTutorialWorksAsThePageHasIt(t *testing.T) {
	a := startArgo(t)
	l := newLesson(t)
	// Another name than that of the other test's Application, whose objects this one would prune.
	app := &application{argo: a, scene: l.scene, name: l.namespace}
	l.replaced = append(l.replaced, "https://git.example/platform/models.git", a.url, "{name: models, namespace: argocd}",
		"{name: "+app.name+", namespace: argocd}", "application/models", "application/"+app.name, "application models", "application "+app.name)
	budget := &v1alpha1.TeamBudget{ObjectMeta: metav1.ObjectMeta{Name: l.team}}
	l.deletedAtTheEnd(budget)

	all := func(string) bool { return true }
	asking := func(want string) (bool, string) {
		said := l.run("ask")
		return strings.Contains(said, want), said
	}
	l.follow("tutorial.md", all, map[string]turn{
		"The Application": func(block int, run func() string) {
			if block == 0 {
				app.push("Add a model", l.files("route.yaml", "team.yaml", "key.yaml"))
			}
			run()
		},
		"The team asks": func(block int, run func() string) {
			if said := run(); block == 1 && !strings.Contains(said, "HTTP 200") {
				t.Errorf("the model does not answer:\n%s", said)
			}
		},
		"The budget ends": func(block int, run func() string) {
			if said := run(); block == 0 && !strings.Contains(strings.ToLower(said), "team "+l.team+"'s budget") {
				t.Errorf("the last answer does not say whose budget is used up:\n%s", said)
			}
		},
		"A commit raises it": func(_ int, run func() string) {
			files := l.files("team.yaml")
			for name, content := range files {
				files[name] = strings.Replace(content, `"0.02"`, `"1.00"`, 1)
			}
			app.push("Raise a budget", files)
			eventually(t, "an answer after the budget was raised", func() (bool, string) {
				app.refresh()
				said := run()
				return strings.Contains(said, "HTTP 200"), said
			})
		},
		"Somebody edits it by hand": func(_ int, run func() string) {
			run()
			eventually(t, "the amount being that of git again", func() (bool, string) {
				if err := l.Get(t.Context(), client.ObjectKeyFromObject(budget), budget); err != nil {
					return false, err.Error()
				}
				amount := budget.Spec.Budgets[0].Amount
				return amount == "1.00", string(amount)
			})
		},
		"An emergency": func(block int, run func() string) {
			run()
			want := []string{"HTTP 503", "HTTP 200"}[block]
			eventually(t, want, func() (bool, string) { return asking(want) })
		},
	})
	if l.billed().IsZero() {
		t.Error("the upstream was not asked")
	}
}

// lesson is a page of the guide that somebody follows at the cluster. What is on the page runs as it stands, but for these: the operator
// under test is there already; the upstream is the scene's; and names and ports are ones that nobody else has.
type lesson struct {
	*scene
	shell *guide.Shell
	// dir is where the commands run and the files are.
	dir string
	// models and team are the namespaces in the place of ai-platform and search; team is the team's name as well.
	models, team string
	port         string
	replaced     []string
}

// turn runs one block of a section, by its place there, from 0. run returns what its commands say.
type turn func(block int, run func() string)

func newLesson(t *testing.T) *lesson {
	t.Helper()
	kube := connect(t)
	l := &lesson{scene: &scene{cluster: kube, t: t, namespace: kube.namespace(t)}, dir: t.TempDir(), port: port(address(t))}
	l.startUpstream()
	l.models, l.team = l.namespace+"-models", l.namespace+"-team"
	for _, name := range []string{l.models, l.team} {
		l.deletedAtTheEnd(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	upstream := "http://openrouter." + l.namespace + ".svc/api/v1"
	l.replaced = []string{
		// A namespace is deleted only as fast as its pods could at the slowest take to drain.
		"https://openrouter.ai/api/v1,", upstream + ", timeoutSeconds: 20,",
		"https://openrouter.ai/api/v1\n", upstream + "\n    timeoutSeconds: 20\n",
		"ai-platform", l.models, "8080:80", l.port + ":80", "127.0.0.1:8080", "127.0.0.1:" + l.port,
	}

	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(repository, "config"), filepath.Join(l.dir, "config")); err != nil {
		t.Fatal(err)
	}
	kubeconfig := cmp.Or(os.Getenv("KUBECONFIG"), filepath.Join(repository, ".cluster/kubeconfig"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	t.Cleanup(cancel)
	l.shell, err = guide.Start(ctx, l.dir, append(os.Environ(), "KUBECONFIG="+kubeconfig, "OPENROUTER_API_KEY=sk-or-e2e",
		"PATH="+filepath.Join(repository, ".cluster/bin")+":"+os.Getenv("PATH")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.shell.Close)
	return l
}

func (l *lesson) deletedAtTheEnd(object client.Object) {
	l.t.Cleanup(func() {
		if err := client.IgnoreNotFound(l.Delete(context.WithoutCancel(l.t.Context()), object)); err != nil {
			l.t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
		}
	})
}

// follow saves the files of a page's sections, and runs their commands, each section in its own way where there is one.
func (l *lesson) follow(page string, chosen func(heading string) bool, ways map[string]turn) {
	l.t.Helper()
	sections, err := guide.Read(filepath.Join("../../docs", page))
	if err != nil {
		l.t.Fatal(err)
	}
	followed := 0
	for _, section := range sections {
		if !chosen(section.Heading) {
			continue
		}
		for i, block := range section.Blocks {
			l.t.Logf("%s:%d", page, block.Line)
			followed++
			run := func() string { return l.take(page, block) }
			if way := ways[section.Heading]; way != nil {
				way(i, run)
			} else {
				run()
			}
		}
	}
	if followed == 0 {
		l.t.Fatalf("%s has nothing to follow", page)
	}
}

// installs is the command that installs a release.
var installs = regexp.MustCompile(`(?m)^kubectl apply .*/releases/download/.*$`)

var teamName = regexp.MustCompile(`\bsearch\b`)

// take saves a block as the file that the page calls it, or runs it as commands.
func (l *lesson) take(page string, block guide.Block) string {
	l.t.Helper()
	text := strings.NewReplacer(l.replaced...).Replace(installs.ReplaceAllString(block.Text, ":"))
	text = teamName.ReplaceAllString(text, l.team)
	switch {
	case block.Language == "yaml" && block.File != "":
		if err := os.WriteFile(filepath.Join(l.dir, block.File), []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
		return ""
	case block.Language == "sh":
		said := l.run(text)
		if strings.Contains(text, " port-forward ") {
			l.awaitPort()
		}
		return said
	}
	l.t.Fatalf("%s:%d: this block is neither commands nor a file with a name", page, block.Line)
	return ""
}

func (l *lesson) run(commands string) string {
	l.t.Helper()
	said, err := l.shell.Run(commands)
	if err != nil {
		l.t.Fatal(err)
	}
	return said
}

// awaitPort waits as people do, who see that a port is forwarded before they type on.
func (l *lesson) awaitPort() {
	l.t.Helper()
	eventually(l.t, "the port being forwarded", func() (bool, string) {
		connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(l.t.Context(), "tcp", "127.0.0.1:"+l.port)
		if err != nil {
			return false, err.Error()
		}
		_ = connection.Close()
		return true, ""
	})
}

// files are saved files, by their paths in the repository that Argo CD reads.
func (l *lesson) files(names ...string) map[string]string {
	l.t.Helper()
	found := map[string]string{}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil {
			l.t.Fatal(err)
		}
		found["models/"+name] = string(content)
	}
	return found
}
