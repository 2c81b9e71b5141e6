package leasemodel

// flaw is a set of rules of the protocol that are broken on purpose.
type flaw uint64

const (
	// Gaps of the protocol as it was first written. The exploration shows each one, and the rules that close them are part of the model.

	drawsBeforeRelease     flaw = 1 << iota // A restarted proxy draws before its ReleaseAll is acknowledged.
	stopsDuringDraw                         // A clean stop does not wait for the answer of the draw that is under way.
	reopensBlindly                          // A live proxy that opens a new session is not told its leases.
	validFromRepeat                         // A draw asked again counts the remembered validity from the second asking.
	windowsOverlap                          // An edit opens a window that does not count the leases of the one that it overlaps.
	booksByClock                            // A settlement is booked where the proxy's clock was, not where its charge was taken.
	hidesOldest                             // A proxy does not say which records it no longer has.
	sessionsOutliveRestore                  // A restored ledger takes up the sessions of its backup.
	servesWhenGone                          // A proxy that was released goes on under its id.
	refusesGone                             // A proxy that was released can open no session to send what it has spent.
	heedsEndedSessions                      // A proxy heeds late answers of its old session while it opens a new one.
	drawsUncovered                          // A proxy draws before a restored ledger has booked what was taken from forgotten leases.

	// Mutations of what was written.

	appliesRepeats
	appliesGaps
	ignoresSessions
	freesOnSilence
	releasesAfterReboot
	settlesAfterReboot
	sendsBeforeJournal
	validFromAnswer
	grantsFreely
	forgetsAnswers
	drawsOutOfOrder
	releasesHeld
	forgetsOpenHolds
	keepsReturned
	takesWholeHold
	takesDebt
	drawsWhenGone
	givesUpDraws
	keepsSequence
	sendsBeforeWriting
	silenceForgotten
	holdsHalf
)

func (c *config) has(f flaw) bool { return c.flaw&f != 0 }
