package leasemodel

// units is money in the model. It is no money.Amount, because an explored state must be small: a few units show what nano-USD would.
type units = int8

// The sizes of a state. A state is one flat value, so that it is copied and hashed without allocation.
const (
	machines   = 3
	identities = 6
	accounts   = 2
	windows    = 2
	cells      = accounts * windows
	logLength  = 32
	holdSlots  = 2
	netLength  = 12
)

// cellOf numbers the window of an account.
func cellOf(account, window int8) int8 { return account*windows + window }

type recordKind int8

const (
	settleRecord recordKind = iota + 1
	returnRecord
	releaseAllRecord
)

// record is a numbered record of a log.
type record struct {
	kind      recordKind
	mask      int8 // The accounts concerned, as bits.
	window    int8 // The window whose slices the hold was taken from.
	opened    int8 // The window that the hold was opened in by the proxy's clock, which may be wrong.
	amount    units
	taken     units
	uncertain bool
}

type holdPhase int8

const (
	noHold holdPhase = iota
	heldHold
	sentHold
)

// hold is a request's reservation at a proxy.
type hold struct {
	phase     holdPhase
	mask      int8
	window    int8
	amount    units
	cost      units // What the upstream bills, from the moment of sending.
	journaled bool
}

// journal is what is on the disk of a machine under one proxy id.
type journal struct {
	log     [logLength + 1]record // From number 1. What is beyond written was lost and is kept for the checker only.
	oldest  int8                  // The number of the first record that is still kept.
	written int8
	hold    [holdSlots]hold
}

// answer is what the ledger said to a draw.
type answer struct {
	refused bool
	window  int8
	amount  [accounts]units
}

// entry is a proxy as the ledger knows it.
type entry struct {
	session  int8 // Stands for the epoch with its token: no two sessions of an id are the same.
	applied  int8
	released int8 // The number of the last ReleaseAll that was applied.
	drawn    int8 // The sequence of the session's last draw.
	answer   answer
	silent   bool
	gone     bool // Released by an operator.
	lease    [cells]units
	booked   [logLength + 1]int8 // How often each settlement was booked, for the checker.
}

// purse is a window of an account at the ledger.
type purse struct{ settled, uncertain, leased units }

// ledger is what the ledger keeps durably, and what a backup is of.
type ledger struct {
	limit  [accounts]units
	purse  [cells]purse
	entry  [identities]entry
	window int8
	edited bool // The window 1 was opened by an edit: it spans the window 0, whose slices are still in use.
}

type phase int8

const (
	down phase = iota
	opening
	serving
	stopping
	stopped
	resending // The log of an id that is given up is being sent, before a new id begins.
)

// draw is the one draw that a proxy may have under way.
type draw struct {
	open   bool
	again  bool // It was asked more than once.
	number int8
	mask   int8
	amount units
	have   [accounts]units
}

// machine is a node with a proxy's process on it.
type machine struct {
	phase     phase
	id        int8
	rebooted  bool // Since its journal was begun.
	session   int8
	call      int8 // The Open that is under way, or 0.
	acked     int8
	floor     int8        // The last record that has to be applied before a draw: what was written when the session opened.
	uncovered [cells]bool // A ledger that was restored does not know the leases that the open holds were taken from.
	draw      draw
	free      [cells]units
	valid     [cells]bool
	late      [cells]bool // Its validity is counted wrongly and outlives the window.
}

type messageKind int8

const (
	openCall messageKind = iota + 1
	openAnswer
	appendCall
	appendAnswer
	drawCall
	drawAnswer
)

// message is a call or an answer in the network.
type message struct {
	kind    messageKind
	id      int8
	session int8
	number  int8 // The Open's own number, the first record, or the draw's sequence.
	last    int8 // The oldest record kept, the last record, or what is applied.
	mask    int8
	window  int8
	amount  units
	vector  [cells]units // Leases, or have or grant per account.
	refused bool
}

// truth is what only the checker knows.
type truth struct {
	spent    [cells]units // Billed by the upstream, up to each hold.
	debt     [cells]units // Settled beyond holds.
	slack    [cells]units // What an operator's release or a restore may overspend at most.
	maxLimit [accounts]units
	restored bool
}

// state is everything. It is comparable and has no pointers.
type state struct {
	ledger   ledger
	journal  [identities]journal
	machine  [machines]machine
	net      [netLength]message
	netSize  int8
	sessions [identities]int8 // How many sessions were ever opened: tokens are random, so no restore makes one come again.
	calls    int8
	ids      int8
	left     [stepKinds]int8 // How many more steps of a kind are allowed.
	truth    truth
}

// config is a scenario: the size of the world, the steps that may happen in it and the rules that are broken.
type config struct {
	machines  int8
	masks     []int8 // The spenders, each by its accounts.
	amounts   []units
	debts     bool // The upstream may bill one unit more than was held.
	extra     bool // The ledger grants more than is needed.
	skewed    bool // A proxy's clock may place a hold in the other window.
	fenced    bool // A draw names the last ReleaseAll before it, and the ledger serves it neither before that one nor after a later one.
	pipelined bool // A batch may be sent before the one ahead of it is acknowledged.
	trimmed   bool // Proxies forget the records that are acknowledged.
	limits    [accounts]units
	changed   []units         // What a limit may be changed to.
	allowed   [stepKinds]int8 // How many steps of each bounded kind there may be.
	flaw      flaw
}

// world is a state under a scenario.
type world struct {
	*config
	state
	broken string // The first rule of what must hold that a step has broken.
}

// begin returns the world of a scenario in which every machine is about to start its first process.
func begin(c *config) *world {
	w := &world{config: c}
	w.ledger.limit, w.truth.maxLimit, w.left = c.limits, c.limits, c.allowed
	for m := range c.machines {
		w.newJournal(m)
		w.machine[m].phase = opening
		w.openSession(m)
	}
	// The first sessions are the same in every history.
	for m := range c.machines {
		w.left[openServed]++
		w.deliver(w.find(openCall, m))
		w.deliver(w.find(openAnswer, m))
	}
	w.left[openServed] = c.allowed[openServed]
	w.netSize, w.net = 0, [netLength]message{}
	return w
}

// breaks notes that a rule does not hold.
func (w *world) breaks(rule string) {
	if w.broken == "" {
		w.broken = rule
	}
}
