package leasemodel

import "fmt"

// quiet plays a world to its end: every message arrives, every process that died is started, everything is settled and returned, and
// nothing fails any more. Then it asks what must hold at last, and returns what does not.
func (w *world) quiet() string {
	end := *w
	for i := range end.left {
		end.left[i] = 100
	}
	for i := range end.netSize {
		end.deliver(i)
	}
	end.net, end.netSize = [netLength]message{}, 0
	for round := 0; ; round++ {
		for m := range end.machines {
			end.finish(m)
		}
		if end.idle() {
			break
		}
		if round == 8 {
			return "the proxies do not come to rest"
		}
	}
	end.check()
	if end.broken != "" {
		return "at rest: " + end.broken
	}
	if reason := end.checkRest(); reason != "" {
		return reason
	}
	for m := range end.machines {
		for _, mask := range end.masks {
			if reason := end.checkGranted(m, mask); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// finish lets one machine do all that it can.
func (w *world) finish(m int8) {
	mc := &w.machine[m]
	if mc.phase == down {
		w.start(m)
	}
	if mc.phase == stopped {
		return
	}
	if mc.call == 0 && mc.session != w.ledger.entry[mc.id].session {
		w.openSession(m)
	}
	if mc.call != 0 {
		w.sendOpen(m)
		w.exchange()
	}
	if mc.draw.open {
		w.asks(m)
		w.exchange()
	}
	for slot, h := range w.journal[mc.id].hold {
		if h.phase != noHold && mc.phase == serving {
			w.settles(m, int8(slot), false)
		}
	}
	for cell, free := range mc.free {
		if free > 0 {
			w.returns(m, int8(cell))
			if w.has(keepsReturned) {
				mc.free[cell] = 0
			}
		}
	}
	w.report(m)
	for _, s := range w.lifeSteps(nil, m) {
		if s.kind == hasStopped || s.kind == renews || s.kind == abandons {
			w.do(s)
		}
	}
}

// report sends the log until all of it is acknowledged or nothing moves.
func (w *world) report(m int8) {
	mc := &w.machine[m]
	j := &w.journal[mc.id]
	if mc.acked >= j.written {
		return
	}
	from := max(mc.acked+1, j.oldest)
	w.send(message{kind: appendCall, id: mc.id, session: mc.session, number: from, last: j.written})
	w.exchange()
}

// exchange delivers what is in the network and then its answers.
func (w *world) exchange() {
	for i := int8(0); i < w.netSize; i++ {
		w.deliver(i)
	}
	w.net, w.netSize = [netLength]message{}, 0
}

// idle reports whether nobody has anything left to do.
func (w *world) idle() bool {
	for m := range w.machines {
		mc := &w.machine[m]
		j := &w.journal[mc.id]
		resting := mc.phase == stopped || mc.phase == serving && mc.call == 0 && mc.session == w.ledger.entry[mc.id].session
		if !resting || mc.acked < j.written || j.hold != [holdSlots]hold{} || mc.draw.open {
			return false
		}
		if w.ledger.entry[mc.id].gone && mc.phase != stopped {
			return false
		}
	}
	return true
}

// checkRest wants everything booked and every lease of a proxy with a whole journal back.
func (w *world) checkRest() string {
	for m := range w.machines {
		id := w.machine[m].id
		if w.truth.restored && w.machine[m].phase == stopped {
			// It has nothing left to tell a ledger that forgot its goodbye.
			continue
		}
		if e := &w.ledger.entry[id]; e.lease != [cells]units{} {
			return fmt.Sprintf("the proxy %d is at rest and has leases: %v", id, e.lease)
		}
	}
	for id := range w.ids {
		// The journal of an id that was given up is no longer there to be sent to a restored ledger.
		_, mc := w.owner(id)
		if w.ledger.entry[id].applied < w.journal[id].written && (mc != nil && mc.phase != stopped || !w.truth.restored) {
			return fmt.Sprintf("the log of the proxy %d is not booked to its end", id)
		}
	}
	return ""
}

// checkGranted wants the whole of the free money granted to whoever asks for it.
func (w *world) checkGranted(m, mask int8) string {
	mc := &w.machine[m]
	amount := units(100)
	for account := range int8(accounts) {
		if mask&(1<<account) != 0 {
			amount = min(amount, w.freeOf(account))
		}
	}
	if mc.phase != serving || amount <= 0 {
		return ""
	}
	w.draws(m, mask, amount)
	w.exchange()
	window := w.slice(m, mask, amount)
	if window < 0 {
		return fmt.Sprintf("machine %d is refused %d while it is free", m, amount)
	}
	for account := range int8(accounts) {
		if mask&(1<<account) != 0 {
			w.returns(m, cellOf(account, window))
		}
	}
	w.report(m)
	return ""
}
