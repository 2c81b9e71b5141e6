package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// maxAnswerBytes bounds a JSON answer, which has to be held as a whole to be metered before it goes out.
	maxAnswerBytes = 64 << 20
	// maxErrorBytes bounds what is read of an answer that says that the upstream failed.
	maxErrorBytes = 1 << 20
)

// exchange is one admitted request on its way to the upstream and back.
type exchange struct {
	*admission
	server *server
	// transport carries the request, and key is what it shows the upstream.
	transport http.RoundTripper
	key       string
	held      *holding
	record    *record
	client    *clientWriter
	// deadline is when the request has to end, whichever upstream serves it.
	deadline time.Time
	// outcome is how the attempt ended, if the client has got nothing of it.
	outcome outcome
	// watch observes the attempt; usage is what the upstream reported, nil if nothing.
	watch *watch
	usage *pricing.Usage
	// why tells why the answer could not be read, given the error of reading it.
	why func(error) error
	// departure is what becomes of the attempt if the client goes away.
	departure *departure
}

// run sends the request and relays the answer. ctx is the client's: it says whether the client is still there. What its end is to the
// attempt, departure says.
func (x *exchange) run(ctx context.Context) {
	defer x.doubt()
	defer x.held.abandon()
	defer func() { x.record.clientGone = x.client.gone || ctx.Err() != nil }()

	timeout := min(time.Duration(x.upstream.TimeoutSeconds)*time.Second, x.deadline.Sub(x.server.now()))
	attempt, cancel := context.WithTimeout(x.server.lifetime, timeout)
	attempt, patience := beginPatience(attempt, x.upstream)
	x.departure = departureFrom(x.upstream, x.stream, x.server.drains, patience.cancel)
	x.client.left = x.departure.leave
	defer func() { x.grant.meters.disconnected(x.departure.end()) }()
	defer context.AfterFunc(ctx, x.departure.leave)()
	x.held.sent = true
	path := x.request.Operation.Path
	response, err := post(attempt, x.transport, x.upstream, path, x.header(), x.body) //nolint:bodyclose // recycle does.
	if err != nil {
		err = causeOf(attempt, err)
		patience.end()
		cancel()
		x.unanswered(err)
		return
	}
	content := patience.answered(x.upstream, response.Body)
	response.Body = content
	x.why = func(err error) error { return causeOf(attempt, err) }
	defer x.server.recycle(content, cancel)
	x.record.generation = nameOf(response.Header.Get("X-Generation-Id"), x.key)
	x.record.upstreamRequest = upstreamRequestIDOf(response.Header, x.key)
	x.held.hold.Sent(x.record.generation)
	relayHeaders(x.client.header(), response.Header, x.record.upstreamRequest)
	switch {
	case response.StatusCode/100 != 2:
		x.relayRefusal(response)
	case encoded(response.Header):
		x.record.problem = fmt.Sprintf("the upstream's answer is encoded as %q, which was not asked for",
			response.Header.Get("Content-Encoding"))
		x.held.uncertainly()
		x.fail(outcome{refusal: invalidAnswer(x.request.Operation), elsewhere: true})
	case x.stream && isEventStream(response.Header):
		x.relayStream(response.Body)
	default:
		x.departure.answeredWhole()
		x.relayAnswer(response)
	}
}

// header is the header of the request.
func (x *exchange) header() http.Header {
	header := requestHeader(x.key, x.stream)
	tellWhoAsks(header, x.upstream)
	x.request.Operation.SetHeader(header, providerOf(x.upstream.Provider), x.key)
	return header
}

// doubt has it found out what the attempt cost, if that is uncertain and the upstream named it.
func (x *exchange) doubt() {
	if x.held.certainty == client.Uncertain {
		x.server.corrector.add(doubt{
			hold: x.held.hold, route: x.grant.route, upstream: x.upstream, key: x.key, generation: x.record.generation,
		})
	}
}

// unanswered ends an exchange without an answer.
func (x *exchange) unanswered(err error) {
	x.record.problem = err.Error()
	if _, notSent := errors.AsType[*notSentError](err); notSent {
		x.held.release()
		x.fail(outcome{refusal: unreachable(), elsewhere: true, again: true})
		return
	}
	if errors.Is(err, errCancelled) {
		x.settleProduced(nil, 0)
	} else {
		x.held.uncertainly()
	}
	x.fail(outcome{refusal: broken(err), elsewhere: !clientLeft(err)})
}

// relayRefusal ends an exchange that the upstream answered with an error status.
func (x *exchange) relayRefusal(response *http.Response) {
	body, err := readAll(response.Body, response.ContentLength, maxErrorBytes)
	said := readUpstreamError(body)
	x.record.problem = fmt.Sprintf("upstream status %d: %s", response.StatusCode, said.forLog())
	if err == nil && unbilled(response.StatusCode, said.found) {
		x.held.release()
	} else {
		x.held.uncertainly()
	}
	x.fail(outcome{
		refusal: refusalOf(response.StatusCode, said, x.key), elsewhere: maySucceedElsewhere(response.StatusCode, said),
		again:      maySucceedAgain(response.StatusCode, said, response.Header),
		retryAfter: retryAfterOf(response.Header),
	})
}

// relayAnswer ends an exchange that the upstream answered with JSON, which is also what a stream may get.
func (x *exchange) relayAnswer(response *http.Response) {
	body, err := readAll(response.Body, response.ContentLength, maxAnswerBytes)
	if err != nil {
		err = x.why(err)
		x.record.problem = err.Error()
		x.held.uncertainly()
		x.fail(outcome{refusal: broken(err), elsewhere: !clientLeft(err)})
		return
	}
	x.heard(body)
	answer, err := x.request.Operation.ReadAnswer(body)
	if answer.Reported != nil && !answer.Generated {
		x.relayReported(answer)
		return
	}
	x.settleBy(answer.Usage, err)
	if errors.Is(err, openai.ErrNoObject) {
		x.fail(outcome{refusal: invalidAnswer(x.request.Operation)})
		return
	}
	if answer.Reported != nil && quotesKey(body, x.key) {
		body = bytes.ReplaceAll(body, []byte(x.key), []byte(redacted))
	}
	x.sendAnswer(body)
}

// relayReported ends an exchange whose answer has the status 200 and is nothing but an error. Nothing was generated, so nothing is billed
// unless the upstream says so.
func (x *exchange) relayReported(answer openai.Answer) {
	said := readUpstreamError(answer.ReportedIn)
	x.record.problem = "upstream status 200 with an error: " + said.forLog()
	if answer.Usage != nil {
		x.settleBy(answer.Usage, nil)
	} else {
		x.held.release()
	}
	x.fail(outcomeOf(said, x.key))
}

// sendAnswer sends a JSON answer, as a stream to a client that asked for one.
func (x *exchange) sendAnswer(body []byte) {
	contentType := "application/json"
	if x.stream {
		events, err := x.request.Operation.StreamOf(body, x.includeUsage)
		if err != nil {
			x.record.problem = err.Error()
			x.fail(outcome{refusal: invalidAnswer(x.request.Operation)})
			return
		}
		body, contentType = events, eventStream
		streamHeaders(x.client.header())
	}
	x.client.header().Set("Content-Type", contentType)
	x.client.header().Set("Content-Length", strconv.Itoa(len(body)))
	x.announceCost()
	x.client.begin(http.StatusOK)
	x.client.send(body)
}

// settleBy books what the usage costs, or the hold if the upstream did not say.
func (x *exchange) settleBy(usage *pricing.Usage, err error) {
	if usage == nil || err != nil {
		x.record.problem = "the upstream reported no usage"
		if err != nil {
			x.record.problem = err.Error()
		}
		x.held.uncertainly()
		return
	}
	x.count(usage)
	source := client.Priced
	if x.reportsCost() && usage.Cost != nil {
		source = client.Reported
	}
	x.held.exactly(x.costOf(usage), source, usage)
}

func (x *exchange) count(usage *pricing.Usage) {
	x.usage, x.record.usage = usage, *usage
	x.grant.meters.used(usage)
}

func (x *exchange) costOf(usage *pricing.Usage) money.Amount {
	return pricing.Cost(*usage, x.prices, x.reportsCost())
}

// reportsCost reports whether the upstream's own figure is to be believed.
func (x *exchange) reportsCost() bool { return x.upstream.Provider == routeconfig.OpenRouter }

// fail ends an attempt. The hold is settled by now. A client that has got a part of a stream is told there; otherwise another upstream may
// be tried.
func (x *exchange) fail(how outcome) {
	if x.client.begun {
		x.record.code = codeOf(how.refusal)
		x.client.send(x.record.dialect.Event(how.refusal))
		return
	}
	how.uncertain = x.held.certainty == client.Uncertain
	x.outcome = how
}

// encoded says that what comes with a header would have to be unpacked to be read.
func encoded(header http.Header) bool {
	encoding := header.Get("Content-Encoding")
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}

const eventStream = "text/event-stream"

func isEventStream(header http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && mediaType == eventStream
}
