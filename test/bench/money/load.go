package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// mix is what clients are like. Each member but think is a share in percent.
type mix struct {
	streamed, unlimited int
	// hangUp is how many go away before the answer is complete; slow is how many take their time to read a large one.
	hangUp, slow int
	// broken is how many requests the upstream answers badly.
	broken int
	// think is how long a client waits between two requests, on average.
	think time.Duration
}

// upstreamFaults are the ways in which the upstream answers badly, billed or not.
var upstreamFaults = []string{"cut=2", "lost", "reset", "status=503", "missing-usage", "error-200"}

// load is a crowd of clients that spend.
type load struct {
	world  *world
	mix    mix
	client *http.Client
	// numbers gives every request a number.
	numbers atomic.Int64
	running sync.WaitGroup

	mu      sync.Mutex
	tally   tally
	refused []refusal
}

// tally counts what clients got.
type tally struct {
	// served are complete answers, spent 402, held 429, away 503 of the ledger. upstream are errors of the upstream. broken are connections
	// that broke or answers that stopped, gone those from which the client went away.
	served, spent, held, away, upstream, broken, gone int
	// others says what the errors of the upstream were.
	others map[string]int
}

// refusal is a 402.
type refusal struct {
	consumer string
	// asked is when the request was sent, at when the answer was there. It was decided on in between.
	asked, at time.Time
	needed    money.Amount
	// body is the answer.
	body string
}

// leftText is how a 402 says which limit refuses, and what it has left.
var leftText = regexp.MustCompile(`of ([0-9.]+) USD has (-?)([0-9.]+) USD left`)

// claim is what a 402 says of the budget that refuses.
type claim struct{ limit, remaining money.Amount }

// said reads what the answer says; zero if it does not.
func (r *refusal) said() (said claim) {
	found := leftText.FindStringSubmatch(r.body)
	if found == nil {
		return claim{}
	}
	limit, err := money.ParseUSD(found[1])
	remaining, err2 := money.ParseUSD(found[3])
	if err != nil || err2 != nil {
		return claim{}
	}
	if found[2] != "" {
		remaining = money.Amount{}.Sub(remaining)
	}
	return claim{limit: limit, remaining: remaining}
}

func newLoad(w *world, like mix) *load {
	return &load{world: w, mix: like, client: httpClient(), tally: tally{others: map[string]int{}}}
}

// start lets so many clients spend until ctx ends. A request that has begun is read to its end.
func (l *load) start(ctx context.Context, clients int) {
	for range clients {
		l.running.Go(func() {
			rig.Pause(ctx, chance(l.mix.think))
			for ctx.Err() == nil {
				l.request()
				rig.Pause(ctx, chance(2*l.mix.think))
			}
		})
	}
}

// chance is a duration below a limit.
func chance(limit time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(limit) + 1)) //nolint:gosec // Nothing secret comes of it.
}

// in reports true in so many of a hundred cases.
func in(percent int) bool { return rand.IntN(100) < percent } //nolint:gosec // Nothing secret comes of it.

// wish is one request as its client makes it.
type wish struct {
	consumer     string
	streamed     bool
	hangUp, slow bool
	body         string
}

func (l *load) wish() wish {
	one := wish{
		consumer: consumers[rand.IntN(len(consumers))], //nolint:gosec // Nothing secret comes of it.
		streamed: in(l.mix.streamed), hangUp: in(l.mix.hangUp), slow: in(l.mix.slow),
	}
	var faults []string
	if in(l.mix.broken) {
		faults = append(faults, upstreamFaults[rand.IntN(len(upstreamFaults))]) //nolint:gosec // Nothing secret comes of it.
	}
	if one.slow {
		one.streamed = true
		faults = append(faults, "big=1000000")
	}
	request := map[string]any{
		"model": routeName, "user": fmt.Sprintf("%s:%d", one.consumer, l.numbers.Add(1)), "stream": one.streamed,
	}
	if !in(l.mix.unlimited) {
		request["max_completion_tokens"] = 16 + rand.IntN(48) //nolint:gosec // Nothing secret comes of it.
	}
	content := "Explain quantum entanglement to me."
	if len(faults) > 0 {
		content += " [[fault: " + strings.Join(faults, ", ") + "]]"
	}
	request["messages"] = []map[string]string{{"role": "user", "content": content}}
	encoded, err := json.Marshal(request)
	if err != nil {
		panic(err) // Strings and numbers can be encoded.
	}
	one.body = string(encoded)
	return one
}

// request makes one request and notes what became of it.
func (l *load) request() {
	one := l.wish()
	asked := time.Now()
	ctx, cancel := context.WithCancel(l.world.ctx)
	defer cancel()
	if one.hangUp {
		timer := time.AfterFunc(chance(60*time.Millisecond), cancel)
		defer timer.Stop()
	}
	response, err := l.send(ctx, one)
	if err != nil {
		l.note(func(t *tally) { t.lost(one.hangUp) })
		return
	}
	defer func() { _ = response.Body.Close() }()
	body, err := read(response.Body, one.slow)
	switch {
	case err != nil || response.StatusCode == http.StatusOK && one.streamed && !strings.Contains(body, "data: [DONE]"):
		l.note(func(t *tally) { t.lost(one.hangUp) })
	case response.StatusCode == http.StatusPaymentRequired:
		l.refuse(one.consumer, body, asked)
	default:
		l.note(func(t *tally) { t.answered(response.StatusCode, body) })
	}
}

func (l *load) send(ctx context.Context, one wish) (*http.Response, error) {
	url := l.world.pick() + "/v1/chat/completions"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(one.body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+l.world.keys[one.consumer])
	request.Header.Set("Content-Type", "application/json")
	return l.client.Do(request)
}

// read reads an answer: a slow client in a few dozen steps, so that the proxy's buffers fill up.
func read(body io.Reader, slow bool) (string, error) {
	if !slow {
		content, err := io.ReadAll(body)
		return string(content), err
	}
	var last []byte
	buffer := make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(body, buffer)
		last = append(last, buffer[:n]...)
		if keep := 4 << 10; len(last) > keep {
			last = append([]byte(nil), last[len(last)-keep:]...)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return string(last), nil
		case err != nil:
			return "", err
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // To be slow is the point.
	}
}

func (l *load) note(count func(*tally)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count(&l.tally)
}

func (t *tally) lost(onPurpose bool) {
	if onPurpose {
		t.gone++
		return
	}
	t.broken++
}

func (t *tally) answered(status int, body string) {
	switch {
	case status == http.StatusOK && !strings.Contains(body, `"error":{`):
		t.served++
	case strings.Contains(body, "budget_held"):
		t.held++
	case strings.Contains(body, "ledger_unavailable"):
		t.away++
	default:
		t.upstream++
		t.others[fmt.Sprintf("%d %s", status, codeText.FindString(body))]++
	}
}

var codeText = regexp.MustCompile(`"code": ?"[^"]*"`)

// neededText is how a 402 says what the request can cost.
var neededText = regexp.MustCompile(`can cost up to ([0-9.]+) USD`)

func (l *load) refuse(consumer, body string, asked time.Time) {
	at := time.Now()
	found := neededText.FindStringSubmatch(body)
	if found == nil {
		l.world.note(fmt.Errorf("a 402 does not say what the request can cost: %.300s", body))
		return
	}
	needed, err := money.ParseUSD(strings.TrimSuffix(found[1], "."))
	if err != nil {
		l.world.note(fmt.Errorf("a 402 says a cost that is none: %w", err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.spent++
	l.refused = append(l.refused, refusal{consumer: consumer, asked: asked, at: at, needed: needed, body: body})
}
