package leasemodel

import (
	"cmp"
	"slices"
)

// send puts a message into the network. One that does not fit is lost, which any message may be.
func (w *world) send(m message) {
	if w.netSize == netLength || slices.Contains(w.net[:w.netSize], m) {
		return
	}
	w.net[w.netSize] = m
	w.netSize++
}

// find returns the index of the first message of a kind from or to a proxy, or -1.
func (w *world) find(kind messageKind, id int8) int8 {
	return int8(slices.IndexFunc(w.net[:w.netSize], func(m message) bool { return m.kind == kind && m.id == id }))
}

// owner returns the machine whose process has the id, or nil.
func (w *world) owner(id int8) (int8, *machine) {
	for m := range w.machines {
		if w.machine[m].id == id {
			return m, &w.machine[m]
		}
	}
	return -1, nil
}

// deliver lets a message arrive. It stays in the network, to arrive again.
func (w *world) deliver(i int8) {
	msg := w.net[i]
	m, mc := w.owner(msg.id)
	switch msg.kind {
	case openCall:
		w.serveOpen(msg)
	case appendCall:
		w.serveAppend(msg)
	case drawCall:
		w.serveDraw(msg)
	case openAnswer:
		if w.awaited(msg) {
			w.opened(m, msg)
		}
	case appendAnswer:
		if w.awaited(msg) {
			mc.acked = msg.last
			if j := &w.journal[msg.id]; w.trimmed {
				j.oldest = max(j.oldest, mc.acked+1)
			}
		}
	case drawAnswer:
		if w.awaited(msg) {
			w.drawn(m, msg)
		}
	}
}

// awaited reports whether an answer is of use to anyone now.
func (w *world) awaited(msg message) bool {
	_, mc := w.owner(msg.id)
	if mc == nil {
		return false
	}
	// Who asks for a new session knows that the old one is over, and with it everything that it might still be told.
	over := mc.call != 0 && !w.has(heedsEndedSessions)
	switch msg.kind {
	case openAnswer:
		return mc.call != 0 && mc.call == msg.number
	case appendAnswer:
		return !over && mc.session == msg.session && msg.last > mc.acked
	case drawAnswer:
		return !over && mc.draw.open && mc.session == msg.session && mc.draw.number == msg.number
	default:
		return w.callMatters(msg, mc)
	}
}

// callMatters reports whether a call could still change anything, now or later.
func (w *world) callMatters(msg message, mc *machine) bool {
	e := &w.ledger.entry[msg.id]
	current := msg.session == e.session || w.has(ignoresSessions)
	switch msg.kind {
	case openCall:
		return w.left[openServed] > 0
	case appendCall:
		return current && (w.has(appliesRepeats|ignoresSessions) || msg.last > e.applied || mc.acked < e.applied)
	default:
		waited := mc.session == msg.session && mc.draw.open && mc.draw.number == msg.number
		return current && (w.has(forgetsAnswers|drawsOutOfOrder|ignoresSessions) || msg.number > e.drawn || waited)
	}
}

// sweep drops the messages that change nothing whenever they arrive, so that states that differ by them alone are one, and sorts the rest.
func (w *world) sweep() {
	kept := int8(0)
	for _, msg := range w.net[:w.netSize] {
		if w.awaited(msg) {
			w.net[kept] = msg
			kept++
		}
	}
	clear(w.net[kept:])
	w.netSize = kept
	slices.SortFunc(w.net[:kept], func(a, b message) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id), cmp.Compare(a.session, b.session),
			cmp.Compare(a.number, b.number), cmp.Compare(a.last, b.last))
	})
}

// loses takes a message out of the network, so that a random walk does not spend its steps on repeats.
func (w *world) loses(msg message) {
	if i := slices.Index(w.net[:w.netSize], msg); i >= 0 {
		copy(w.net[i:], w.net[i+1:w.netSize])
		w.netSize--
		w.net[w.netSize] = message{}
	}
}
