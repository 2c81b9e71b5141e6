package leasemodel

// room is how many records a log keeps free for what must still be written after the last step that may be chosen.
const room = 2*holdSlots + cells + 2

// enabled lists every step that may happen next.
func (w *world) enabled() []step {
	steps := make([]step, 0, 32)
	for i := range w.netSize {
		if msg := w.net[i]; msg.kind != openCall || w.left[openServed] > 0 {
			steps = append(steps, step{kind: deliver, a: i, message: msg})
		}
	}
	for m := range w.machines {
		steps = w.lifeSteps(steps, m)
		steps = w.callSteps(steps, m)
		if w.machine[m].phase == serving {
			steps = w.moneySteps(steps, m)
		}
	}
	steps = w.worldSteps(steps)
	kept := steps[:0]
	for _, s := range steps {
		if !bounded(s.kind) || w.left[s.kind] > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// lifeSteps are those by which processes begin and end.
func (w *world) lifeSteps(steps []step, m int8) []step {
	mc, j := &w.machine[m], &w.journal[w.machine[m].id]
	e := &w.ledger.entry[mc.id]
	fits := j.written+room < logLength
	switch mc.phase {
	case down, stopped:
		if fits {
			steps = append(steps, step{kind: starts, a: m})
		}
	case stopping:
		if mc.acked >= j.written {
			steps = append(steps, step{kind: hasStopped, a: m})
		}
	case resending:
		if mc.session != 0 && mc.call == 0 && mc.acked >= j.written && w.ids < identities {
			steps = append(steps, step{kind: renews, a: m})
		}
	case serving:
		idle := j.hold == [holdSlots]hold{}
		if fits && (idle || w.has(releasesHeld)) && (!mc.draw.open || w.has(stopsDuringDraw)) {
			steps = append(steps, step{kind: stopsCleanly, a: m})
		}
		if e.gone && mc.session == e.session && idle && !w.has(servesWhenGone) {
			steps = append(steps, step{kind: abandons, a: m})
		}
	default:
	}
	if mc.phase != down {
		steps = append(steps, step{kind: crashes, a: m})
	}
	if w.spareID() {
		for lost := range j.written - j.oldest + 2 {
			steps = append(steps, step{kind: reboots, a: m, b: lost})
		}
	}
	return steps
}

// callSteps are those by which a process speaks to the ledger.
func (w *world) callSteps(steps []step, m int8) []step {
	mc, j := &w.machine[m], &w.journal[w.machine[m].id]
	if mc.phase == down || mc.phase == stopped {
		return steps
	}
	if mc.call != 0 {
		if w.left[openServed] > 0 && w.find(openCall, mc.id) < 0 {
			steps = append(steps, step{kind: resends, a: m})
		}
		return steps
	}
	if mc.session != w.ledger.entry[mc.id].session {
		// Any call is refused, which tells the proxy to open a new session.
		return append(steps, step{kind: reopens, a: m})
	}
	if mc.acked < j.written && w.find(appendCall, mc.id) < 0 {
		steps = append(steps, step{kind: appends, a: m, b: mc.acked + 1})
	}
	if w.pipelined && mc.acked+1 < j.written {
		// The last record is sent ahead of those that were sent before and may still come.
		steps = append(steps, step{kind: appends, a: m, b: j.written})
	}
	if mc.draw.open {
		if w.find(drawCall, mc.id) < 0 {
			steps = append(steps, step{kind: resends, a: m})
		}
		if !mc.draw.again {
			steps = append(steps, step{kind: asksAgain, a: m})
		}
		if w.has(givesUpDraws) {
			steps = append(steps, step{kind: givesUp, a: m})
		}
	}
	return steps
}

// moneySteps are those of a process that serves.
func (w *world) moneySteps(steps []step, m int8) []step {
	mc, j := &w.machine[m], &w.journal[w.machine[m].id]
	for slot, h := range j.hold {
		if h.phase == heldHold {
			steps = append(steps, step{kind: sends, a: m, b: int8(slot), c: h.amount}, step{kind: sends, a: m, b: int8(slot), c: h.amount - 1})
			if w.debts {
				steps = append(steps, step{kind: sends, a: m, b: int8(slot), c: h.amount + 1})
			}
		}
		if h.phase != noHold {
			steps = append(steps, step{kind: settles, a: m, b: int8(slot)})
		}
		if h.phase == sentHold {
			steps = append(steps, step{kind: settles, a: m, b: int8(slot), c: 1})
		}
	}
	if j.written+room >= logLength {
		return steps
	}
	for cell := range int8(cells) {
		if mc.free[cell] > 0 {
			steps = append(steps, step{kind: returns, a: m, b: cell})
			if mc.valid[cell] {
				steps = append(steps, step{kind: expires, a: m, b: cell})
			}
		}
	}
	for _, mask := range w.masks {
		for _, amount := range w.amounts {
			steps = w.demandSteps(steps, m, mask, amount)
		}
	}
	return steps
}

// demandSteps hold where the slices suffice and draw where they do not.
func (w *world) demandSteps(steps []step, m, mask int8, amount units) []step {
	mc := &w.machine[m]
	if w.slice(m, mask, amount) >= 0 {
		if w.freeSlot(m) >= 0 {
			steps = append(steps, step{kind: holds, a: m, b: mask, c: amount})
		}
		return steps
	}
	if !mc.draw.open && mc.call == 0 && w.mayDraw(m) && mc.session == w.ledger.entry[mc.id].session {
		steps = append(steps, step{kind: draws, a: m, b: mask, c: amount})
	}
	return steps
}

// worldSteps are those of the ledger's clock, of operators and of editors.
func (w *world) worldSteps(steps []step) []step {
	for id := range w.ids {
		e := &w.ledger.entry[id]
		if !e.silent {
			steps = append(steps, step{kind: fallsSilent, a: id})
		} else if !e.gone && w.spareID() {
			steps = append(steps, step{kind: isReleased, a: id})
		}
	}
	if w.ledger.window == 0 {
		if !w.truth.restored {
			steps = append(steps, step{kind: edits})
		}
		steps = append(steps, step{kind: rolls})
	}
	for account := range int8(accounts) {
		for i, limit := range w.changed {
			if limit != w.ledger.limit[account] {
				steps = append(steps, step{kind: changesLimit, a: account, b: int8(i)})
			}
		}
	}
	return steps
}

// spareID reports whether one more machine may come to need a new id: a state has room for so many.
func (w *world) spareID() bool {
	owed := int8(0)
	for m := range w.machines {
		if mc := &w.machine[m]; mc.rebooted || mc.phase == resending || w.ledger.entry[mc.id].gone {
			owed++
		}
	}
	return w.ids+owed < identities
}

// mayDraw reports whether what was written before the session is applied. It was taken from older leases, so it must not come upon new
// ones. The same goes for the holds whose leases a restored ledger has forgotten: they end first.
func (w *world) mayDraw(m int8) bool {
	mc, j := &w.machine[m], &w.journal[w.machine[m].id]
	if mc.uncovered != [cells]bool{} && !w.has(drawsUncovered) && (j.hold != [holdSlots]hold{} || mc.acked < j.written) {
		return false
	}
	return mc.acked >= mc.floor || w.has(drawsBeforeRelease)
}
