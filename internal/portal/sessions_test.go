package portal

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestWhoSignsInWhenAllPlacesAreTakenTakesThatOfWhoHasBeenInLongest(t *testing.T) {
	now := time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)
	sessions := newSessions(func() time.Time { return now })
	known := func(cookie *http.Cookie) bool {
		request := &http.Request{Header: http.Header{}}
		request.AddCookie(cookie)
		return sessions.of(request) != Visitor{}
	}
	first := sessions.begin(Visitor{Token: "first"})
	now = now.Add(time.Second)
	second := sessions.begin(Visitor{Token: "second"})
	now = now.Add(time.Second)
	for i := range maxSessions - 2 {
		sessions.byID[strconv.Itoa(i)] = session{visitor: Visitor{Token: "other"}, ends: now.Add(sessionTime)}
	}
	last := sessions.begin(Visitor{Token: "last"})
	if known(first) || !known(second) || !known(last) || len(sessions.byID) != maxSessions {
		t.Errorf("the first is known: %v, the second: %v, the last: %v; there are %d", known(first), known(second), known(last),
			len(sessions.byID))
	}
	now = now.Add(sessionTime)
	sessions.begin(Visitor{Token: "next day"})
	if len(sessions.byID) != 1 {
		t.Errorf("%d sessions are kept though they have ended", len(sessions.byID)-1)
	}
}
