package plainhttp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// connection is a connection with one request at a time.
type connection struct {
	address string
	socket  net.Conn
	reader  *bufio.Reader
	// used is true once an answer came over it; reusable is false once the next request needs another connection.
	used, reusable bool
	// freeAt is when it was last put aside.
	freeAt time.Time

	// context is that of the request; stop ends the watching of it.
	context context.Context //nolint:containedctx // It belongs to the request that the connection has.
	stop    func() bool
	// written counts the bytes of the request that were written; header is how many bytes of the answer's header may still come, negative
	// once it is there.
	written, header int64
}

func newConnection(address string, socket net.Conn, buffer int) *connection {
	c := &connection{address: address, socket: socket, reusable: true}
	c.reader = bufio.NewReaderSize(fromSocket{c}, buffer)
	return c
}

// aLongTimeAgo is a deadline that is over, which ends what is under way.
var aLongTimeAgo = time.Unix(1, 0)

// begin begins a request, which ends with the context.
func (c *connection) begin(ctx context.Context) {
	c.context, c.written = ctx, 0
	c.stop = context.AfterFunc(ctx, func() { _ = c.socket.SetDeadline(aLongTimeAgo) })
}

// end ends the request, and reports whether the connection can have another.
func (c *connection) end() bool {
	// If it is too late to stop, the deadline has been set or will be.
	return c.stop() && c.reusable && c.reader.Buffered() == 0
}

func (c *connection) close() {
	c.reusable = false
	c.stop()
	_ = c.socket.Close()
}

// write writes a request.
func (c *connection) write(request *http.Request) error {
	writer, _ := writers.Get().(*bufio.Writer)
	writer.Reset(toSocket{c})
	defer func() {
		writer.Reset(nil)
		writers.Put(writer)
	}()
	if err := request.Write(writer); err != nil {
		return err
	}
	return writer.Flush()
}

// maxInformational is how many interim answers are passed over.
const maxInformational = 5

var errInformational = errors.New("too many interim answers")

// readHeader reads the header of the answer, of at most so many bytes.
func (c *connection) readHeader(request *http.Request, most int64) (*http.Response, error) {
	for range maxInformational {
		c.header = most
		response, err := http.ReadResponse(c.reader, request)
		c.header = -1
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, errInformational
}

var errHeaderTooLarge = errors.New("the header is too large")

// fromSocket reads from the connection's socket, and no more than may come of a header.
type fromSocket struct{ *connection }

func (s fromSocket) Read(into []byte) (int, error) {
	if s.header == 0 {
		return 0, errHeaderTooLarge
	}
	if s.header > 0 {
		into = into[:min(int64(len(into)), s.header)]
	}
	n, err := s.socket.Read(into)
	if s.header > 0 {
		s.header -= int64(n)
	}
	return n, err
}

// toSocket writes to the connection's socket, and counts.
type toSocket struct{ *connection }

func (s toSocket) Write(content []byte) (int, error) {
	n, err := s.socket.Write(content)
	s.written += int64(n)
	return n, err
}

// body is the body of an answer.
type body struct {
	io.ReadCloser
	connection *connection
	transport  *Transport
	ended      bool
}

func (b *body) Read(into []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(into)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.end()
		return n, io.EOF
	}
	cause := context.Cause(b.connection.context)
	b.connection.close()
	if cause != nil {
		err = cause
	}
	return n, err
}

// end gives the connection back.
func (b *body) end() {
	if b.ended {
		return
	}
	b.ended = true
	if b.connection.end() {
		b.transport.keep(b.connection)
		return
	}
	b.connection.close()
}

// Close ends the answer. A connection on which more of it would come is of no use any more.
func (b *body) Close() error {
	if !b.ended {
		b.ended = true
		b.connection.close()
	}
	return nil
}
