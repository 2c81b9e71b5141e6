package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// keepInvariant leases from windows as far as the budgets' limits allow it: the invariant of the books, in one statement. The scopes are
// locked, so that it finds what was read and changes every row; it is what would stop a mistake.
const keepInvariant = `UPDATE windows SET leased = leased + d.amount
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (id, start, amount) JOIN accounts ON accounts.id = d.id
	WHERE account_id = d.id AND windows.start = d.start AND settled + uncertain + leased + d.amount <= ceiling`

// write writes what was decided, and commits. Where nothing was leased, nothing has to be recognised when it is repeated, and denying
// again and again costs no disk.
func (d *drawing) write() error {
	b := &pgx.Batch{}
	d.flush(b) // What moves between windows, before what is added.
	d.queueGrants(b)
	d.queueLeased(b)
	d.queueMarks(b)
	d.queueServed(b)
	if b.Len() == 0 {
		return d.heardOnly()
	}
	if len(d.granted) > 0 {
		d.from.lastDraw = d.draw.Sequence
	}
	d.queueHeard(b)
	if err := d.send(b); err != nil {
		return err
	}
	return d.commit(d.batch())
}

// queueGrants leases what was granted. That every grant fits was found out under the lock, so that it is a mistake if one does not.
func (d *drawing) queueGrants(b *pgx.Batch) {
	if len(d.granted) == 0 {
		return
	}
	ids, starts, amounts := make([]int64, 0, len(d.granted)), make([]int64, 0, len(d.granted)), make([]int64, 0, len(d.granted))
	for key, amount := range d.granted {
		ids, starts, amounts = append(ids, key.account), append(starts, key.start), append(amounts, amount.Nano())
	}
	b.Queue(keepInvariant, ids, starts, amounts).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != int64(len(ids)) {
			return fmt.Errorf("%w: of %d grants only %d fit their budgets", errBooks, len(ids), tag.RowsAffected())
		}
		return nil
	})
}

const (
	insertLeases = `INSERT INTO leases (id, proxy_id, account_id, start, granted, taken, granted_at)
		SELECT id, $1::bigint, account_id, start, granted, 0, granted_at
		FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
		AS made (id, account_id, start, granted, granted_at)`

	updateLeases = `UPDATE leases SET granted = d.granted, granted_at = d.granted_at
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (id, granted, granted_at) WHERE leases.id = d.id`
)

// queueLeased writes the leases that were made or added to.
func (d *drawing) queueLeased(b *pgx.Batch) {
	// Of those that were made, and of those that were added to.
	var made, accounts, starts, granted, at []int64
	var grown, sums, grownAt []int64
	for id, l := range d.leases {
		switch {
		case l.made:
			made, accounts, starts = append(made, id), append(accounts, l.account), append(starts, l.start)
			granted, at = append(granted, l.granted.Nano()), append(at, l.grantedAt.UnixMilli())
		case l.grown:
			grown, sums, grownAt = append(grown, id), append(sums, l.granted.Nano()), append(grownAt, l.grantedAt.UnixMilli())
		}
	}
	if len(made) > 0 {
		b.Queue(insertLeases, d.from.id, made, accounts, starts, granted, at)
	}
	if len(grown) > 0 {
		b.Queue(updateLeases, grown, sums, grownAt)
	}
}

// queueMarks writes which windows refuse, and which are contended.
func (d *drawing) queueMarks(b *pgx.Batch) {
	for key := range d.marked {
		row := d.windows[key]
		b.Queue(`UPDATE windows SET refusing = $3, contended_until = $4 WHERE account_id = $1 AND start = $2`,
			key.account, key.start, row.refusing, row.contendedUntil)
	}
}

// queueServed remembers that a proxy draws for routes that it may serve and has no session for yet, so that what it spends is booked.
func (d *drawing) queueServed(b *pgx.Batch) {
	if len(d.served) > 0 {
		b.Queue(`INSERT INTO proxy_routes (proxy_id, route_id, epoch) SELECT $1::bigint, id, 0 FROM unnest($2::bigint[]) AS served (id)`,
			d.from.id, keysOf(d.served))
	}
}
