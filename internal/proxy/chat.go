package proxy

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
)

const (
	// maxRequestBytes bounds a request's body. It is far above what any context length holds as text.
	maxRequestBytes = 32 << 20
	// uploadTime is how long a client may take to send its body.
	uploadTime = 2 * time.Minute
	// heldRetryAfter is what a client is told to wait for when other requests hold the money: about the length of a request.
	heldRetryAfter = 5 * time.Second
)

// chat serves POST /v1/chat/completions.
func (s *server) chat(w http.ResponseWriter, r *http.Request, current *table, record *record) {
	caller := s.identify(w, r, current, record)
	if caller == nil {
		return
	}
	body, refusal := s.readBody(w, r)
	if refusal != nil {
		s.refuse(w, record, refusal)
		return
	}
	admitted, refusal := admit(caller, body)
	if refusal != nil {
		s.refuse(w, record, refusal)
		return
	}
	record.grant = admitted.grant
	key, err := s.upstreamKey(admitted.grant)
	if err != nil {
		record.problem = err.Error()
		s.refuse(w, record, noUpstreamKey())
		return
	}
	held, refusal := s.reserve(r.Context(), admitted, record)
	if refusal != nil {
		s.refuse(w, record, refusal)
		return
	}
	exchange := &exchange{server: s, admission: admitted, key: key, held: held, record: record, client: newClientWriter(w, s.now)}
	exchange.run(r.Context())
}

// readBody reads the whole body of a request.
func (s *server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *openai.Error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, compressed(encoding)
	}
	control := http.NewResponseController(w)
	// Where the connection has no deadlines the server's own timeouts have to do.
	_ = control.SetReadDeadline(s.now().Add(uploadTime))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, openai.TooLarge(maxRequestBytes)
	}
	if err != nil {
		return nil, openai.InvalidRequest("", "The body could not be read to its end.")
	}
	return body, nil
}

// upstreamKey reads the key of the grant's upstream; a route without one has an upstream that asks for none.
func (s *server) upstreamKey(granted *grant) (string, error) {
	path := granted.upstream().APIKeyFile
	if path == "" {
		return "", nil
	}
	return s.keys.read(path)
}

// reserve holds the worst case of a request. Waiting for the money ends when the client goes away.
func (s *server) reserve(ctx context.Context, admitted *admission, record *record) (*holding, *openai.Error) {
	granted := admitted.grant
	hold, err := s.ledger.Reserve(ctx, client.Demand{
		Namespace: granted.route.Namespace,
		Route:     granted.route.Name,
		Consumer:  granted.consumer.Name,
		Amount:    admitted.worst,
	})
	if err == nil {
		return &holding{server: s, hold: hold, record: record}, nil
	}
	record.clientGone = ctx.Err() != nil
	denied, isDenied := errors.AsType[*client.DeniedError](err)
	if !isDenied {
		record.problem = err.Error()
		// A client that hangs up says nothing of the ledger.
		if !record.clientGone {
			s.metrics.denied(granted, "unavailable")
		}
		return nil, openai.LedgerUnavailable()
	}
	denial := openai.Denial{
		Budget:    denied.Budget,
		Limit:     denied.Limit,
		Remaining: denied.Remaining,
		Needed:    admitted.worst,
		ResetsIn:  denied.ResetsIn,
	}
	if denied.Reason == client.Held {
		s.metrics.denied(granted, "held")
		return nil, openai.BudgetHeld(denial, retryAfter(denied.ResetsIn))
	}
	s.metrics.denied(granted, "exhausted")
	return nil, openai.BudgetExhausted(denial)
}

// retryAfter is when a client may try again for money that others hold: soon, and not after the window's end, when the budget is full
// again.
func retryAfter(resetsIn time.Duration) time.Duration {
	if resetsIn <= 0 {
		resetsIn = math.MaxInt64
	}
	return max(min(heldRetryAfter, resetsIn), time.Second)
}
