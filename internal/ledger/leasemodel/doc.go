// Package leasemodel holds no product code: its tests are the lease protocol between the ledger and the proxies as a small executable
// model, explored over every interleaving for tiny worlds and at random for larger ones.
//
// The ledger's state is durable. A proxy is a machine with a journal, which survives the death of a process and loses a tail of any
// length when the machine reboots, and with slices, which survive nothing. The network is a set of messages, each of which may be
// delivered at any time, any number of times or never, so it loses, repeats, delays and reorders. Timers fire at any moment, which
// stands for every skew of clocks. What the upstream really billed is known to the checker alone.
//
// A rule that is broken on purpose is a flaw; see the list of them. Each one must be caught by the exploration, or the checker proves
// nothing.
//
// A restored ledger may overspend a window by what was booked or leased since its backup, and by no more; see forgotten.
package leasemodel
