package leasemodel

import "fmt"

type stepKind int8

const (
	deliver stepKind = iota
	starts
	appends
	resends // The Open or the draw that is under way.
	reopens
	draws
	holds
	sends
	settles
	returns
	expires
	stopsCleanly
	hasStopped
	renews   // A new id, once the log of the old one is booked.
	abandons // The id that an operator released.
	asksAgain
	givesUp
	fallsSilent
	isReleased
	crashes
	reboots
	rolls
	edits
	changesLimit
	openServed // Only counted: a session was opened.
	stepKinds
)

var stepNames = [stepKinds]string{
	"deliver", "start", "append", "resend", "reopen", "draw", "hold", "send", "settle", "return", "expire", "stop", "stopped", "renew",
	"abandon", "ask again", "give up", "silence", "operator releases", "crash", "reboot", "window ends", "window edited", "limit", "",
}

// step is one atomic thing that happens. What a, b and c are depends on the kind; a is mostly the machine.
type step struct {
	kind    stepKind
	a, b, c int8
	message message // What is delivered, for the trace.
}

func (s step) String() string {
	if s.kind == deliver {
		m := s.message
		name := [...]string{"", "Open", "Open's answer", "Append", "Append's answer", "Draw", "Draw's answer"}[m.kind]
		return fmt.Sprintf("deliver %s (id %d session %d number %d last %d mask %b amount %d %v refused %t)",
			name, m.id, m.session, m.number, m.last, m.mask, m.amount, m.vector, m.refused)
	}
	if s.kind == stepKinds {
		return "the ledger is restored from a backup"
	}
	return fmt.Sprintf("%s %d %d %d", stepNames[s.kind], s.a, s.b, s.c)
}

// after returns the world after a step.
func (w *world) after(s step) *world {
	next := *w
	if bounded(s.kind) {
		next.left[s.kind]--
	}
	next.do(s)
	next.sweep()
	next.check()
	return &next
}

// bounded reports whether a scenario says how often a kind of step may happen.
func bounded(kind stepKind) bool {
	switch kind {
	case starts, draws, holds, returns, expires, stopsCleanly, asksAgain, givesUp, fallsSilent, isReleased, crashes, reboots, rolls, edits,
		changesLimit:
		return true
	default:
		return false
	}
}

// do changes the world by a step.
func (w *world) do(s step) {
	switch s.kind {
	case deliver:
		w.deliver(s.a)
	case draws:
		w.machine[s.a].uncovered = [cells]bool{}
		w.draws(s.a, s.b, s.c)
	case holds:
		w.holds(s.a, w.freeSlot(s.a), s.b, s.c)
	case sends:
		w.sends(s.a, s.b, s.c)
	case settles:
		w.settles(s.a, s.b, s.c == 1)
	case returns:
		w.returns(s.a, s.b)
	case expires:
		w.machine[s.a].valid[s.b] = false
	case fallsSilent:
		w.fallsSilent(s.a)
	case isReleased:
		w.release(s.a)
	case rolls:
		w.roll()
	case edits:
		w.edit()
	case changesLimit:
		w.ledger.limit[s.a] = w.changed[s.b]
		w.truth.maxLimit[s.a] = max(w.truth.maxLimit[s.a], w.changed[s.b])
	default:
		w.doProcess(s)
	}
}

// doProcess takes the steps of a process's life.
func (w *world) doProcess(s step) {
	mc := &w.machine[s.a]
	switch s.kind {
	case starts:
		w.start(s.a)
	case appends:
		w.send(message{kind: appendCall, id: mc.id, session: mc.session, number: s.b, last: w.journal[mc.id].written})
	case resends:
		if mc.call != 0 {
			w.sendOpen(s.a)
		} else {
			w.asks(s.a)
		}
	case reopens:
		w.openSession(s.a)
	case stopsCleanly:
		w.stops(s.a)
	case hasStopped:
		*mc = machine{phase: stopped, id: mc.id, acked: mc.acked}
	case renews:
		w.newJournal(s.a)
		w.openSession(s.a)
	case abandons:
		*mc = machine{phase: resending, id: mc.id, session: mc.session, acked: mc.acked}
	case asksAgain:
		mc.draw.again = true
		w.asks(s.a)
	case givesUp:
		mc.draw.open = false
	case crashes:
		w.end(s.a)
	case reboots:
		w.reboot(s.a, s.b)
	default:
	}
}

// roll ends the window. Validity is counted from the asking, so no slice is still valid then, unless a flaw made it late.
func (w *world) roll() {
	w.ledger.window = 1
	for m := range w.machines {
		for account := range int8(accounts) {
			mc := &w.machine[m]
			cell := cellOf(account, 0)
			mc.valid[cell] = mc.valid[cell] && mc.late[cell]
		}
	}
}

// edit opens a window that spans the present one too, with what was spent in it. The slices of the old window stay valid.
func (w *world) edit() {
	w.ledger.window, w.ledger.edited = 1, true
	for account := range int8(accounts) {
		from, to := cellOf(account, 0), cellOf(account, 1)
		w.ledger.purse[to].settled = w.ledger.purse[from].settled
		w.ledger.purse[to].uncertain = w.ledger.purse[from].uncertain
		for id := range w.ids {
			if e := &w.ledger.entry[id]; e.silent {
				w.ledger.purse[to].uncertain -= e.lease[from]
			}
		}
		w.truth.spent[to] = w.truth.spent[from]
		w.truth.debt[to] = w.truth.debt[from]
		w.truth.slack[to] = w.truth.slack[from]
	}
}

// freeSlot returns a place for a hold, or -1.
func (w *world) freeSlot(m int8) int8 {
	for i, h := range w.journal[w.machine[m].id].hold {
		if h.phase == noHold {
			return int8(i)
		}
	}
	return -1
}
