// Package client is how a proxy spends: it keeps a session with the ledger, holds money for every attempt at an upstream and
// settles what the attempt cost. It is the seam at which leased slices and a journal can be put between the proxy and the ledger
// without the proxy noticing.
package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/money"
)

// ErrUnavailable means that no money could be held because the ledger could not be reached or did not answer as it should. The
// request must not be sent.
var ErrUnavailable = errors.New("the ledger is not available")

// Route names a route that the proxy serves.
type Route struct {
	Namespace string
	Name      string
}

// Options says where the ledger is and who calls it.
type Options struct {
	// URL is the base URL of the ledger's RPCs.
	URL string
	// HTTPClient carries the calls; see NewHTTPClient.
	HTTPClient *http.Client
	// Token returns the bearer token by which the ledger authenticates the proxy. It is called for every call that needs one, so
	// that a rotated token is used at once.
	Token func(ctx context.Context) (string, error)
	// ProxyID is random and belongs to this process alone; see NewProxyID.
	ProxyID string
	// Instance is what people call this proxy: the pod's name.
	Instance string
	// Routes returns the routes that the proxy serves now. While it returns none, no session is opened; when it returns others, a
	// new one is.
	Routes func() []Route
	// ConfigHash returns the hash of the configuration that the proxy serves now, empty before the first.
	ConfigHash func() string
	Logger     *slog.Logger
}

// Client is one proxy's connection to the ledger. Its methods may be called at the same time; Run must be running.
type Client struct {
	options Options
	rpc     ledgerpbconnect.ProxyServiceClient
	logger  *slog.Logger
	// wake makes Run look at once; owe makes the settling loop look.
	wake, owe chan struct{}
	// sending is held while settlements are sent, so that there is one sender at a time.
	sending sync.Mutex
	// failing belongs to Run's goroutine.
	failing bool

	mu sync.Mutex
	// session is nil until the ledger opened one; sessionChanged is closed when it changes.
	session        *session
	sessionChanged chan struct{}
	opened         bool
	// next is the last sequence that was given out. It goes on across sessions, so that it names a hold for the life of the process.
	next uint64
	// unsettled are the holds whose settlement is not acknowledged yet; debts are those that are settled and wait for it.
	unsettled map[uint64]struct{}
	debts     []*debt
}

// New makes a client; Run brings it to life.
func New(options Options) *Client {
	transport := connecthttp.NewTransport(options.HTTPClient, options.URL, connecthttp.WithReadMaxBytes(maxResponseBytes))
	return &Client{
		options:        options,
		rpc:            ledgerpbconnect.NewProxyServiceClient(connect.NewClient(transport)),
		logger:         options.Logger,
		wake:           make(chan struct{}, 1),
		owe:            make(chan struct{}, 1),
		sessionChanged: make(chan struct{}),
		unsettled:      map[uint64]struct{}{},
	}
}

// maxResponseBytes bounds what the ledger may answer to a proxy.
const maxResponseBytes = 1 << 20

// NewProxyID returns a random identity for a proxy process: 128 bits, in hexadecimal.
func NewProxyID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// Demand is one attempt's worst case and who pays for it.
type Demand struct {
	Namespace string
	Route     string
	Consumer  string
	// Amount is the most that the attempt can cost, in nano-USD.
	Amount money.Amount
}

// Certainty says how well the cost of an attempt is known.
type Certainty int

const (
	// Exact is what the upstream said, or what its usage costs at the route's prices.
	Exact Certainty = iota + 1
	// Uncertain is the cost of an attempt that was sent and whose cost is not known: its hold.
	Uncertain
)

// Reason says why money was denied.
type Reason string

const (
	// Exhausted means that what is spent leaves too little for the demand.
	Exhausted Reason = "Exhausted"
	// Held means that the money is there, but other requests hold it, and did so for as long as Reserve waited.
	Held Reason = "Held"
)

// DeniedError says which budget refused a demand and what is left of it.
type DeniedError struct {
	Reason Reason
	// Consumer is empty if it is a budget of the route.
	Consumer string
	// Budget is the budget's name.
	Budget string
	Limit  money.Amount
	// Remaining is the limit less what is spent, not less what is held; it may be negative.
	Remaining money.Amount
	// ResetsIn is the time until the budget's window ends; 0 if it never does.
	ResetsIn time.Duration
}

func (e *DeniedError) Error() string {
	owner := "the route"
	if e.Consumer != "" {
		owner = "consumer " + e.Consumer
	}
	return fmt.Sprintf("budget %s of %s: %s, limit %s USD, remaining %s USD", e.Budget, owner, e.Reason, e.Limit, e.Remaining)
}
