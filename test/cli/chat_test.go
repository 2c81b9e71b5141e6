package cli

import (
	"crypto/rand"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// served is a proxy that knows the consumer trial by a key, beside a cluster where the key is delivered.
type served struct {
	*world.World
	url, key string
}

func serve(t *testing.T, nano int64) served {
	t.Helper()
	key := newKey(t)
	proxy := world.Begin(t, world.Setup{
		Budgets: []*ledgerpb.Budget{world.Monthly("trial", nano)},
		Edit: func(config *routeconfig.Config) {
			config.Routes[0].Consumers = append(config.Routes[0].Consumers, world.NewConsumer("trial", key))
		},
	})
	return served{World: proxy, url: proxy.URL + "/v1", key: key}
}

// newKey is a key as the operator makes them.
func newKey(t *testing.T) string {
	t.Helper()
	key, err := keys.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

const plenty = 100_000_000_000

func TestOneQuestionIsAnsweredAndItsCostIsToldBesideTheAnswer(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, plenty)
	w.environment["OPENAI_API_KEY"] = proxy.key
	answer := w.callWithout("chat", world.Model, "--url", proxy.url, "What is a ledger?").wants(t, 0)
	billed := money.FromNano(proxy.Upstream.Billed(upstream.Filter{}).TotalNanoUSD)
	if len(strings.TrimSpace(answer.out)) < 10 || strings.Contains(answer.out, "USD") {
		t.Errorf("the answer is %q", answer.out)
	}
	if !regexp.MustCompile(`^It cost ` + billed.String() + ` USD\. At least 99\.9\d+ USD are left of consumer/monthly\.\n$`).MatchString(answer.diagnostics) {
		t.Errorf("%s was billed, and it says %q", billed, answer.diagnostics)
	}
	proxy.BooksAgree()
}

func TestAPromptMayComeFromAPipe(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, plenty)
	w.environment["OPENAI_API_KEY"] = proxy.key
	w.typed = "What is in this pipe?\n"
	w.callWithout("chat", world.Model, "--url", proxy.url).wants(t, 0, "It cost")
	if !strings.Contains(proxy.Last().Body, "What is in this pipe?") {
		t.Errorf("the model is asked %s", proxy.Last().Body)
	}
	w.typed = "\n"
	w.callWithout("chat", world.Model, "--url", proxy.url).wants(t, 2, "it needs a PROMPT")
}

func TestAConversationKeepsWhatWasSaid(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, plenty)
	w.environment["OPENAI_API_KEY"] = proxy.key
	w.interactive, w.typed = true, "My name is Ada.\n\nWhat is my name?\n"
	w.callWithout("chat", world.Model, "--url", proxy.url).wants(t, 0, "Ctrl-D")
	var asked struct {
		Messages []struct{ Role, Content string }
	}
	w.must(json.Unmarshal([]byte(proxy.Last().Body), &asked))
	if len(proxy.Received()) != 2 || len(asked.Messages) != 3 || asked.Messages[0].Content != "My name is Ada." ||
		asked.Messages[1].Role != "assistant" || asked.Messages[1].Content == "" || asked.Messages[2].Content != "What is my name?" {
		t.Errorf("the model is told %+v", asked)
	}
	proxy.BooksAgree()
}

func TestARefusalIsToldInTheRoutesWordsWithTheNextStep(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, 1000)
	w.environment["OPENAI_API_KEY"] = proxy.key
	w.callWithout("chat", world.Model, "--url", proxy.url, "Hello?").wants(t, 1, "answers 402", `Budget "monthly"`, "kubectl modelroute usage").lacks(t, "It cost")
	w.callWithout("chat", "nothing", "--url", proxy.url, "Hello?").wants(t, 1, "answers 404", "kubectl modelroute models")
	other := newKey(t)
	w.environment["OPENAI_API_KEY"] = other
	w.callWithout("chat", world.Model, "--url", proxy.url, "Hello?").wants(t, 1, "answers 401", "keys list").lacks(t, other)
	w.interactive, w.typed = true, "Hello?\nAre you there?\n"
	if said := w.callWithout("chat", world.Model, "--url", proxy.url).wants(t, 0); strings.Count(said.diagnostics, "answers 401") != 2 {
		t.Errorf("a refusal ends the conversation:\n%s", said.diagnostics)
	}
}

func TestTheKeyIsThatOfAConsumersSecret(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, plenty)
	route := w.route("chat")
	route.Spec.Model.Name = world.Model
	w.must(w.Update(t.Context(), route))
	w.secret("chat-trial", proxy.key, ofConsumer("chat", "trial"))
	w.call("chat", "chat", "--url", proxy.url, "Who am I?").wants(t, 0, "left of consumer/monthly") // The first has no Secret.
	w.environment["OPENAI_API_KEY"] = "sk-somebody-elses"
	w.call("chat", "chat", "--url", proxy.url, "--consumer", "trial", "Who am I?").wants(t, 0, "left of consumer/monthly")
	w.call("chat", "chat", "--url", proxy.url, "--consumer", "search", "Who am I?").wants(t, 1, `"chat-search" not found`, "OPENAI_API_KEY")
	w.call("chat", "chat", "--url", proxy.url, "--consumer", "nobody", "Who am I?").wants(t, 1, "there is no consumer nobody")
	w.become("reader-of-nothing-" + w.namespace)
	w.call("chat", "chat", "--url", proxy.url, "--consumer", "trial", "Who am I?").wants(t, 1, "forbidden", "modelroute-view")
}

func TestAKeyOfSomebodyElsesIsNotSent(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, plenty)
	w.environment["OPENAI_API_KEY"] = "sk-of-another-provider"
	w.callWithout("chat", world.Model, "--url", proxy.url, "Hello?").wants(t, 1, "is not sent", "OPENAI_API_KEY").
		lacks(t, "sk-of-another-provider")
	if len(proxy.Received()) != 0 {
		t.Error("it is sent all the same")
	}
}
