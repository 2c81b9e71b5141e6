// Package postgres keeps the ledger's books in PostgreSQL, or in what speaks its protocol and has its transactions, for any number of
// replicas of the ledger at a time. A replica remembers nothing that another one would have to know: every call proves its session in
// the transaction that has its effect.
//
// Transactions are READ COMMITTED and lock before they look: first the proxy's row, then the rows of the scopes concerned in the order
// of their ids. What a scope's row being locked protects is said in the schema.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// defaultConnections is how many connections a replica opens at most, if nothing else is said.
	defaultConnections = 8
	// defaultStatementTimeout is how long the database works on one statement, a lock that it waits for included.
	defaultStatementTimeout = 10 * time.Second
	// idleTimeout is how long a transaction may wait for its next statement: the locks of a replica that is cut off go with it.
	idleTimeout = 10 * time.Second
	// connectTimeout bounds how long a connection may take to be made.
	connectTimeout = 5 * time.Second
)

// Options says where the books are.
type Options struct {
	// DSN is the database's address, as a URL or as key=value pairs. The database must exist; its schema is made.
	DSN string
	// Now is the ledger's clock. It tells since when this replica can have heard proxies.
	Now func() time.Time
	// MaxConnections is how many connections may be open at a time, not counting two while the schema is migrated; 0 for 8.
	MaxConnections int32
	// StatementTimeout is how long the database may work on one statement; 0 for 10 s.
	StatementTimeout time.Duration
	// OnRetry is told of every transaction that is tried again because it was in conflict with another one, or its connection was
	// lost; nil for nobody.
	OnRetry func(cause error)
}

// Store is a store.Store on PostgreSQL.
type Store struct {
	options Options
	pool    *pgxpool.Pool
	closing sync.Once

	// hearing guards what this replica could have heard. It says nothing of money, and only makes the replica slow to take silence for it.
	hearing sync.Mutex
	// since is from when on, in milliseconds, it could have heard proxies: it began, or the database was away until then.
	since int64
	// heard are the proxies that it has heard since.
	heard map[string]bool

	// mu guards what is remembered. All of it can be read again, and what could have changed is checked where it is used.
	mu        sync.Mutex
	routes    map[store.RouteKey]*route
	accounts  map[int64]*account
	calendars map[calendarKey]budget.Calendar
}

var _ store.Store = (*Store)(nil)

// Open connects to the database and brings its schema up to date. It refuses one that was written by a later version. No error has the
// address, since there is a password in it.
func Open(ctx context.Context, options Options) (*Store, error) {
	config, err := configOf(options)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, config.ConnConfig.Copy()); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrFailed, err)
	}
	setTimeouts(config.ConnConfig, options.StatementTimeout)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrFailed, err)
	}
	return &Store{
		options:   options,
		pool:      pool,
		since:     options.Now().UnixMilli(),
		heard:     map[string]bool{},
		routes:    map[store.RouteKey]*route{},
		accounts:  map[int64]*account{},
		calendars: map[calendarKey]budget.Calendar{},
	}, nil
}

// errDSN says no more, since what cannot be parsed can have its password anywhere.
var errDSN = errors.New("the database's address is no PostgreSQL connection string (it is not shown, since it may have a password)")

func configOf(options Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(options.DSN)
	if err != nil {
		return nil, errDSN
	}
	config.MaxConns = options.MaxConnections
	if config.MaxConns <= 0 {
		config.MaxConns = defaultConnections
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "modelroute-ledger"
	}
	// Replicas that began together do not all reconnect together.
	config.MaxConnLifetimeJitter = config.MaxConnLifetime / 10
	return config, nil
}

// setTimeouts sets what the address does not set.
func setTimeouts(config *pgx.ConnConfig, statement time.Duration) {
	if statement <= 0 {
		statement = defaultStatementTimeout
	}
	for name, timeout := range map[string]time.Duration{
		"statement_timeout":                   statement,
		"idle_in_transaction_session_timeout": idleTimeout,
	} {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = fmt.Sprintf("%d", timeout.Milliseconds())
		}
	}
}

// Close waits for the calls under way and closes all connections.
func (s *Store) Close() error {
	s.closing.Do(s.pool.Close)
	return nil
}
