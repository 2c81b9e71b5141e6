package plainhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/plainhttp"
)

// way is a transport that counts the connections that it makes.
type way struct {
	*plainhttp.Transport
	made atomic.Int32
}

func newWay(t *testing.T, idleLife time.Duration) *way {
	t.Helper()
	w := &way{}
	w.Transport = &plainhttp.Transport{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			w.made.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		MaxHeaderBytes: 16 << 10, ReadBuffer: 2 << 10, MaxIdle: 2, IdleLife: idleLife, Now: time.Now,
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

func (w *way) send(ctx context.Context, url, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return w.RoundTrip(request)
}

// ask sends a body and reads the whole answer.
func (w *way) ask(t *testing.T, url, body string) (answer string, err error) {
	t.Helper()
	response, err := w.send(t.Context(), url, body)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return string(content), err
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// script answers the requests of each connection, in their order, with texts, and closes the connection behind the last.
func script(t *testing.T, answers ...string) (url string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				reader := bufio.NewReader(connection)
				for _, answer := range answers {
					request, err := http.ReadRequest(reader)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					_, _ = io.WriteString(connection, answer)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// echo answers with the request's body, once it has it: a server of net/http does not read on while it answers.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

func TestAConnectionIsUsedAgainOnceItsAnswerWasRead(t *testing.T) {
	server, w := serve(t, echo), newWay(t, time.Minute)
	for i := range 10 {
		// Short, longer than all buffers, and empty.
		body := strings.Repeat("x", []int{5, 1 << 20, 0}[i%3])
		if got, err := w.ask(t, server.URL, body); err != nil || got != body {
			t.Fatalf("%d bytes came back of %d: %v", len(got), len(body), err)
		}
	}
	if made := w.made.Load(); made != 1 {
		t.Errorf("%d connections were made", made)
	}
}

func TestAConnectionIsNotUsedAgainWhoseAnswerWasNotReadToItsEnd(t *testing.T) {
	server, w := serve(t, echo), newWay(t, time.Minute)
	response, err := w.send(t.Context(), server.URL, strings.Repeat("x", 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got, err := w.ask(t, server.URL, "next"); err != nil || got != "next" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAConnectionThatWasClosedMeanwhileIsPassedOver(t *testing.T) {
	url, w := script(t, hello), newWay(t, time.Minute) // Each connection is closed after one answer that does not say so.
	for range 20 {
		if got, err := w.ask(t, url, "body"); err != nil || got != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAConnectionOnWhichSomethingCameUnaskedIsPassedOver(t *testing.T) {
	url, w := script(t, hello+hello, hello), newWay(t, time.Minute)
	for range 4 {
		if got, err := w.ask(t, url, "body"); err != nil || got != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
		time.Sleep(time.Millisecond)
	}
	if made := w.made.Load(); made != 4 {
		t.Errorf("%d connections were made, want 4", made)
	}
}

func TestConnectionsAreClosedAfterAWhile(t *testing.T) {
	gone := make(chan struct{}, 8)
	server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			gone <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	w := newWay(t, 50*time.Millisecond)
	if _, err := w.ask(t, server.URL, "body"); err != nil {
		t.Fatal(err)
	}
	<-gone
	if got, err := w.ask(t, server.URL, "again"); err != nil || got != "again" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestARequestIsNotSentTwice(t *testing.T) {
	var got atomic.Int32
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if got.Add(1) == 2 {
			panic(http.ErrAbortHandler) // The connection breaks before there is an answer.
		}
		_, _ = io.WriteString(w, "hello")
	})
	w := newWay(t, time.Minute)
	if _, err := w.ask(t, server.URL, "first"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask(t, server.URL, "second"); err == nil {
		t.Error("a broken connection is no error")
	}
	if got := got.Load(); got != 2 {
		t.Errorf("the server got %d requests", got)
	}
}

func TestWhatTheOtherSideMaySay(t *testing.T) {
	cases := map[string]struct{ answer, want, fails string }{
		"an answer that says how long it is":     {hello, "hello", ""},
		"one that ends with the connection":      {"HTTP/1.1 200 OK\r\n\r\nhello", "hello", ""},
		"one in chunks":                          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", ""},
		"interim answers before it":              {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello, "hello", ""},
		"nothing but interim answers":            {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 9), "", "too many interim answers"},
		"a header that is too large":             {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "", "too large"},
		"a header that ends too early":           {"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", "", "unexpected EOF"},
		"nothing at all":                         {"", "", "unexpected EOF"},
		"something else than HTTP":               {"+OK ready\r\n\r\n", "", "malformed HTTP"},
		"a body that is shorter than it is said": {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hello", "unexpected EOF"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := newWay(t, time.Minute).ask(t, script(t, test.answer), "body")
			if got != test.want || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestTheEndOfTheContextEndsARequestAtAnyPoint(t *testing.T) {
	reason := errors.New("enough")
	cases := map[string]http.HandlerFunc{
		"before its header": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"in the middle of its body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "hel")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	}
	for name, handler := range cases {
		t.Run(name, func(t *testing.T) {
			server, w := serve(t, handler), newWay(t, time.Minute)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
			response, err := w.send(ctx, server.URL, "body")
			if err == nil {
				_, err = io.ReadAll(response.Body)
				_ = response.Body.Close()
			}
			if !errors.Is(err, reason) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestManyAtOnceDoNotMixTheirAnswers(t *testing.T) {
	server, w := serve(t, echo), newWay(t, time.Minute)
	ended := make(chan error)
	for worker := range 16 {
		go func() {
			for i := range 200 {
				body := fmt.Sprintf("%d-%d-%s", worker, i, strings.Repeat("x", i*50))
				response, err := w.send(t.Context(), server.URL, body)
				if err != nil {
					ended <- err
					return
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || string(got) != body {
					ended <- fmt.Errorf("%.20q came back for %.20q: %w", got, body, err)
					return
				}
			}
			ended <- nil
		}()
	}
	for range 16 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
