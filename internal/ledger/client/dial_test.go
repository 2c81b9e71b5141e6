package client

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
)

// halves are the two ends of a connection.
func halves(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ours, theirs = net.Pipe()
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

func TestALedgerThatIsSilentDoesNotKeepFromAnother(t *testing.T) {
	connection, _ := halves(t)
	late, theirEnd := halves(t)
	var begun atomic.Int64
	ended := make(chan struct{})
	got, err := firstOf(t.Context(), func(ctx context.Context) (net.Conn, error) {
		if begun.Add(1) > 1 {
			return connection, nil
		}
		<-ctx.Done()
		defer close(ended)
		return late, nil // It answers when nobody needs it any more.
	})
	if err != nil || got != connection {
		t.Fatalf("firstOf = %v, %v, want the connection of the second attempt", got, err)
	}
	<-ended
	if _, err := theirEnd.Read(make([]byte, 1)); err == nil {
		t.Error("the connection that came too late is open")
	}
}

func TestARefusalIsToldAtOnce(t *testing.T) {
	refused := errors.New("connection refused")
	var begun atomic.Int64
	_, err := firstOf(t.Context(), func(context.Context) (net.Conn, error) {
		begun.Add(1)
		return nil, refused
	})
	if !errors.Is(err, refused) || begun.Load() != 1 {
		t.Errorf("firstOf: %v after %d attempts", err, begun.Load())
	}
}

func TestARefusalIsNoAnswerWhileAnotherAttemptIsUnderWay(t *testing.T) {
	connection, _ := halves(t)
	second := make(chan struct{})
	var begun atomic.Int64
	got, err := firstOf(t.Context(), func(context.Context) (net.Conn, error) {
		if begun.Add(1) == 1 {
			<-second
			return connection, nil
		}
		defer close(second)
		return nil, errors.New("connection refused")
	})
	if err != nil || got != connection {
		t.Errorf("firstOf = %v, %v, want the connection of the first attempt", got, err)
	}
}

func TestConnectingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := firstOf(ctx, func(ctx context.Context) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("firstOf: %v", err)
	}
}
