package main

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const (
	sampleFile = "../../config/samples/mixtral-8x22b-instruct.yaml"
	// sampleSecrets is where the consumers' Secrets of the sample route are, as world's methods want it.
	sampleSecrets = "../ai-platform/mixtral-8x22b-instruct-"
	samplePage    = "/routes/ai-platform/mixtral-8x22b-instruct"
)

// serveSample serves the sample route from the world's upstream.
func (w *world) serveSample() *serving {
	w.t.Helper()
	w.write("sample.yaml", w.sample())
	return w.start("-f", "sample.yaml", "--secret=ai-platform/openrouter/apiKey=env:"+keyVariable)
}

func (w *world) sample() string {
	w.t.Helper()
	content, err := os.ReadFile(sampleFile)
	w.must(err)
	return strings.Replace(string(content), "https://openrouter.ai/api/v1", w.url, 1)
}

var pagesAddress = regexp.MustCompile(`Pages for people: (http://\S+)/\n`)

// page asks for a page as a browser does that came by this host; by the address if it is empty.
func (s *serving) page(path, host string) (status int, body string) {
	s.t.Helper()
	found := pagesAddress.FindStringSubmatch(s.announced.String())
	if found == nil {
		s.t.Fatalf("it does not say where the pages are:\n%s", &s.announced)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, found[1]+path, nil)
	s.must(err)
	request.Host = host
	answer, err := http.DefaultClient.Do(request)
	s.must(err)
	defer answer.Body.Close()
	return answer.StatusCode, s.rest(answer)
}

func TestThePageOfARouteShowsWhatItCostsAndHowItsBudgetsStand(t *testing.T) {
	w := newWorld(t)
	s := w.serveSample()
	status, page := s.page(samplePage, "")
	wantEqual(t, http.StatusOK, status)
	base := pagesAddress.FindStringSubmatch(s.announced.String())[1]
	wantContains(t, page, "<h1>Mixtral 8x22B Instruct</h1>", ">Available<", "$2.00 per million tokens of input",
		"$6.00 per million of output", "Nothing was spent in the last 30 days.", "<strong>$0.00</strong> of $500.00 (0 %), $500.00 left", "curl "+base+"/v1/chat/completions", `data-api="/v1"`)

	for range 3 {
		w.answered(sampleSecrets+"search", "What is a ledger?", http.StatusOK)
	}
	w.wantBooksEqual()
	_, page = s.page(samplePage, "")
	spent := "<strong>$" + w.billed().String() + "</strong> of $"
	wantContains(t, page, spent+"500.00", spent+"100.00")
	// All of it was today, by one consumer.
	amount := "$" + w.billed().String()
	wantContains(t, page, "<strong>"+amount+"</strong> in the last 30 days", `<rect class="series-1"`, `search <span class="muted">`+amount+"</span>",
		`<td class="number">`+amount+`</td><td class="number">`+amount+`</td>`)
	_, list := s.page("/?q=mistral", "")
	wantContains(t, list, `<a href="`+samplePage+`">Mixtral 8x22B Instruct</a>`, "$"+w.billed().String()+" of $500.00")
}

func TestThePageOfATeamShowsItsBudgetsAndWhereItSpends(t *testing.T) {
	w := newWorld(t)
	w.write("routes.yaml", w.route("chat", "    team: search\n")+"---\n"+w.route("code", ""))
	w.write("team.yaml", teamManifest("0.003"))
	s := w.start("-f", "routes.yaml", "-f", "team.yaml", keyFlag)
	_, list := s.page("/teams", "")
	wantContains(t, list, `<a href="/teams/search">search</a>`, ">In force<", "$0.00 of $0.003")
	w.answered("chat-search", "What is a ledger?", http.StatusOK)
	chat := w.billed()
	w.answered("code-search", "What is a ledger?", http.StatusOK)
	w.wantBooksEqual()
	_, page := s.page("/teams/search", "")
	wantContains(t, page, "<strong>$"+chat.String()+"</strong> of $0.003", "<strong>$"+chat.String()+"</strong> spent in the team",
		`<a href="/routes/ai/chat">ai/chat</a></th><td class="number">$`+chat.String()+"</td>")
	if strings.Contains(page, "ai/code") {
		t.Errorf("it has a route that the team does not spend on:\n%s", page)
	}
	_, route := s.page("/routes/ai/chat", "")
	wantContains(t, route, `of team <a href="/teams/search">search</a>`)

	for w.ask("chat-search", "Say as much as you can.", false).StatusCode == http.StatusOK {
	}
	if !w.eventually(func() bool {
		_, page := s.page("/teams/search", "")
		return strings.Contains(page, "In force, a budget is used up")
	}) {
		t.Errorf("it does not say that the budget is used up:\n%s", page)
	}
	w.write("team.yaml", "")
	if !w.eventually(func() bool { status, _ := s.page("/teams/search", ""); return status == http.StatusNotFound }) {
		t.Errorf("a team whose TeamBudget is gone has a page:\n%s", s.log)
	}
}

func TestThePageOfARouteSaysThatABudgetIsUsedUpAndFollowsItsFile(t *testing.T) {
	w := newWorld(t)
	s := w.serveSample()
	for w.ask(sampleSecrets+"trial", "Say as much as you can.", false).StatusCode == http.StatusOK {
	}
	used := func() bool {
		_, page := s.page(samplePage, "")
		return strings.Contains(page, "Available, a budget is used up") && strings.Contains(page, "Used up; requests are refused") &&
			strings.Contains(page, "consumer trial&#39;s budget total")
	}
	if !w.eventually(used) {
		_, page := s.page(samplePage, "")
		t.Fatalf("it does not say so:\n%s", page)
	}
	w.write("sample.yaml", strings.Replace(w.sample(), `amount: "0.01"`, `amount: "7.00"`, 1))
	if !w.eventually(func() bool { _, page := s.page(samplePage, ""); return strings.Contains(page, "of $7.00") }) {
		t.Fatalf("it does not show the budget that the file has now:\n%s", s.log)
	}
	w.write("sample.yaml", strings.Replace(w.sample(), "metadata:\n", "metadata:\n  annotations: {modelroute.dev/suspended: \"true\"}\n", 1))
	if !w.eventually(func() bool { _, page := s.page(samplePage, ""); return strings.Contains(page, ">Suspended<") }) {
		t.Fatalf("it does not say that the route is suspended:\n%s", s.log)
	}
}

func TestNothingSecretIsOnAnyPage(t *testing.T) {
	w := newWorld(t)
	s := w.serveSample()
	secrets := []string{upstreamKey}
	for _, consumer := range []string{"search", "trial"} {
		secrets = append(secrets, w.environment(sampleSecrets + consumer)["OPENAI_API_KEY"])
	}
	for _, path := range []string{"/", "/?q=mixtral", samplePage, "/routes/ai-platform/none", "/teams", "/teams/none", "/assets/portal.js"} {
		_, page := s.page(path, "")
		for _, secret := range secrets {
			if secret == "" || strings.Contains(page, secret) {
				t.Errorf("%s has the secret %q", path, secret)
			}
		}
	}
}

func TestPagesAreNotServedUnderANameOfAnotherSite(t *testing.T) {
	w := newWorld(t)
	s := w.serveSample()
	for host, want := range map[string]int{
		"evil.example": http.StatusForbidden, "127.0.0.1.evil.example:8080": http.StatusForbidden,
		"localhost:8080": http.StatusOK, "[::1]": http.StatusOK, "192.0.2.7:80": http.StatusOK,
	} {
		status, page := s.page("/", host)
		if status != want || strings.Contains(page, "Mixtral") != (want == http.StatusOK) {
			t.Errorf("%s: %d\n%s", host, status, page)
		}
	}
}

func TestTheAPIIsAsItIsWithoutPages(t *testing.T) {
	w := newWorld(t)
	s := w.serveSample()
	for path, want := range map[string]int{"/v1/models": http.StatusUnauthorized, "/nothing": http.StatusNotFound, "/routes": http.StatusNotFound} {
		status, body := s.page(path, "evil.example")
		wantEqual(t, want, status)
		wantContains(t, body, `{"error":{"message":`)
	}
}

// example finds the code of an example on a page.
var example = regexp.MustCompile(`(?s)<code id="example-(\w+)">(.*?)</code>`)

var unescaped = strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&#43;", "+", "&amp;", "&")

func TestTheExamplesOfAPageRunAsTheyStand(t *testing.T) {
	w := newWorld(t)
	s := w.serveSample()
	_, page := s.page(samplePage, "")
	code := map[string]string{}
	for _, found := range example.FindAllStringSubmatch(page, -1) {
		code[found[1]] = unescaped.Replace(found[2])
	}
	w.write("main.go", code["go"])
	for language, words := range map[string][]string{
		"curl": {"sh", "-c", code["curl"]},
		"go":   {"go", "run", w.dir + "/main.go"}, // It finds OpenAI's client where this module does.
	} {
		before := w.billed()
		command := exec.CommandContext(t.Context(), words[0], words[1:]...)
		command.Env = append(os.Environ(), "OPENAI_API_KEY="+w.environment(sampleSecrets + "search")["OPENAI_API_KEY"])
		output, err := command.CombinedOutput()
		if err != nil || len(strings.TrimSpace(string(output))) < 10 || w.billed() == before {
			t.Errorf("%s: %v\n%s\n%s", language, err, code[language], output)
		}
	}
	w.wantBooksEqual()
}
