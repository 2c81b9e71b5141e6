package storetest

import (
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// proxy is a proxy in one of its sessions: it numbers its draws and its records as a real one does.
type proxy struct {
	*books
	session store.Credential
	// applied is what the ledger had of its log when the session was opened.
	applied int64
	drawn   int64
	logged  int64
}

// demand is what the consumer needs, with nothing put aside for it.
func (p *proxy) demand(consumer, usd string) store.Demand {
	p.t.Helper()
	return store.Demand{Route: chat, Consumer: consumer, Amount: dollars(p.t, usd)}
}

// ask makes the next draw.
func (p *proxy) ask(demands ...store.Demand) []store.Answer {
	p.t.Helper()
	p.drawn++
	return p.askAs(p.drawn, demands...)
}

// askAs makes a draw with the given sequence.
func (p *proxy) askAs(sequence int64, demands ...store.Demand) []store.Answer {
	p.t.Helper()
	answers, err := p.Draw(p.t.Context(), p.now(), p.session, store.Draw{
		Sequence: sequence, After: p.logged, Identity: server, Demands: demands,
	})
	if err != nil {
		p.t.Fatalf("Draw(%d, %+v): %v", sequence, demands, err)
	}
	if len(answers) != len(demands) {
		p.t.Fatalf("%d answers to %d demands", len(answers), len(demands))
	}
	return answers
}

// draw makes a draw for one demand and expects to get the money.
func (p *proxy) draw(consumer, usd string) []store.Lease {
	p.t.Helper()
	answer := p.ask(p.demand(consumer, usd))[0]
	if answer.Denial != nil || answer.Err != nil {
		p.t.Fatalf("a draw of %s USD for %s was answered with %+v, %v", usd, consumer, answer.Denial, answer.Err)
	}
	return answer.Leases
}

// denied makes a draw for one demand and expects to be refused.
func (p *proxy) denied(consumer, usd string, exhausted bool) *store.Denial {
	p.t.Helper()
	denial := p.ask(p.demand(consumer, usd))[0].Denial
	if denial == nil || denial.Exhausted != exhausted {
		p.t.Fatalf("a draw of %s USD for %s: denial %+v, want one with exhausted = %t", usd, consumer, denial, exhausted)
	}
	return denial
}

// report appends the next records, and expects all of them to be applied.
func (p *proxy) report(records ...store.Record) store.Appended {
	p.t.Helper()
	appended := p.reportAs(p.logged+1, records...)
	p.logged += int64(len(records))
	if appended.Applied != p.logged {
		p.t.Fatalf("%d is applied, want %d", appended.Applied, p.logged)
	}
	return appended
}

// reportAs appends records from the given number.
func (p *proxy) reportAs(first int64, records ...store.Record) store.Appended {
	p.t.Helper()
	appended, err := p.Append(p.t.Context(), p.now(), p.session, first, records)
	if err != nil {
		p.t.Fatalf("Append(%d, %+v): %v", first, records, err)
	}
	return appended
}

// settled is a settlement of an attempt of alice that is opened now, with what is taken off each of the leases.
func (p *proxy) settled(usd string, leases []store.Lease, taken string) store.Record {
	p.t.Helper()
	return store.Record{Settlement: &store.Settlement{
		Route: chat, Consumer: "alice", OpenedAt: p.now(), Amount: dollars(p.t, usd), Charges: charges(leases, dollars(p.t, taken)),
	}}
}

// uncertain is the same of an attempt whose cost nobody vouches for.
func (p *proxy) uncertain(usd string, leases []store.Lease, taken string) store.Record {
	p.t.Helper()
	record := p.settled(usd, leases, taken)
	record.Settlement.Uncertain = true
	return record
}

// returned gives an amount of a lease back.
func (p *proxy) returned(lease store.Lease, usd string) store.Record {
	p.t.Helper()
	return store.Record{Return: &store.Charge{Lease: lease.ID, Amount: dollars(p.t, usd)}}
}

// spent settles an attempt of alice for as much as is drawn for it now.
func (p *proxy) spent(usd string) {
	p.t.Helper()
	p.report(p.settled(usd, p.draw("alice", usd), usd))
}

var releaseAll = store.Record{ReleaseAll: true}

func charges(leases []store.Lease, amount money.Amount) []store.Charge {
	made := make([]store.Charge, 0, len(leases))
	for _, one := range leases {
		made = append(made, store.Charge{Lease: one.ID, Amount: amount})
	}
	return made
}
