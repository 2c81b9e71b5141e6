package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/cli"
)

func TestAnyClientWorksWithWhatTheShellSources(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", "")+"---\n"+w.route("other", ""))
	s := w.start("-f", "chat.yaml", keyFlag)

	wantContains(t, w.answered("chat-search", "What is a ledger?", http.StatusOK), `"object":"chat.completion"`)
	wantContains(t, w.rest(w.ask("chat-search", "What is a ledger?", true)), "chat.completion.chunk", "data: [DONE]\n\n")
	environment := w.environment("other-search")
	wantEqual(t, "other-model", environment["MODEL"])
	likeOpenRouter := strings.Replace(environment["OPENAI_BASE_URL"], "/v1", "/api/v1", 1) + "/chat/completions"
	wantEqual(t, http.StatusOK, w.post(likeOpenRouter, environment["OPENAI_API_KEY"], "other-model", "Why?", false).StatusCode)
	wantEqual(t, http.StatusNotFound, w.post(likeOpenRouter, environment["OPENAI_API_KEY"], "chat-model", "Why?", false).StatusCode)
	wantEqual(t, http.StatusUnauthorized, w.post(likeOpenRouter, "wrong", "other-model", "Why?", false).StatusCode)

	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		wantEqual(t, http.StatusOK, w.status(s.admin+path))
	}
	w.wantBooksEqual()
	s.end()
	w.wantBooksEqual()
}

func TestARunIsAskedByChat(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", limited("1.00")))
	s := w.start("-f", "chat.yaml", keyFlag)
	environment := w.environment("chat-search")
	asking := w.command("chat", environment["MODEL"], "--url", environment["OPENAI_BASE_URL"], "What is a ledger?")
	asking.Env = append(asking.Env, "OPENAI_API_KEY="+environment["OPENAI_API_KEY"])
	said, err := asking.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	wantContains(t, string(said), "It cost "+w.billed().String()+" USD.", "are left of consumer/total")
	s.end()
	w.wantBooksEqual()
}

func TestAllFilesAreForTheEyesOfTheirOwnerOnly(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", ""))
	s := w.start("-f", "chat.yaml", keyFlag)
	root := filepath.Join(w.dir, ".modelroute")
	info, err := os.Stat(root)
	w.must(err)
	wantEqual(t, fs.ModeDir|0o700, info.Mode())
	for _, name := range []string{"secrets/ai/chat-search.yaml", "secrets/ai/chat-search.env", "upstreams/ai/chat/openrouter/apiKey"} {
		info, err := os.Stat(filepath.Join(root, name))
		w.must(err)
		wantEqual(t, 0o600, info.Mode())
	}
	s.end()
	if _, err := os.Stat(filepath.Join(root, "upstreams")); !os.IsNotExist(err) {
		t.Errorf("the upstreams' keys are still there after the end: %v", err)
	}
}

func TestABudgetThatIsSpentDeniesUntilTheFileRaisesIt(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", limited("0.002")))
	s := w.start("-f", "chat.yaml", keyFlag)
	answers := 0
	for w.ask("chat-search", "Say as much as you can.", false).StatusCode == http.StatusOK {
		answers++
	}
	wantContains(t, w.answered("chat-search", "Say as much as you can.", http.StatusPaymentRequired), `Budget \"total\" of 0.002 USD`)
	if answers == 0 {
		t.Error("there was no answer at all")
	}
	wantEqual(t, "Exhausted", w.usage().Routes[0].Consumers[0].Budgets[0].State)

	w.write("chat.yaml", w.route("chat", limited("1.00")))
	if !w.eventually(func() bool { return w.ask("chat-search", "And more.", false).StatusCode == http.StatusOK }) {
		t.Fatalf("the budget is not raised:\n%s", s.log)
	}
	wantEqual(t, "1.00", w.usage().Routes[0].Consumers[0].Budgets[0].Limit)
	w.wantBooksEqual()
}

func TestARouteIsSuspendedByAnAnnotationInItsFile(t *testing.T) {
	w := newWorld(t)
	route := w.route("chat", "")
	w.write("chat.yaml", route)
	s := w.start("-f", "chat.yaml", keyFlag)
	w.answered("chat-search", "Are you there?", http.StatusOK)

	w.write("chat.yaml", strings.Replace(route, "metadata: {", `metadata: {annotations: {modelroute.dev/suspended: "true"}, `, 1))
	if !w.eventually(func() bool { return w.ask("chat-search", "Still?", false).StatusCode == http.StatusServiceUnavailable }) {
		t.Fatalf("it is not suspended:\n%s", s.log)
	}
	wantContains(t, w.answered("chat-search", "Why?", http.StatusServiceUnavailable), "route_suspended")
	w.write("chat.yaml", route)
	if !w.eventually(func() bool { return w.ask("chat-search", "Again?", false).StatusCode == http.StatusOK }) {
		t.Fatalf("it is not resumed:\n%s", s.log)
	}
}

func TestAChangeThatIsWrongIsKeptOut(t *testing.T) {
	w := newWorld(t)
	good := w.route("chat", limited("1.00"))
	w.write("chat.yaml", good)
	s := w.start("-f", "chat.yaml", keyFlag)
	w.write("chat.yaml", w.route("chat", limited("a lot")))
	const reason = "chat.yaml: document 1 (ModelRoute ai/chat): spec.consumers[0].budgets[0].amount: Invalid value"
	if !w.eventually(func() bool { return strings.Contains(s.log.String(), reason) }) {
		t.Fatalf("it does not say why:\n%s", s.log)
	}
	w.answered("chat-search", "Still there?", http.StatusOK)
	wantEqual(t, "1.00", w.usage().Routes[0].Consumers[0].Budgets[0].Limit)

	w.write("chat.yaml", good+"---\n"+w.route("other", ""))
	if !w.eventually(func() bool {
		_, err := os.Stat(filepath.Join(w.dir, ".modelroute/secrets/ai/other-search.env"))
		return err == nil
	}) {
		t.Fatalf("a good change is not taken up any more:\n%s", s.log)
	}
	w.answered("other-search", "And you?", http.StatusOK)
}

func TestAKilledRunLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", limited("1.00")))
	s := w.start("-f", "chat.yaml", keyFlag)
	before := w.environment("chat-search")
	for round := range 3 {
		var asking sync.WaitGroup
		for i := range 10 {
			asking.Go(func() { w.answered("chat-search", fmt.Sprintf("Question %d of round %d.", i, round), http.StatusOK) })
		}
		asking.Wait()
		s.kill()
		_, _, note := w.call("usage")
		wantContains(t, note, "the last run was killed")
		s = w.start("-f", "chat.yaml", keyFlag)
		w.wantBooksEqual()
	}
	wantEqual(t, before["OPENAI_API_KEY"], w.environment("chat-search")["OPENAI_API_KEY"])
	s.end()
	_, _, note := w.call("usage")
	wantEqual(t, "", note)
	w.wantBooksEqual()
}

// The upstream goes on to bill what was asked for, and tells afterwards what it came to.
func TestWhatAKilledRunWasInTheMidstOfIsCountedExactly(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", limited("1.00")))
	s := w.start("-f", "chat.yaml", keyFlag)
	answer := w.ask("chat-search", "[[fault: answer=50, chunk-delay=20ms]]", true)
	if _, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.kill()
	if !w.eventually(func() bool { return !w.billed().IsZero() }) {
		t.Fatal("the upstream does not bill it")
	}
	s = w.start("-f", "chat.yaml", keyFlag)
	w.wantBooksEqual()
	s.end()
	w.wantBooksEqual()
	wantEqual(t, "0.00", w.usage().Routes[0].Consumers[0].Budgets[0].Uncertain)
}

func TestAStreamThatHasBegunEndsBeforeTheRunDoes(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", limited("1.00")))
	s := w.start("-f", "chat.yaml", keyFlag)
	answer := w.ask("chat-search", "[[fault: answer=100, chunk-delay=20ms]]", true)
	stream := bufio.NewReader(answer.Body)
	if _, err := stream.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.end()
	}()
	var rest strings.Builder
	_, err := stream.WriteTo(&rest)
	w.must(err)
	<-ended
	if !strings.HasSuffix(rest.String(), "data: [DONE]\n\n") {
		t.Errorf("the stream ends with %q", rest.String()[max(0, rest.Len()-100):])
	}
	w.wantBooksEqual()
}

func TestASecondRunOnTheSameDirectoryIsRefused(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", ""))
	w.start("-f", "chat.yaml", keyFlag)
	key := w.environment("chat-search")["OPENAI_API_KEY"]
	status, _, diagnostics := w.call("run", "-f", "chat.yaml", keyFlag, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0")
	wantEqual(t, cli.ExitFailed, status)
	wantContains(t, diagnostics, "another run has the data directory", "--data-dir")
	wantEqual(t, key, w.environment("chat-search")["OPENAI_API_KEY"])
	w.answered("chat-search", "Still there?", http.StatusOK)
}

func TestADirectoryWithFilesOfOthersIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", ""))
	w.must(os.Mkdir(filepath.Join(w.dir, "upstreams"), 0o700))
	w.write("upstreams/precious", "")
	status, _, diagnostics := w.call("run", "-f", "chat.yaml", keyFlag, "--data-dir=.")
	wantEqual(t, cli.ExitFailed, status)
	wantContains(t, diagnostics, "has files in it that no run has made: name a folder that is new or empty")
	for name, there := range map[string]bool{"upstreams/precious": true, ".gitignore": false, "ledger": false} {
		if _, err := os.Stat(filepath.Join(w.dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAddressThatIsTakenIsTold(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", ""))
	taken := "127.0.0.1:" + strings.Split(strings.TrimPrefix(w.url, "http://127.0.0.1:"), "/")[0]
	for flag, other := range map[string]string{"--listen": "--admin-listen", "--admin-listen": "--listen"} {
		status, _, diagnostics := w.call("run", "-f", "chat.yaml", keyFlag, flag+"="+taken, other+"=127.0.0.1:0")
		wantEqual(t, cli.ExitFailed, status)
		wantContains(t, diagnostics, "choose another address with "+flag, "address already in use")
	}
}

func TestWhoeverDeletesASecretGetsANewKeyAndTheOldOneIsRefused(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", ""))
	w.start("-f", "chat.yaml", keyFlag)
	before := w.environment("chat-search")
	w.must(os.Remove(filepath.Join(w.dir, ".modelroute/secrets/ai/chat-search.yaml")))
	if !w.eventually(func() bool { return w.environment("chat-search")["OPENAI_API_KEY"] != before["OPENAI_API_KEY"] }) {
		t.Fatal("there is no new key")
	}
	w.answered("chat-search", "Is the new one good?", http.StatusOK)
	old := w.post(before["OPENAI_BASE_URL"]+"/chat/completions", before["OPENAI_API_KEY"], "chat-model", "And the old one?", false)
	wantEqual(t, http.StatusUnauthorized, old.StatusCode)
}

func TestACreditLosesItsEffectWhenItExpires(t *testing.T) {
	w := newWorld(t)
	expiring := func(amount string, at time.Time) string {
		return fmt.Sprintf(`    budgets: [{name: total, amount: %q, window: {period: Total}, enforcement: Deny, `+
			`credits: [{name: launch, amount: "2.00", reason: a launch, expireTime: %q}]}]`+"\n", amount, at.UTC().Format(time.RFC3339))
	}
	w.write("chat.yaml", w.route("chat", expiring("1.00", time.Now().Add(time.Hour)))+"---\n"+
		w.route("other", expiring("0", time.Now().Add(2*time.Second))))
	s := w.start("-f", "chat.yaml", keyFlag)
	wantEqual(t, "3.00", w.usage().Routes[0].Consumers[0].Budgets[0].Limit)
	if !w.eventually(func() bool { return w.usage().Routes[1].Consumers[0].Budgets[0].Limit == "0.00" }) {
		t.Fatalf("the credit still counts:\n%s", s.log)
	}
	w.answered("other-search", "May I?", http.StatusPaymentRequired)
	wantEqual(t, "3.00", w.usage().Routes[0].Consumers[0].Budgets[0].Limit)
}

func TestARouteThatIsGoneServesNobodyAndItsSpendStays(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", "")+"---\n"+w.route("other", limited("1.00")))
	s := w.start("-f", "chat.yaml", keyFlag)
	w.answered("other-search", "Who are you?", http.StatusOK)
	w.write("chat.yaml", w.route("chat", ""))
	if !w.eventually(func() bool {
		return w.ask("other-search", "Are you there?", false).StatusCode == http.StatusUnauthorized
	}) {
		t.Fatalf("the route is still served:\n%s", s.log)
	}
	w.answered("chat-search", "And you?", http.StatusOK)
	w.wantBooksEqual()
	wantEqual(t, 2, len(w.usage().Routes))
}

func TestTheUpstreamsKeyMayBeInASecretInAnotherFile(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.route("chat", ""))
	w.write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: openrouter, namespace: ai}\nstringData: {apiKey: "+upstreamKey+"}\n")
	w.start("-f", "chat.yaml", "-f", "secret.yaml")
	w.answered("chat-search", "Does it work?", http.StatusOK)
}
