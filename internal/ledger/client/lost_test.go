package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// lossy lets calls through and drops some answers.
type lossy struct {
	http.RoundTripper
	// drop is how many answers to reservations are dropped yet.
	drop atomic.Int64
}

func (l *lossy) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(request)
	if err == nil && strings.HasSuffix(request.URL.Path, "/Reserve") && l.drop.Add(-1) >= 0 {
		response.Body.Close()
		return nil, errors.New("the connection broke")
	}
	return response, err
}

func TestALostAnswerHoldsOnce(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	wire := &lossy{RoundTripper: l.HTTPClient().Transport}
	c := run(t, l, func(o *client.Options) { o.HTTPClient = &http.Client{Transport: wire} })
	wire.drop.Store(1)
	hold := reserve(t, c, 600)
	wantSpend(t, l, [3]int64{0, 0, 600})
	settle(t, hold, 600, client.Exact)
	wantSpend(t, l, [3]int64{600, 0, 0})
}

func TestAHoldWhoseAnswersAreAllLostIsGivenBack(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	wire := &lossy{RoundTripper: l.HTTPClient().Transport}
	c := run(t, l, func(o *client.Options) { o.HTTPClient = &http.Client{Transport: wire} })
	wire.drop.Store(1000)
	if _, err := c.Reserve(t.Context(), demand(600)); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
	wire.drop.Store(0)
	wantSpend(t, l, [3]int64{0, 0, 0})
	reserve(t, c, 1000)
}

func TestAShortAbsenceOfTheLedgerIsWaitedOut(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	reserve(t, c, 100)
	l.Stop()
	var starting sync.WaitGroup
	starting.Go(func() {
		time.Sleep(200 * time.Millisecond)
		l.Start()
	})
	reserve(t, c, 100)
	starting.Wait()
	wantSpend(t, l, [3]int64{0, 0, 200})
}

func TestARequestThatWentAwayGivesItsHoldBack(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	slow := &slowAnswer{RoundTripper: l.HTTPClient().Transport, answered: make(chan struct{})}
	c := run(t, l, func(o *client.Options) { o.HTTPClient = &http.Client{Transport: slow} })
	ctx, cancel := context.WithCancel(t.Context())
	var going sync.WaitGroup
	going.Go(func() {
		<-slow.answered
		cancel()
	})
	if _, err := c.Reserve(ctx, demand(600)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	going.Wait()
	wantSpend(t, l, [3]int64{0, 0, 0})
}

// slowAnswer keeps the first answer to a reservation back until the caller has gone.
type slowAnswer struct {
	http.RoundTripper
	once     sync.Once
	answered chan struct{}
}

func (s *slowAnswer) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := s.RoundTripper.RoundTrip(request)
	if strings.HasSuffix(request.URL.Path, "/Reserve") {
		s.once.Do(func() {
			close(s.answered)
			<-request.Context().Done()
		})
	}
	return response, err
}
