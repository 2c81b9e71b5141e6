// Package sqlite keeps the ledger's books in one SQLite file: write-ahead log, every commit synced to disk, one writer that puts
// concurrent calls into one transaction, and readers beside it.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // The driver "sqlite".

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// fileName is the database's name in the data directory.
	fileName = "ledger.db"
	// readers is how many reads run beside the writer.
	readers = 2
	// queueLength is how many writes can wait before callers do.
	queueLength = 4096
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options says where the books are.
type Options struct {
	// Dir is the data directory; it must exist. One process may have it open at a time.
	Dir string
	// Now is the ledger's clock. It tells since when proxies that were known before can have been heard again, and times commits.
	Now func() time.Time
	// OnCommit is told of every group of writes: how many calls it served and how long it took; nil for nobody.
	OnCommit func(calls int, took time.Duration)
	// OnRestored is told when books are opened that are a backup: of what happened since it was begun they know nothing yet. nil for
	// nobody.
	OnRestored func(takenAt time.Time)
}

// Store is a store.Store on SQLite.
type Store struct {
	options Options
	lock    *os.File
	write   *sql.DB
	read    *sql.DB
	queue   chan *call
	stop    chan struct{}
	stopped chan struct{}
	closing sync.Once

	// mu guards what calls and the writer share.
	mu        sync.Mutex
	proxies   map[string]*proxy
	calendars map[calendarKey]budget.Calendar

	// The rest belongs to the writer's goroutine. Routes change with a commit; what follows them can be read again at any time.
	routes   map[store.RouteKey]*route
	accounts map[int64]place
	// present has for an account the start of one window that surely has a row.
	present  map[int64]int64
	states   map[string]*state
	leases   map[int64]*lease
	leaseIDs map[leaseKey]int64
	// sharing has for a shared owner the routes of which a consumer draws on it.
	sharing map[store.RouteKey]map[store.RouteKey]bool
	// contended has for an account until when others are asked to give back what they do not need.
	contended map[int64]time.Time
}

var _ store.Store = (*Store)(nil)

// Open opens the books in the data directory, or begins them. It refuses a directory that another process has open, and a database
// that is damaged or was written by a later version.
func Open(ctx context.Context, options Options) (*Store, error) {
	lock, err := lockDir(options.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		options:   options,
		lock:      lock,
		queue:     make(chan *call, queueLength),
		stop:      make(chan struct{}),
		stopped:   make(chan struct{}),
		proxies:   map[string]*proxy{},
		routes:    map[store.RouteKey]*route{},
		calendars: map[calendarKey]budget.Calendar{},
		accounts:  map[int64]place{},
		sharing:   map[store.RouteKey]map[store.RouteKey]bool{},
		present:   map[int64]int64{},
		states:    map[string]*state{},
		leases:    map[int64]*lease{},
		leaseIDs:  map[leaseKey]int64{},
		contended: map[int64]time.Time{},
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	dropUnfinished(options.Dir)
	go s.run()
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	path := filepath.Join(s.options.Dir, fileName)
	var err error
	if s.write, err = openDB(path, 1, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=foreign_keys(1)"); err != nil {
		return err
	}
	if err := check(ctx, s.write); err != nil {
		return fmt.Errorf("the ledger's database %s: %w", path, err)
	}
	if err := migrate(ctx, s.write); err != nil {
		return fmt.Errorf("the ledger's database %s: %w", path, err)
	}
	if err := s.noteRestored(ctx); err != nil {
		return fmt.Errorf("the ledger's database %s: %w", path, err)
	}
	if s.read, err = openDB(path, readers, "_pragma=query_only(1)"); err != nil {
		return err
	}
	if err := s.loadRoutes(ctx); err != nil {
		return fmt.Errorf("reading the routes from %s: %w", path, err)
	}
	if err := s.loadProxies(ctx); err != nil {
		return fmt.Errorf("reading the proxies from %s: %w", path, err)
	}
	return nil
}

// openDB opens the file with up to the given number of connections, which stay open.
func openDB(path string, connections int, parameters ...string) (*sql.DB, error) {
	parameters = append(parameters,
		"_pragma=busy_timeout(5000)", "_pragma=synchronous(FULL)", "_pragma=cache_size(-4096)", "_pragma=temp_store(MEMORY)")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+strings.Join(parameters, "&"))
	if err != nil {
		return nil, fmt.Errorf("opening the ledger's database %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// check reads the whole database and reports the first thing that is wrong with it.
func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("cannot be read, restore it from a backup: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("is damaged, restore it from a backup: %s", verdict)
	}
	return nil
}

// migrate brings the schema up to date. It only goes forward.
func migrate(ctx context.Context, db *sql.DB) error {
	provider, err := migrationsFor(db)
	if err != nil {
		return err
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if current > newest {
		return tooNew(current, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the schema: %w", err)
	}
	return nil
}

func migrationsFor(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("finding the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return provider, nil
}

func tooNew(current, newest int64) error {
	return fmt.Errorf("was written by a later version of the ledger: its schema is %d, this program knows %d", current, newest)
}

// Close lets the writes that wait finish and closes the database.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.stop)
		<-s.stopped
		err = s.closeFiles()
	})
	return err
}

func (s *Store) closeFiles() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(append(errs, unlock(s.lock))...); err != nil {
		return fmt.Errorf("closing the ledger's database: %w", err)
	}
	return nil
}
