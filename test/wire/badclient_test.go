package wire

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/test/world"
)

// bare is a connection to the proxy on which a test writes what no client of HTTP would.
type bare struct {
	net.Conn
	c *client
}

func (c *client) dial() bare {
	c.t.Helper()
	connection, err := (&net.Dialer{}).DialContext(c.t.Context(), "tcp", strings.TrimPrefix(c.URL, "http://"))
	c.must(err)
	c.t.Cleanup(func() { _ = connection.Close() })
	c.must(connection.SetDeadline(time.Now().Add(time.Minute)))
	return bare{connection, c}
}

// write sends a text. An error is none of the test's: the proxy may have had enough of it.
func (b bare) write(text string) { _, _ = io.WriteString(b, text) }

// header is the header of a request with a body of so many bytes.
func (b bare) header(length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n",
		chatPath, b.c.key, length)
}

// answer reads what the proxy answers.
func (b bare) answer(t *testing.T) reply {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(b), nil)
	if err != nil {
		t.Fatalf("there is no answer: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return reply{status: response.StatusCode, header: response.Header, body: string(body), broken: err}
}

// closed waits until the proxy has closed the connection, without having said anything.
func (b bare) closed(t *testing.T) {
	t.Helper()
	if said, err := io.ReadAll(b); err != nil || len(said) > 0 {
		t.Errorf("the connection is not closed in silence: %q, %v", said, err)
	}
}

// untouched says that nothing of what a test did reached the upstream or the books.
func (c *client) untouched(t *testing.T) {
	t.Helper()
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
	if got := c.Spends()["route"]; got != (world.Spend{}) {
		t.Errorf("the books have %+v", got)
	}
}

func TestABodyThatReadersCouldTakeInTwoWaysIsRefusedBeforeAnythingIsHeld(t *testing.T) {
	t.Parallel()
	message := `"messages":[{"role":"user","content":"hello"}]`
	cases := map[string]struct{ body, code, says string }{
		"no JSON":                       {"model=mixtral", "invalid_json", "at byte 0"},
		"JSON that ends too early":      {`{"model":"mixtral-8x22b-instruct",`, "invalid_json", "at byte"},
		"an object and something else":  {`{"model":"m",` + message + `}{}`, "invalid_json", "something follows"},
		"nested too deeply":             {`{"model":"m",` + message + `,"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}", "invalid_json", "deep"},
		"nested more than anything is":  {`{"model":"m","x":` + strings.Repeat("[", 1<<20), "invalid_json", "deep"},
		"a key twice":                   {`{"model":"m","model":"n",` + message + `}`, "duplicate_key", "twice"},
		"a key twice, once in escapes":  {`{"model":"m","mod\u0065l":"n",` + message + `}`, "duplicate_key", "twice"},
		"a key twice within a message":  {`{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}`, "duplicate_key", "twice"},
		"a number that is none in JSON": {`{"model":"m",` + message + `,"temperature":.5}`, "invalid_json", "at byte"},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if found := c.ask(test.body).expectFailure(t, http.StatusBadRequest, test.code); !strings.Contains(found.Message, test.says) {
				t.Errorf("the message does not say %q: %s", test.says, found.Message)
			}
		})
	}
	t.Run("bytes that are no text", func(t *testing.T) {
		got := c.ask("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}")
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, "UTF-8") {
			t.Errorf("status %d: %s", got.status, got.body)
		}
	})
	c.untouched(t)
}

func TestABodyThatIsTooLargeIsRefusedWithItsLimit(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	found := c.ask(asking("", `,"x":"`+strings.Repeat("x", 32<<20)+`"`)).expectFailure(t, http.StatusRequestEntityTooLarge, "body_too_large")
	if !strings.Contains(found.Message, "33554432 bytes") {
		t.Errorf("the message does not name the limit: %s", found.Message)
	}
	c.untouched(t)
}

func TestAClientThatIsSlowWithItsHeaderIsHungUp(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Clients: proxy.ClientTimes{Header: 200 * time.Millisecond}})
	slow := c.dial()
	slow.write("POST " + chatPath + " HTTP/1.1\r\nHost: pro")
	slow.closed(t)
	c.untouched(t)
}

func TestAClientThatIsSlowWithItsBodyIsToldSo(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Clients: proxy.ClientTimes{Body: 200 * time.Millisecond}})
	slow := c.dial()
	slow.write(slow.header(1000) + "\r\n" + `{"model":`)
	found := slow.answer(t).expectFailure(t, http.StatusRequestTimeout, "body_timeout")
	if !strings.Contains(found.Message, "200ms") {
		t.Errorf("the message does not name the limit: %s", found.Message)
	}
	c.untouched(t)
}

func TestAConnectionWithoutRequestsIsClosedAfterAWhile(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Clients: proxy.ClientTimes{Idle: 100 * time.Millisecond}})
	idle := c.dial()
	idle.write("GET /v1/models HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer " + c.key + "\r\n\r\n")
	idle.answer(t).expectOK(t)
	idle.closed(t)
}

func TestAFloodOfHeadersIsRefused(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	cases := map[string]string{
		"one that is large": "X-Large: " + strings.Repeat("x", 1<<20) + "\r\n",
		"many":              strings.Repeat("X-Many: x\r\n", 1<<16),
	}
	for name, flood := range cases {
		t.Run(name, func(t *testing.T) {
			flooding := c.dial()
			go func() { flooding.write(flooding.header(2) + flood + "\r\n{}") }()
			response, err := http.ReadResponse(bufio.NewReader(flooding), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _ = response.Body.Close(); response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("status %d", response.StatusCode)
			}
		})
	}
	c.untouched(t)
}

func TestAClientThatNeverReadsItsStreamCountsAsGoneAndTheStreamIsBooked(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{
		Budgets: []*ledgerpb.Budget{world.Plenty("")}, Clients: proxy.ClientTimes{Write: 200 * time.Millisecond},
	})
	// More than any socket buffers.
	const pieces, size = 32, 1 << 20
	stream := make([]string, 0, pieces+3)
	for range pieces {
		stream = append(stream, delta(strings.Repeat("x", size)))
	}
	c.AnswerWith(events(append(stream, last, usageEvent(usage(10, 20, "0.00014")), done)...))
	before := c.Mark()
	body := asking("", short+streamed)
	deaf := c.dial()
	deaf.write(deaf.header(len(body)) + "\r\n" + body)
	c.Eventually("its request has ended", func() bool { return c.Logged(`"msg":"Request"`, `"clientGone":true`) == 1 })
	c.booked(t, before, world.Spend{Settled: 140_000})
	c.Eventually("the upstream's connection is free", func() bool { return c.Busy() == 0 })
}
