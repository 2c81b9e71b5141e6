package leasemodel

// check notes what a step broke of what must always hold.
func (w *world) check() {
	for cell := range int8(cells) {
		w.checkCell(cell)
	}
	for id := range w.ids {
		w.checkBooked(id)
		for cell := range int8(cells) {
			w.checkLocal(id, cell)
		}
	}
}

// overlapped is what is leased in the window that an edited one spans.
func (w *world) overlapped(cell int8) (leased units) {
	if w.ledger.edited && cell%windows == 1 {
		for id := range w.ids {
			leased += w.ledger.entry[id].lease[cell-1]
		}
	}
	return leased
}

// checkCell holds the books of a window against each other and against what the upstream billed.
func (w *world) checkCell(cell int8) {
	purse := w.ledger.purse[cell]
	var leased, silent units
	for id := range w.ids {
		if e := &w.ledger.entry[id]; e.silent {
			silent += e.lease[cell]
		} else {
			leased += e.lease[cell]
		}
	}
	settled, uncertain := w.booked(cell)
	committed := purse.settled + purse.uncertain + purse.leased + w.overlapped(cell)
	limit := w.truth.maxLimit[cell/windows] + w.truth.slack[cell]
	switch {
	case w.truth.spent[cell] > limit:
		w.breaks("more is spent than the limit")
	case purse.leased != leased:
		w.breaks("what is leased is not the sum of the leases")
	case purse.settled != settled || purse.uncertain != uncertain+silent:
		w.breaks("what is booked is not the sum of the settlements")
	case committed > limit+w.truth.debt[cell]:
		w.breaks("more is promised than the limit")
	case w.truth.spent[cell] > committed+w.truth.slack[cell]:
		w.breaks("more is spent than is promised")
	}
}

// booked sums the settlements that the ledger has booked, each as often as it was.
func (w *world) booked(cell int8) (settled, uncertain units) {
	for id := range w.ids {
		e := &w.ledger.entry[id]
		for number := int8(1); number <= e.applied; number++ {
			r, times := w.journal[id].log[number], e.booked[number]
			concerned := r.window == cell%windows || w.ledger.edited && r.window == 0
			if times == 0 || r.mask&(1<<(cell/windows)) == 0 || !concerned {
				continue
			}
			if r.uncertain {
				uncertain += times * r.amount
			} else {
				settled += times * r.amount
			}
		}
	}
	return settled, uncertain
}

// checkBooked wants every settlement booked once up to what is applied, and none beyond. A restored ledger has lost for ever what the
// proxies no longer keep.
func (w *world) checkBooked(id int8) {
	e, j := &w.ledger.entry[id], &w.journal[id]
	for number := int8(1); number <= max(e.applied, j.written); number++ {
		want := int8(0)
		if number <= e.applied && j.log[number].kind == settleRecord {
			want = 1
		}
		lost := w.truth.restored && number < j.oldest
		if got := e.booked[number]; got != want && !(lost && got == 0) {
			w.breaks("a settlement is not booked exactly once")
		}
	}
}

// checkLocal holds what a journal and its process may still spend against the lease. An ended session proves nothing: the proxy may
// not know yet that it has to shrink.
func (w *world) checkLocal(id, cell int8) {
	e := &w.ledger.entry[id]
	_, mc := w.owner(id)
	if e.gone && e.lease[cell] > 0 {
		w.breaks("a proxy that was released has leases")
	}
	if e.gone || mc == nil || mc.rebooted {
		return
	}
	taken, all := w.unapplied(id, cell, e.applied)
	local := mc.free[cell] + w.heldIn(id, cell)
	if w.truth.restored {
		if mc.session != e.session || mc.free[cell] == 0 {
			return
		}
	}
	if all {
		// Before the ReleaseAll is applied nothing is drawn, so nothing may be here.
		if local > 0 {
			w.breaks("money is used that is about to be released")
		}
		return
	}
	if local+taken > e.lease[cell] {
		w.breaks("a proxy has more than its lease")
	}
}
