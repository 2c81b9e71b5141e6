package keys_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// day is the length of a day in seconds; at is a time so many seconds after 1970.
const day = 24 * 60 * 60

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func key(hash string, created, expires int64) routeconfig.Key {
	return routeconfig.Key{ID: hash, SHA256: hash, Created: created, Expires: expires}
}

func TestWhichKeysAreAcceptedAndWhenANewOneIsMade(t *testing.T) {
	monthly := keys.Policy{Interval: 30 * day * time.Second, Overlap: day * time.Second}
	asked := keys.Policy{Overlap: day * time.Second, Request: "again"}
	pending := key("new", 31*day, 0)
	type plan struct {
		Current, Previous string
		Ends              int64
		Accepted          []string
		Needed, Revokes   bool
		Next              int64
	}
	cases := map[string]struct {
		ring   keys.Ring
		policy keys.Policy
		now    int64
		want   plan
	}{
		"Nobody has a key yet": {
			want: plan{Needed: true},
		},
		"The first key waits until it is accepted": {
			ring: keys.Ring{Record: []routeconfig.Key{pending}, Pending: &pending},
			want: plan{Accepted: []string{"new"}},
		},
		"A delivered key stays": {
			ring: keys.Ring{Record: []routeconfig.Key{key("old", 0, 0)}, Delivered: "old"},
			now:  9000 * day,
			want: plan{Current: "old", Accepted: []string{"old"}},
		},
		"until its interval is over": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 0)}, Delivered: "old"},
			policy: monthly, now: 31*day - 1,
			want: plan{Current: "old", Accepted: []string{"old"}, Next: 31 * day},
		},
		"Then a new one is needed": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 0)}, Delivered: "old"},
			policy: monthly, now: 31 * day,
			want: plan{Current: "old", Accepted: []string{"old"}, Needed: true, Next: 31 * day},
		},
		"Both are accepted until the new one is delivered": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 0), pending}, Delivered: "old", Pending: &pending},
			policy: monthly, now: 31 * day,
			want: plan{Current: "old", Accepted: []string{"new", "old"}},
		},
		"and then for the overlap": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 0), pending}, Delivered: "new"},
			policy: monthly, now: 31 * day,
			want: plan{Current: "new", Previous: "old", Ends: 32 * day, Accepted: []string{"new", "old"}, Next: 32 * day},
		},
		"The end that was set once stays": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 32*day), pending}, Delivered: "new"},
			policy: monthly, now: 31*day + 5,
			want: plan{Current: "new", Previous: "old", Ends: 32 * day, Accepted: []string{"new", "old"}, Next: 32 * day},
		},
		"An end that nobody can have set is brought forward": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("forged", day, 999*day), pending}, Delivered: "new"},
			policy: monthly, now: 31 * day,
			want: plan{Current: "new", Previous: "forged", Ends: 32 * day, Accepted: []string{"new", "forged"}, Next: 32 * day},
		},
		"Then the old one is refused, which is no surprise": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 32*day), pending}, Delivered: "new"},
			policy: monthly, now: 32 * day,
			want: plan{Current: "new", Accepted: []string{"new"}, Next: 61 * day},
		},
		"Without an overlap it is refused as soon as the new one is delivered": {
			ring: keys.Ring{Record: []routeconfig.Key{key("old", day, 0), pending}, Delivered: "new"},
			now:  31 * day,
			want: plan{Current: "new", Accepted: []string{"new"}, Revokes: true},
		},
		"Who asks gets a new one": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 0)}, Delivered: "old"},
			policy: asked, now: 2 * day,
			want: plan{Current: "old", Accepted: []string{"old"}, Needed: true},
		},
		"once": {
			ring:   keys.Ring{Record: []routeconfig.Key{{ID: "new", SHA256: "new", Rotation: "again"}}, Delivered: "new"},
			policy: asked, now: 2 * day,
			want: plan{Current: "new", Accepted: []string{"new"}},
		},
		"Who asks no more keeps the key that was made then": {
			ring: keys.Ring{Record: []routeconfig.Key{{ID: "new", SHA256: "new", Rotation: "again"}}, Delivered: "new"},
			now:  2 * day,
			want: plan{Current: "new", Accepted: []string{"new"}},
		},
		"A Secret without a key of record revokes them all, that of the overlap too": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("older", 0, 99*day), key("old", day, 0)}},
			policy: monthly, now: 2 * day,
			want: plan{Needed: true, Revokes: true},
		},
		"So does one that has the key of the overlap again": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("older", 0, 99*day), key("old", day, 0)}, Delivered: "older"},
			policy: monthly, now: 2 * day,
			want: plan{Needed: true, Revokes: true},
		},
		"A key that a manager made and did not deliver is nobody's": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("old", day, 0), key("lost", 31*day, 0)}, Delivered: "old"},
			policy: keys.Policy{Overlap: day * time.Second}, now: 31 * day,
			want: plan{Current: "old", Accepted: []string{"old"}, Revokes: true},
		},
		"Of two that were replaced only the last is accepted": {
			ring:   keys.Ring{Record: []routeconfig.Key{key("older", 0, 32*day), key("old", day, 0), pending}, Delivered: "new"},
			policy: monthly, now: 31 * day,
			want: plan{
				Current: "new", Previous: "old", Ends: 32 * day, Accepted: []string{"new", "old"}, Revokes: true, Next: 32 * day,
			},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got := test.ring.Plan(test.policy, at(test.now))
			shown := plan{Needed: got.Needed, Revokes: got.Revokes}
			if got.Current != nil {
				shown.Current = got.Current.SHA256
			}
			if got.Previous != nil {
				shown.Previous, shown.Ends = got.Previous.SHA256, got.Previous.Expires
			}
			for _, one := range got.Accepted {
				shown.Accepted = append(shown.Accepted, one.SHA256)
			}
			if !got.Next.IsZero() {
				shown.Next = got.Next.Unix()
			}
			if diff := cmp.Diff(test.want, shown); diff != "" {
				t.Errorf("the plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANewKeyIsYoungerThanAllOfRecord(t *testing.T) {
	ring := keys.Ring{Record: []routeconfig.Key{key("old", 100, 0)}}
	for now, want := range map[int64]int64{50: 101, 100: 101, 200: 200} {
		if got := ring.New("new", keys.Policy{}, at(now)).Created; got != want {
			t.Errorf("at %d a new key is of %d, want %d", now, got, want)
		}
	}
}

// TestAKeyThatWorksGoesOnWorkingThroughARotation plays the operator: whatever the times are, at no time is the key of the Secret refused,
// and the one before it not until its overlap is over.
func TestAKeyThatWorksGoesOnWorkingThroughARotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := keys.Policy{
			Interval: time.Duration(rapid.Int64Range(0, 5).Draw(t, "interval")) * time.Second,
			Overlap:  time.Duration(rapid.Int64Range(0, 8).Draw(t, "overlap")) * time.Second,
		}
		var ring keys.Ring
		now, delivered, count := int64(1000), int64(0), 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 3).Draw(t, "passed")
			policy.Request = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "request")
			plan := ring.Plan(policy, at(now))
			if plan.Needed {
				count++
				made := ring.New(string(rune('A'+count)), policy, at(now))
				ring.Pending = &made
				plan = ring.Plan(policy, at(now))
			}
			if ring.Delivered != "" && !keys.Contains(plan.Accepted, ring.Delivered) {
				t.Fatalf("the key of the Secret is refused: %+v", ring)
			}
			before := ring
			ring.Record = plan.Accepted
			if ring.Pending != nil && rapid.Bool().Draw(t, "acknowledged") {
				ring.Delivered, ring.Pending, delivered = ring.Pending.SHA256, nil, now
				plan = ring.Plan(policy, at(now))
				if policy.Overlap > 0 && before.Delivered != "" && (plan.Previous == nil || plan.Previous.SHA256 != before.Delivered) {
					t.Fatalf("the key that was replaced is refused at once: %+v", plan)
				}
				ring.Record = plan.Accepted
			}
			if len(ring.Record) > 3 {
				t.Fatalf("%d keys are accepted", len(ring.Record))
			}
			if plan.Previous != nil && at(now).After(at(delivered).Add(policy.Overlap)) {
				t.Fatalf("the key that was replaced is accepted for longer than the overlap: %+v", plan)
			}
		}
	})
}
