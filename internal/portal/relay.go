package portal

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/openai"
)

const (
	// keyHeader has the key by which the route is asked. Authorization is not ours to use: it may have the visitor's own token. Proxies of
	// routes know the same name.
	keyHeader = "X-Api-Key"
	// maxAskedBytes bounds what is asked on a page, which is a prompt that somebody types.
	maxAskedBytes = 1 << 20
	// relayBytes is how much of an answer is passed on at a time, at most.
	relayBytes = 16 << 10

	// connectTime is how long a connection to a route may take, and answerTime how long the route may until its answer begins: as long as
	// routes wait for an upstream that does not say otherwise.
	connectTime, answerTime = 5 * time.Second, 10 * time.Minute
	// idleTime is how long a connection is kept for the next question.
	idleTime = time.Minute
	// maxAnswerHeader bounds the header of an answer, in bytes.
	maxAnswerHeader = 64 << 10
)

// passedOn are the headers of a route's answer that the browser gets.
var passedOn = []string{"Content-Type", "Retry-After", "X-Request-Id"}

// NewTransport makes what asks routes. It follows no redirects, since it is used without a client, and goes through no egress proxy: a key
// goes to the Service of its route and nowhere else.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTime}).DialContext,
		TLSHandshakeTimeout:    connectTime,
		ResponseHeaderTimeout:  answerTime,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxAnswerHeader,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // A compressed stream is held back by whoever compresses it.
	}
}

// relayPath is the base path at which the portal asks a route for the visitor of its page.
func relayPath(namespace, name string) string { return "/routes/" + namespace + "/" + name + "/v1" }

// relay asks a route what its visitor asks on its page, and passes the answer on while it is made. When the visitor goes away the request
// ends, and the route bills what was answered until then.
func (p *Portal) relay(w http.ResponseWriter, r *http.Request) {
	request, refusal := p.asked(w, r)
	if refusal != nil {
		openai.Dialect{}.Write(w, refusal)
		return
	}
	answer, err := p.options.Relay.RoundTrip(request)
	if err != nil {
		if r.Context().Err() == nil { // Otherwise there is nobody left to tell.
			p.options.Logger.LogAttrs(r.Context(), slog.LevelWarn, "A route cannot be asked",
				slog.String("host", request.URL.Host), slog.Any("error", err))
			openai.Dialect{}.Write(w, unanswered(request.URL.Host, err))
		}
		return
	}
	defer answer.Body.Close()
	for _, name := range passedOn {
		if values, has := answer.Header[name]; has {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	if err := passOn(w, answer.Body); err != nil {
		panic(http.ErrAbortHandler) // A part of an answer must not look like all of it: the server breaks the connection off.
	}
}

// asked is the request for the route. Nothing of the visitor's is in it but what they typed: the key, and the body. The error is what the
// visitor is told if there is none.
func (p *Portal) asked(w http.ResponseWriter, r *http.Request) (*http.Request, *openai.Error) {
	route, err := p.options.Source.Get(r.Context(), p.visitorOf(r), r.PathValue("namespace"), r.PathValue("name"))
	if err != nil {
		return nil, p.notShown(r.Context(), err)
	}
	endpoint, refusal := endpointOf(route)
	if refusal != nil {
		return nil, refusal
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAskedBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, openai.TooLarge(maxAskedBytes)
	} else if err != nil {
		return nil, openai.InvalidRequest("", "The request broke off.")
	}
	// From here on it takes as long as the answer does: the time that the server has for a page is not for it. Where none can be set there
	// is none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	url := endpoint + openai.Chat.Path
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, bytes.NewReader(body)) //nolint:gosec // See endpointOf.
	if err != nil {
		return nil, openai.Internal() // An endpoint is a URL.
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"text/event-stream, application/json"}, "User-Agent": {"modelroute-portal"},
	}
	if key := r.Header.Get(keyHeader); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	return request, nil
}

// notShown tells why a route is not asked that the visitor has not been shown.
func (p *Portal) notShown(ctx context.Context, err error) *openai.Error {
	switch {
	case errors.Is(err, ErrUnknownVisitor):
		return refused(http.StatusUnauthorized, "You are not signed in any more. Load this page again.")
	case errors.Is(err, ErrForbidden):
		return refused(http.StatusForbidden, "You may not see this route.")
	case errors.Is(err, ErrNotFound):
		return refused(http.StatusNotFound, "There is no such route.")
	}
	p.options.Logger.LogAttrs(ctx, slog.LevelError, "A route cannot be read", slog.Any("error", err))
	return failed(http.StatusBadGateway, "The route cannot be read at the moment. "+tryAgain)
}

// endpointOf is the base URL at which a route is asked: that of its status, if it is the one of the route's own Service or of its
// gateway's, both in the route's namespace. Whoever writes a status cannot have keys sent elsewhere.
func endpointOf(route *v1alpha1.ModelRoute) (string, *openai.Error) {
	known := []string{compile.Endpoint(route)}
	if gateway := route.Spec.GatewayRef.Name; gateway != "" {
		host := compile.GatewayServiceName(gateway) + "." + route.Namespace + ".svc"
		known = []string{"https://" + host + "/v1", "http://" + host + "/v1"} // Which of them it is, the gateway says.
	}
	switch endpoint := route.Status.Endpoint; {
	case slices.Contains(known, endpoint):
		return endpoint, nil
	case endpoint == "":
		return "", failed(http.StatusServiceUnavailable, "The route has no endpoint yet. Its conditions on this page say why.")
	default:
		return "", failed(http.StatusBadGateway, fmt.Sprintf(
			"The route's status has the endpoint %.200q, which is not that of its Service: it is not asked here. If the route was just "+
				"changed, try again in a little while.", endpoint))
	}
}

// unanswered tells why there is no answer. What failed exactly is for the log: a certificate's names and addresses are nobody else's.
func unanswered(host string, err error) *openai.Error {
	_, isUnknown := errors.AsType[*tls.CertificateVerificationError](err)
	lookup, isUnnamed := errors.AsType[*net.DNSError](err)
	dialing, isDialing := errors.AsType[*net.OpError](err)
	failure, isKnown := errors.AsType[net.Error](err)
	isTimeout := isKnown && failure.Timeout()
	switch {
	case isUnknown:
		return failed(http.StatusBadGateway, host+" has a certificate of an authority that this server does not know, so it cannot be "+
			"tried from this page. Programs that trust the authority reach it.")
	case isUnnamed && lookup.IsNotFound:
		return failed(http.StatusBadGateway, "There is no "+host+" in the cluster's DNS.")
	case isTimeout && isDialing && !isUnnamed && dialing.Op == "dial":
		return failed(http.StatusGatewayTimeout, fmt.Sprintf("There is no connection to %s within %s. If the route or its gateway has a "+
			"networkPolicy, that must name the portal's pods to be tried from this page.", host, connectTime))
	case isTimeout:
		return failed(http.StatusGatewayTimeout, host+" does not answer in time.")
	}
	return failed(http.StatusBadGateway, host+" cannot be reached. "+tryAgain)
}

// refused is for what is the visitor's to mend, and failed for what is not.
func refused(status int, message string) *openai.Error {
	return &openai.Error{Status: status, Type: openai.TypeInvalidRequest, Message: message}
}

func failed(status int, message string) *openai.Error {
	return &openai.Error{Status: status, Type: openai.TypeServer, Message: message}
}

// passOn sends each piece of an answer as soon as it is there.
func passOn(w http.ResponseWriter, answer io.Reader) error {
	control, buffer := http.NewResponseController(w), make([]byte, relayBytes)
	if err := control.Flush(); err != nil {
		return err // The header is there before the first piece.
	}
	for {
		read, err := answer.Read(buffer)
		if read > 0 {
			if _, err := w.Write(buffer[:read]); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
