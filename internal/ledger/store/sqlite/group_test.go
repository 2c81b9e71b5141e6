package sqlite

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// blocked keeps the writer busy until it is released, so that the calls that are made meanwhile become one group.
func (s *Store) blocked(t *testing.T, waiting *sync.WaitGroup) (release func()) {
	t.Helper()
	entered, released := make(chan struct{}), make(chan struct{})
	waiting.Go(func() {
		err := s.submit(&call{ctx: t.Context(), do: func(*tx) (error, error) {
			close(entered)
			<-released
			return nil, nil
		}})
		if err != nil {
			t.Error(err)
		}
	})
	<-entered
	return func() { close(released) }
}

// queued waits until so many calls wait for the writer.
func (s *Store) queued(calls int) {
	for len(s.queue) < calls {
		time.Sleep(time.Millisecond)
	}
}

func TestWhatIsGivenBackCanBeDrawnInTheSameGroup(t *testing.T) {
	for window, name := range map[string]string{"in a window that is there": "total", "in a window that is opened": "new"} {
		t.Run(window, func(t *testing.T) { giveBackAndDraw(t, name) })
	}
}

// giveBackAndDraw reports and draws in one group, under a budget of the name that was put after the first draw.
func giveBackAndDraw(t *testing.T, name string) {
	s, credential := opened(t, t.TempDir())
	lease := mustDraw(t, s, credential, 1, 90)
	small := chat
	small.Budgets = []store.Budget{{Name: name, Limit: money.FromNano(100), Period: budget.Total, Enforcement: budget.Deny}}
	if err := s.PutRoute(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	waiting.Go(func() {
		if got, err := drawn(t.Context(), s, credential, 2, 60); got == 0 || err != nil {
			t.Errorf("lease %d, error %v", got, err)
		}
	})
	s.queued(1)
	waiting.Go(func() {
		records := []store.Record{settlement(lease, 40), {Return: &store.Charge{Lease: lease, Amount: money.FromNano(50)}}}
		if _, err := s.Append(t.Context(), time.Now(), credential, 1, records); err != nil {
			t.Error(err)
		}
	})
	s.queued(2)
	release()
	waiting.Wait()
	wantTotal(t, s, 40, 0, 60)
	forgetWindows(t, s)
	wantTotal(t, s, 40, 0, 60)
}

func TestACallThatCannotBeWrittenDoesNotTakeOthersWithIt(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	lease := mustDraw(t, s, credential, 1, 90)
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	for number := range int64(10) {
		waiting.Go(func() {
			if appended, err := s.Append(t.Context(), time.Now(), credential, number+1, []store.Record{settlement(lease, 1)}); err != nil {
				t.Errorf("Append: %+v, %v", appended, err)
			}
		})
		s.queued(int(number) + 1)
	}
	waiting.Go(func() {
		if got, err := drawn(t.Context(), s, credential, 2, 5); got != lease || err != nil {
			t.Errorf("lease %d, error %v, want %d", got, err, lease)
		}
	})
	s.queued(11)
	waiting.Go(func() {
		err := s.submit(&call{ctx: t.Context(), do: func(tx *tx) (error, error) {
			_, err := tx.exec(`INSERT INTO routes (namespace, name, server) VALUES (NULL, NULL, NULL)`)
			return nil, err
		}})
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("error %v, want ErrFailed", err)
		}
	})
	s.queued(12)
	release()
	waiting.Wait()
	wantTotal(t, s, 10, 0, 85)
	forgetWindows(t, s)
	wantTotal(t, s, 10, 0, 85)
}

func TestAProxyThatIsHeardJustInTimeKeepsItsLeases(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	mustDraw(t, s, credential, 1, 90)
	began := time.Now()
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	waiting.Go(func() {
		if lapsed, err := s.ExpireSilent(t.Context(), began); lapsed != (store.Lapsed{}) || err != nil {
			t.Errorf("%+v lapsed, error %v", lapsed, err)
		}
	})
	waiting.Go(func() {
		freed, err := s.ReleaseProxy(t.Context(), began, began, store.Release{ProxyID: "proxy", By: "admin", Reason: "silence"})
		if !errors.Is(err, store.ErrStillAlive) {
			t.Errorf("%s freed, error %v, want ErrStillAlive", freed, err)
		}
	})
	s.queued(2) // The proxy was found silent.
	waiting.Go(func() {
		if _, err := s.Heartbeat(t.Context(), began.Add(time.Second), credential, store.Beat{}); err != nil {
			t.Error(err)
		}
	})
	s.queued(3)
	release()
	waiting.Wait()
	wantTotal(t, s, 0, 0, 90)
}

func TestWhatIsGivenBackIsNotRecalledInTheSameGroup(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	lease := mustDraw(t, s, credential, 1, store.MaxLimit)
	if got, err := drawn(t.Context(), s, credential, 2, 1); got != 0 || err != nil {
		t.Fatalf("lease %d, error %v, want a denial", got, err)
	}
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	waiting.Go(func() {
		pulse, err := s.Heartbeat(t.Context(), time.Now(), credential, store.Beat{})
		if err != nil || len(pulse.Recall) != 0 {
			t.Errorf("pulse %+v, error %v, want nothing recalled", pulse, err)
		}
	})
	waiting.Go(func() {
		records := []store.Record{{Return: &store.Charge{Lease: lease, Amount: money.FromNano(store.MaxLimit)}}}
		if _, err := s.Append(t.Context(), time.Now(), credential, 1, records); err != nil {
			t.Error(err)
		}
	})
	s.queued(2)
	release()
	waiting.Wait()
}
