package leasemodel

// newJournal begins a new proxy id on a machine.
func (w *world) newJournal(m int8) {
	id := w.ids
	w.ids++
	w.journal[id].oldest = 1
	w.machine[m] = machine{phase: opening, id: id}
}

// openSession asks for a session. A call that is repeated is the same message.
func (w *world) openSession(m int8) {
	w.calls++
	w.machine[m].call = w.calls
	w.sendOpen(m)
}

// sendOpen says which records are still kept, so that a ledger that was restored does not wait for those that are not.
func (w *world) sendOpen(m int8) {
	id := w.machine[m].id
	w.send(message{kind: openCall, id: id, number: w.machine[m].call, last: w.journal[id].oldest})
}

// write appends a numbered record to the journal, before anyone is told of it.
func (w *world) write(id int8, r record) {
	j := &w.journal[id]
	j.written++
	j.log[j.written] = r
}

// start runs a new process on what is left of the journal.
func (w *world) start(m int8) {
	mc := &w.machine[m]
	*mc = machine{phase: opening, id: mc.id, rebooted: mc.rebooted}
	if mc.rebooted {
		mc.phase = resending
	}
	if !mc.rebooted || w.has(settlesAfterReboot) {
		w.settleOpenHolds(mc.id)
	}
	w.journal[mc.id].hold = [holdSlots]hold{}
	if !mc.rebooted || w.has(releasesAfterReboot) {
		w.write(mc.id, record{kind: releaseAllRecord})
		mc.floor = w.journal[mc.id].written
	}
	w.openSession(m)
}

// settleOpenHolds settles what a dead process left open. It may have been sent, so all of it counts.
func (w *world) settleOpenHolds(id int8) {
	for _, h := range w.journal[id].hold {
		if h.phase != noHold && !w.has(forgetsOpenHolds) {
			w.write(id, record{settleRecord, h.mask, h.window, h.window, h.amount, h.amount, true})
		}
	}
}

// end takes away what a process had in memory. Holds that are not in the journal go with it; what was sent stays spent.
func (w *world) end(m int8) {
	mc := &w.machine[m]
	j := &w.journal[mc.id]
	for i, h := range j.hold {
		if !h.journaled {
			j.hold[i] = hold{}
		}
	}
	*mc = machine{phase: down, id: mc.id, rebooted: mc.rebooted}
	if w.has(sendsBeforeWriting) && j.written > 0 && j.log[j.written].kind == returnRecord {
		j.written--
	}
}

// reboot also takes the journal's tail.
func (w *world) reboot(m, lost int8) {
	w.end(m)
	mc := &w.machine[m]
	mc.rebooted = true
	j := &w.journal[mc.id]
	j.written -= lost
	j.oldest = min(j.oldest, j.written+1)
	if !w.has(settlesAfterReboot) {
		j.hold = [holdSlots]hold{}
	}
}

// unapplied is what the records above a number take from a lease. A ReleaseAll among them takes all.
func (w *world) unapplied(id, cell, applied int8) (taken units, all bool) {
	j := &w.journal[id]
	for number := applied + 1; number <= j.written; number++ {
		r := j.log[number]
		if r.kind == releaseAllRecord {
			all = true
		}
		if r.mask&(1<<(cell/windows)) != 0 && r.window == cell%windows {
			taken += r.taken
		}
	}
	return taken, all
}

// heldIn is what a journal's open holds have reserved in a window of an account.
func (w *world) heldIn(id, cell int8) (held units) {
	for _, h := range w.journal[id].hold {
		if h.phase != noHold && h.mask&(1<<(cell/windows)) != 0 && h.window == cell%windows {
			held += h.amount
		}
	}
	return held
}

// opened takes up a new session. The earlier one has ended, so the leases in the answer are final: what they hold beyond what is known
// here is the answer of a draw that never came, and what they lack was forgotten by a ledger that was restored.
func (w *world) opened(m int8, reply message) {
	mc := &w.machine[m]
	mc.session, mc.acked, mc.call = reply.session, reply.last, 0
	if mc.phase == serving && !w.has(reopensBlindly) {
		for cell := range int8(cells) {
			taken, all := w.unapplied(mc.id, cell, reply.last)
			free := reply.vector[cell] - taken - w.heldIn(mc.id, cell)
			mc.uncovered[cell] = free < 0
			free = max(0, free)
			if all {
				free = 0
			}
			if free > mc.free[cell] && cell%windows == w.ledger.window {
				mc.valid[cell] = true
			}
			mc.free[cell] = free
		}
	}
	mc.draw = draw{}
	if !w.has(drawsUncovered) {
		mc.floor = w.journal[mc.id].written
	}
	if mc.phase == opening {
		mc.phase = serving
	}
}

// drawn adds what a draw was granted. What was asked in an earlier window is no longer valid: validity counts from the asking.
func (w *world) drawn(m int8, reply message) {
	mc := &w.machine[m]
	late := w.has(validFromAnswer) || mc.draw.again && w.has(validFromRepeat)
	mc.draw = draw{number: mc.draw.number}
	if reply.refused {
		return
	}
	for account := range int8(accounts) {
		if amount := reply.vector[account]; amount > 0 {
			cell := cellOf(account, reply.window)
			mc.free[cell] += amount
			mc.late[cell] = mc.late[cell] || late
			mc.valid[cell] = late || reply.window == w.ledger.window || w.ledger.edited
		}
	}
}

// asks sends the draw that is under way.
func (w *world) asks(m int8) {
	mc := &w.machine[m]
	d := mc.draw
	call := message{kind: drawCall, id: mc.id, session: mc.session, number: d.number, mask: d.mask, amount: d.amount}
	if w.fenced {
		call.last = mc.floor
	}
	copy(call.vector[:], d.have[:])
	w.send(call)
}

// draws begins a draw for a demand.
func (w *world) draws(m, mask int8, amount units) {
	mc := &w.machine[m]
	mc.draw = draw{open: true, number: mc.draw.number + 1, mask: mask, amount: amount}
	for account := range int8(accounts) {
		// A hold is of one window: only the newest slice counts.
		if cell := cellOf(account, w.ledger.window); mask&(1<<account) != 0 && mc.valid[cell] {
			mc.draw.have[account] = mc.free[cell]
		}
	}
	w.asks(m)
}

// slice returns the window whose slices have what a demand needs, or -1.
func (w *world) slice(m, mask int8, amount units) int8 {
	mc := &w.machine[m]
next:
	for window := int8(windows - 1); window >= 0; window-- {
		for account := range int8(accounts) {
			cell := cellOf(account, window)
			if mask&(1<<account) != 0 && (!mc.valid[cell] || mc.free[cell] < amount) {
				continue next
			}
		}
		return window
	}
	return -1
}

// holds reserves a demand in every account concerned, and writes so.
func (w *world) holds(m, slot, mask int8, amount units) {
	mc := &w.machine[m]
	window := w.slice(m, mask, amount)
	if window != w.ledger.window && !w.ledger.edited {
		w.breaks("a hold is taken from a slice after its window")
	}
	for account := range int8(accounts) {
		if mask&(1<<account) != 0 {
			mc.free[cellOf(account, window)] -= amount
			if w.has(holdsHalf) {
				break
			}
		}
	}
	w.journal[mc.id].hold[slot] = hold{phase: heldHold, mask: mask, window: window, amount: amount, journaled: !w.has(sendsBeforeJournal)}
}

// sends lets an attempt go upstream, where it is billed.
func (w *world) sends(m, slot int8, cost units) {
	h := &w.journal[w.machine[m].id].hold[slot]
	h.phase, h.cost = sentHold, cost
	for account := range int8(accounts) {
		for window := range int8(windows) {
			if h.mask&(1<<account) != 0 && (window == h.window || w.ledger.edited && h.window == 0) {
				w.truth.spent[cellOf(account, window)] += min(cost, h.amount)
			}
		}
	}
}

// settles ends a hold: at its cost, or, where the cost is unknown, at its amount as uncertain.
func (w *world) settles(m, slot int8, unknown bool) {
	mc := &w.machine[m]
	h := &w.journal[mc.id].hold[slot]
	r := record{kind: settleRecord, mask: h.mask, window: h.window, opened: h.window, amount: h.cost, uncertain: unknown}
	if unknown {
		r.amount = h.amount
	}
	if w.skewed {
		r.opened = 1 - h.window
	}
	used := min(r.amount, h.amount)
	r.taken = used
	if w.isUncovered(m, *h) {
		// Its lease is not all there, so what it does not use is nobody's.
		r.taken = h.amount
	}
	rest := h.amount - max(used, r.taken)
	if w.has(takesDebt) {
		r.taken = r.amount
	}
	if w.has(takesWholeHold) {
		r.taken = h.amount
	}
	for account := range int8(accounts) {
		if h.mask&(1<<account) != 0 {
			cell := cellOf(account, h.window)
			mc.free[cell] += rest
			w.truth.debt[cell] += r.amount - used
			if w.ledger.edited || h.window == 0 {
				w.truth.debt[cellOf(account, 1)] += r.amount - used
			}
		}
	}
	w.write(mc.id, r)
	*h = hold{}
}

// returns gives back what is free.
func (w *world) returns(m, cell int8) {
	mc := &w.machine[m]
	amount := mc.free[cell]
	if !w.has(keepsReturned) {
		mc.free[cell] = 0
	}
	w.write(mc.id, record{kind: returnRecord, mask: 1 << (cell / windows), window: cell % windows, amount: amount, taken: amount})
}

// stops gives everything back.
func (w *world) stops(m int8) {
	mc := &w.machine[m]
	mc.phase, mc.free, mc.draw = stopping, [cells]units{}, draw{number: mc.draw.number}
	if w.has(releasesHeld) {
		w.write(mc.id, record{kind: releaseAllRecord})
		mc.phase = serving
		return
	}
	w.write(mc.id, record{kind: releaseAllRecord})
	mc.floor = w.journal[mc.id].written
}

// isUncovered reports whether a hold was taken from a lease that a restored ledger does not know.
func (w *world) isUncovered(m int8, h hold) bool {
	for account := range int8(accounts) {
		if h.mask&(1<<account) != 0 && w.machine[m].uncovered[cellOf(account, h.window)] {
			return !w.has(drawsUncovered)
		}
	}
	return false
}
