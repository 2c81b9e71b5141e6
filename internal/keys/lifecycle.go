package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// Policy is when a key is replaced by a new one.
type Policy struct {
	// Interval is how long a key is used; 0 is without end.
	Interval time.Duration
	// Overlap is how long the key that was replaced is still accepted.
	Overlap time.Duration
	// Request names what asks for a new key; empty for nothing. A key that was made for another request, or for none, is replaced.
	Request string
}

// Request names a request for new keys by the value that asks for it, which may be of any length; empty for no value.
func Request(value string) string {
	if value == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:idLength/2])
}

// Ring is what is known of the keys of one holder.
type Ring struct {
	// Record are the keys that were accepted last: those of the configuration of record.
	Record []routeconfig.Key
	// Delivered is the hash of the key that the holder's Secret has; empty if there is none.
	Delivered string
	// Pending is the key that is made and not delivered yet; nil if there is none.
	Pending *routeconfig.Key
}

// Plan is what follows from a ring, at one time and under one policy.
type Plan struct {
	// Current is the key of the holder's Secret, and Previous the one that it replaced, while that is still accepted; nil for none.
	Current, Previous *routeconfig.Key
	// Accepted are all keys that are to be accepted: these two, and the pending one.
	Accepted []routeconfig.Key
	// Needed is true if a new key has to be made: there is none, or its time has come.
	Needed bool
	// Revokes is true if a key of record is not accepted any more although its time is not over. Whoever does that must be sure of what
	// the Secret has.
	Revokes bool
	// Next is when time alone will change the plan; zero if it will not.
	Next time.Time
}

// Plan is pure. A Secret without a key of record, because it was deleted or edited, means that all keys of record are refused from then on:
// that is how a key is revoked.
func (r Ring) Plan(policy Policy, now time.Time) Plan {
	var plan Plan
	if current := r.find(func(key routeconfig.Key) bool { return key.SHA256 == r.Delivered && key.Expires == 0 }); current != nil {
		plan.Current, plan.Previous = current, r.previous(*current, policy, now)
	}
	plan.Needed = r.Pending == nil && (plan.Current == nil || policy.isDue(*plan.Current, now))
	for _, key := range []*routeconfig.Key{r.Pending, plan.Current, plan.Previous} {
		if key != nil {
			plan.Accepted = append(plan.Accepted, *key)
		}
	}
	plan.Revokes = slices.ContainsFunc(r.Record, func(key routeconfig.Key) bool {
		return !isOver(key, now) && !Contains(plan.Accepted, key.SHA256)
	})
	if r.Pending == nil {
		plan.Next = policy.end(plan.Current)
	}
	if plan.Previous != nil {
		if ends := time.Unix(plan.Previous.Expires, 0); plan.Next.IsZero() || ends.Before(plan.Next) {
			plan.Next = ends
		}
	}
	return plan
}

// New returns the record of a new key of the ring with this hash. It is younger than all keys of record, so that their order is known.
func (r Ring) New(hash string, policy Policy, now time.Time) routeconfig.Key {
	created := now.Unix()
	for _, key := range r.Record {
		created = max(created, key.Created+1)
	}
	return routeconfig.Key{ID: ID(hash), SHA256: hash, Created: created, Rotation: policy.Request}
}

// previous is the youngest key that the current one has replaced. One that is younger than the current one was made and never delivered, by
// a process that is gone: nobody has it. None ends later than an overlap from now, whatever the record says: a hash that somebody has
// slipped into it goes with the overlap.
func (r Ring) previous(current routeconfig.Key, policy Policy, now time.Time) *routeconfig.Key {
	var previous *routeconfig.Key
	for _, key := range r.Record {
		isPending := r.Pending != nil && key.SHA256 == r.Pending.SHA256
		if isPending || key.SHA256 == current.SHA256 || key.Created > current.Created {
			continue
		}
		if end := now.Add(policy.Overlap).Unix(); key.Expires == 0 || key.Expires > end {
			key.Expires = end
		}
		if !isOver(key, now) && (previous == nil || key.Created > previous.Created) {
			previous = &key
		}
	}
	return previous
}

func (r Ring) find(matches func(routeconfig.Key) bool) *routeconfig.Key {
	if i := slices.IndexFunc(r.Record, matches); i >= 0 {
		return new(r.Record[i])
	}
	return nil
}

func (p Policy) isDue(key routeconfig.Key, now time.Time) bool {
	end := p.end(&key)
	return p.Request != "" && p.Request != key.Rotation || !end.IsZero() && !now.Before(end)
}

// end is when a key's interval is over; zero if it has no end, or there is no key.
func (p Policy) end(key *routeconfig.Key) time.Time {
	if key == nil || p.Interval == 0 {
		return time.Time{}
	}
	return time.Unix(key.Created, 0).Add(p.Interval)
}

func isOver(key routeconfig.Key, now time.Time) bool {
	return key.Expires != 0 && now.Unix() >= key.Expires
}

// Contains reports whether a key with this hash is among keys.
func Contains(keys []routeconfig.Key, hash string) bool {
	return slices.ContainsFunc(keys, func(key routeconfig.Key) bool { return key.SHA256 == hash })
}
