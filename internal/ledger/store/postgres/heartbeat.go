package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/lend"
	"github.com/modelroute/modelroute/internal/money"
)

// inFlight is a store.InFlight as it is in the database.
type inFlight struct {
	Namespace string `json:"namespace"`
	Route     string `json:"route"`
	Consumer  string `json:"consumer"`
	Upstream  string `json:"upstream"`
	Nano      int64  `json:"nano"`
}

// encode writes what requests under way can cost; nothing for nothing.
func encode(beat store.Beat) (string, error) {
	if len(beat.InFlight) == 0 {
		return "", nil
	}
	list := make([]inFlight, 0, len(beat.InFlight))
	for _, one := range beat.InFlight {
		list = append(list, inFlight{
			Namespace: one.Route.Namespace, Route: one.Route.Name, Consumer: one.Consumer, Upstream: one.Upstream,
			Nano: one.Amount.Nano(),
		})
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// decode adds up what encode has written.
func decode(text string, into store.Held) error {
	if text == "" {
		return nil
	}
	var list []inFlight
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("%w: what is in flight cannot be read: %w", errBooks, err)
	}
	for _, one := range list {
		into.Add(store.InFlight{
			Route: store.RouteKey{Namespace: one.Namespace, Name: one.Route}, Consumer: one.Consumer, Upstream: one.Upstream,
			Amount: money.FromNano(one.Nano),
		})
	}
	return nil
}

const (
	selectVersions = `SELECT namespace, name, version FROM proxies
		JOIN proxy_routes ON proxy_routes.proxy_id = proxies.id AND proxy_routes.epoch = proxies.epoch
		JOIN routes ON routes.id = route_id WHERE proxies.proxy_id = $1`

	// An account is contended if any of its windows is.
	selectRecalled = `SELECT leases.id FROM leases JOIN proxies ON proxies.id = leases.proxy_id
		WHERE proxies.proxy_id = $1 AND granted > taken AND EXISTS (SELECT 1 FROM windows
			WHERE windows.account_id = leases.account_id AND contended_until >= $2::bigint AND contended_until <= $3::bigint)
		ORDER BY leases.id`
)

// heartbeat is what a heartbeat finds in the database.
type heartbeat struct {
	from  proxy
	known struct{ hash, inFlight string }
	pulse store.Pulse
}

// Heartbeat implements store.Store. It writes only what is news.
func (s *Store) Heartbeat(ctx context.Context, now time.Time, credential store.Credential, beat store.Beat) (store.Pulse, error) {
	text, err := encode(beat)
	if err != nil {
		return store.Pulse{}, err
	}
	var found *heartbeat
	err = s.asProxy(ctx, now, credential, "noting a heartbeat", func(t *tx) error {
		found = &heartbeat{pulse: store.Pulse{Versions: map[store.RouteKey]int64{}}}
		if err := t.readBeat(now, credential, found); err != nil {
			return err
		}
		w := t.work(now, &found.from)
		if found.known.hash == beat.ConfigHash && found.known.inFlight == text {
			return w.heardOnly()
		}
		b := t.batch()
		b.Queue(putBeat, found.from.id, beat.ConfigHash, text)
		if found.from.unheard(now) {
			w.queueHeard(b)
		}
		return t.commit(b)
	})
	if err != nil {
		return store.Pulse{}, err
	}
	return found.pulse, nil
}

// readBeat locks the proxy and reads what it should know.
func (t *tx) readBeat(now time.Time, credential store.Credential, into *heartbeat) error {
	b := t.batch()
	queueProxy(b, credential.ProxyID, &into.from)
	b.Queue(`SELECT config_hash, in_flight FROM beats JOIN proxies ON proxies.id = beats.proxy_id WHERE proxies.proxy_id = $1`,
		credential.ProxyID).Query(each(func(scan func(into ...any) error) error {
		return scan(&into.known.hash, &into.known.inFlight)
	}))
	b.Queue(selectVersions, credential.ProxyID).Query(each(func(scan func(into ...any) error) error {
		var key store.RouteKey
		var version int64
		err := scan(&key.Namespace, &key.Name, &version)
		into.pulse.Versions[key] = version
		return err
	}))
	latest := now.Add(lend.ContentionTime).UnixMilli()
	b.Queue(selectRecalled, credential.ProxyID, now.UnixMilli(), latest).Query(func(rows pgx.Rows) (err error) {
		into.pulse.Recall, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	if err := t.send(b); err != nil {
		return err
	}
	return into.from.check(credential)
}
