package proxy

import (
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
)

// record is what is told of one request when it ends.
type record struct {
	started time.Time
	// quiet requests are counted and not logged.
	quiet bool
	// dialect is how the client is told of errors.
	dialect openai.Dialect
	grant   *grant
	// counted is true once the request counts against rate limits.
	counted bool
	// code is the error code that the client got; empty for none.
	code string
	// problem is what went wrong, for the operator; the client may be told less.
	problem    string
	generation string

	promptTokens, completionTokens int64
	// cost is that of all attempts.
	cost       money.Amount
	certainty  client.Certainty
	clientGone bool
}

// spent adds what one attempt cost. All of them are certain, or the request's cost is not.
func (r *record) spent(amount money.Amount, certainty client.Certainty) {
	r.cost = r.cost.Add(amount)
	if r.certainty != client.Uncertain {
		r.certainty = certainty
	}
}

func (r *record) attributes(status int, took time.Duration) []slog.Attr {
	attributes := []slog.Attr{slog.Int("status", status), slog.Duration("duration", took)}
	if r.grant != nil {
		attributes = append(attributes, slog.String("route", r.grant.route.Namespace+"/"+r.grant.route.Name),
			slog.String("consumer", r.grant.consumer.Name), slog.String("key", r.grant.keyID))
	}
	if r.certainty != 0 {
		attributes = append(attributes, slog.Int64("promptTokens", r.promptTokens), slog.Int64("completionTokens", r.completionTokens),
			slog.Int64("costNanoUSD", r.cost.Nano()), slog.Bool("uncertain", r.certainty == client.Uncertain))
	}
	for _, text := range []struct{ key, value string }{{"generation", r.generation}, {"code", r.code}, {"problem", r.problem}} {
		if text.value != "" {
			attributes = append(attributes, slog.String(text.key, text.value))
		}
	}
	if r.clientGone {
		attributes = append(attributes, slog.Bool("clientGone", true))
	}
	return attributes
}

func stackAttr() slog.Attr { return slog.String("stack", string(debug.Stack())) }
