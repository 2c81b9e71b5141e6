package leasemodel

// take removes money from a lease, and from wherever the lease is counted.
func (w *world) take(id, cell int8, amount units) {
	e := &w.ledger.entry[id]
	if e.lease[cell] < amount && !e.gone && !w.truth.restored {
		w.breaks("more is taken from a lease than is out")
	}
	amount = min(amount, e.lease[cell])
	e.lease[cell] -= amount
	if e.silent {
		w.ledger.purse[cell].uncertain -= amount
	} else {
		w.ledger.purse[cell].leased -= amount
	}
}

// hears brings a silent proxy back.
func (w *world) hears(id int8) {
	e := &w.ledger.entry[id]
	if !e.silent {
		return
	}
	e.silent = false
	for cell, lease := range e.lease {
		w.ledger.purse[cell].leased += lease
		if !w.has(silenceForgotten) {
			w.ledger.purse[cell].uncertain -= lease
		}
	}
}

// fallsSilent makes what is out with a proxy uncertain.
func (w *world) fallsSilent(id int8) {
	e := &w.ledger.entry[id]
	e.silent = true
	for cell, lease := range e.lease {
		w.ledger.purse[cell].leased -= lease
		if w.has(freesOnSilence) {
			e.lease[cell] = 0
			continue
		}
		w.ledger.purse[cell].uncertain += lease
	}
}

// release gives up the leases of a proxy that an operator believes gone. What it has spent and not reported may be spent again.
func (w *world) release(id int8) {
	e := &w.ledger.entry[id]
	e.gone = true
	for cell := range int8(cells) {
		w.truth.slack[cell] += e.lease[cell]
		if w.ledger.edited && cell%windows == 0 {
			w.truth.slack[cell+1] += e.lease[cell]
		}
		w.take(id, cell, e.lease[cell])
	}
}

// serveOpen ends the earlier session and answers with all that the new one begins from: what is applied and what is leased. A proxy that
// was released may open one too, so that what it has spent is still booked.
func (w *world) serveOpen(call message) {
	if w.left[openServed] == 0 || w.ledger.entry[call.id].gone && w.has(refusesGone) {
		return
	}
	w.left[openServed]--
	e := &w.ledger.entry[call.id]
	w.sessions[call.id]++
	e.session = w.sessions[call.id]
	if !w.has(keepsSequence) {
		e.drawn, e.answer = 0, answer{}
	}
	w.hears(call.id)
	if !w.has(hidesOldest) {
		e.applied = max(e.applied, call.last-1)
	}
	w.send(message{kind: openAnswer, id: call.id, session: e.session, number: call.number, last: e.applied, vector: e.lease})
}

// authenticated reports whether a call belongs to the present session, and notes that its proxy lives.
func (w *world) authenticated(call message) bool {
	if call.session != w.ledger.entry[call.id].session && !w.has(ignoresSessions) {
		return false
	}
	w.hears(call.id)
	return true
}

// serveAppend applies the records that come next in the log.
func (w *world) serveAppend(call message) {
	if !w.authenticated(call) {
		return
	}
	e := &w.ledger.entry[call.id]
	for number := call.number; number <= call.last; number++ {
		if number <= e.applied && !w.has(appliesRepeats) {
			continue
		}
		if number > e.applied+1 && !w.has(appliesGaps) {
			break
		}
		w.applyRecord(call.id, number)
		e.applied = max(e.applied, number)
	}
	w.send(message{kind: appendAnswer, id: call.id, session: call.session, last: e.applied})
}

// applyRecord takes what a record gives back from the lease, and books what it cost.
func (w *world) applyRecord(id, number int8) {
	e, r := &w.ledger.entry[id], w.journal[id].log[number]
	if r.kind == releaseAllRecord {
		e.released = number
		for cell := range int8(cells) {
			w.take(id, cell, e.lease[cell])
		}
		return
	}
	for account := range int8(accounts) {
		if r.mask&(1<<account) == 0 {
			continue
		}
		w.take(id, cellOf(account, r.window), r.taken)
		if r.kind == settleRecord {
			w.book(account, r)
		}
	}
	if r.kind == settleRecord {
		e.booked[number] = min(e.booked[number]+1, 9)
	}
}

// book counts a settlement in every window concerned.
func (w *world) book(account int8, r record) {
	window := r.window
	if w.has(booksByClock) {
		window = r.opened
	}
	for concerned := range int8(windows) {
		if concerned != window && (window != 0 || !w.ledger.edited) {
			continue
		}
		purse := &w.ledger.purse[cellOf(account, concerned)]
		if r.uncertain {
			purse.uncertain += r.amount
		} else {
			purse.settled += r.amount
		}
	}
}

// freeOf is what the ledger may still grant of an account in the present window.
func (w *world) freeOf(account int8) units {
	cell := cellOf(account, w.ledger.window)
	purse := w.ledger.purse[cell]
	free := w.ledger.limit[account] - purse.settled - purse.uncertain - purse.leased
	if w.ledger.edited && !w.has(windowsOverlap) {
		// What is leased in the old window is spent in the new one too.
		for id := range w.ids {
			free -= w.ledger.entry[id].lease[cell-1]
		}
	}
	return free
}

// serveDraw grants a draw once, and remembers the answer for its repeats.
func (w *world) serveDraw(call message) {
	e := &w.ledger.entry[call.id]
	if !w.authenticated(call) {
		return
	}
	switch {
	case call.number == e.drawn && !w.has(forgetsAnswers):
	case call.number < e.drawn && !w.has(drawsOutOfOrder), call.number > e.drawn+1:
		return
	default:
		e.answer = answer{window: w.ledger.window, refused: true}
		fenced := w.fenced && (call.last > e.applied || call.last < e.released)
		if !fenced && (!e.gone || w.has(drawsWhenGone)) {
			e.answer = w.grant(call)
		}
		e.drawn = max(e.drawn, call.number)
	}
	reply := message{
		kind: drawAnswer, id: call.id, session: call.session, number: call.number, refused: e.answer.refused, window: e.answer.window,
	}
	copy(reply.vector[:], e.answer.amount[:])
	w.send(reply)
}

// grant leases what a demand needs, in every account or in none.
func (w *world) grant(call message) answer {
	given := answer{window: w.ledger.window}
	for account := range int8(accounts) {
		if call.mask&(1<<account) == 0 {
			continue
		}
		need := max(0, call.amount-call.vector[account])
		free := w.freeOf(account)
		if need > free && need > 0 && !w.has(grantsFreely) {
			return answer{window: w.ledger.window, refused: true}
		}
		if w.extra && free > need {
			need += (free - need) / 2
		}
		given.amount[account] = need
	}
	for account, amount := range given.amount {
		cell := cellOf(int8(account), w.ledger.window)
		w.ledger.purse[cell].leased += amount
		w.ledger.entry[call.id].lease[cell] += amount
	}
	return given
}

// restore puts a backup in the ledger's place. The ledger then knows neither what was booked since nor what was leased since.
func (w *world) restore(backup *ledger) {
	lost := w.ledger
	w.ledger = *backup
	// Edits and time are not undone by a restore.
	w.ledger.window, w.ledger.edited, w.ledger.limit = lost.window, lost.edited, lost.limit
	w.truth.restored = true
	for cell := range w.ledger.purse {
		w.truth.slack[cell] += w.forgotten(&lost, int8(cell))
	}
	for id := range w.ids {
		w.ledger.entry[id].gone = lost.entry[id].gone
		if !w.has(sessionsOutliveRestore) {
			w.ledger.entry[id].session = 0
		}
	}
}

// forgotten is what a lost ledger knew to be spent or out of a window and this one does not. A lease that was given back since the backup
// makes up for no other: its proxy gives it back once more.
func (w *world) forgotten(lost *ledger, cell int8) (amount units) {
	before, after := lost.purse[cell], w.ledger.purse[cell]
	amount = before.settled + before.uncertain - after.settled - after.uncertain
	for id := range w.ids {
		was, is := &lost.entry[id], &w.ledger.entry[id]
		if was.silent {
			amount -= was.lease[cell]
		}
		if is.silent {
			amount += is.lease[cell]
		}
		amount += max(0, was.lease[cell]-is.lease[cell])
	}
	return max(0, amount)
}
