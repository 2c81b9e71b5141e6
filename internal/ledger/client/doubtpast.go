package client

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// recallDoubt takes up a record of the journal that tells of the doubt of a hold.
func recallDoubt(id uint64, record journal.Record, open map[uint64]openHold) error {
	switch hold, isOpen := open[id]; record.Kind {
	case kindSent:
		if isOpen {
			hold.generation = string(record.Payload[holdBytes:])
			open[id] = hold
		}
	case kindRecord:
		return recallRecord(id, record, open)
	case kindDoubt:
		generation, booked, err := readDoubt(record.Payload)
		if err != nil {
			return err
		}
		// One whose settlement is not there is an open hold, whatever follows.
		if !isOpen || hold.booked != nil {
			open[id] = openHold{at: record.Position, generation: generation, booked: booked}
		}
	case kindGivenUp:
		delete(open, id)
	}
	return nil
}

// recallRecord takes up a record of the log. One that settles a hold as uncertain leaves a doubt if the upstream named the answer; every
// other one ends what there was.
func recallRecord(id uint64, record journal.Record, open map[uint64]openHold) error {
	hold, isOpen := open[id]
	if !tellsOfDoubt(record.Payload[holdBytes:]) {
		delete(open, id)
		return nil
	}
	read := &ledgerpb.Record{}
	if err := readPayload(record.Payload, read); err != nil {
		return err
	}
	booked := read.GetSettlement()
	if id == 0 && booked.GetReplacesNanoUsd() > 0 {
		// It was written before corrections named their hold: it may be of any doubt before it.
		maps.DeleteFunc(open, func(_ uint64, one openHold) bool { return one.booked != nil })
	}
	if !isOpen {
		return nil
	}
	isDoubt := booked.GetCertainty() == ledgerpb.Settlement_CERTAINTY_UNCERTAIN && booked.GetAmountNanoUsd() > 0
	if hold.booked != nil || hold.generation == "" || !isDoubt {
		delete(open, id)
		return nil
	}
	hold.booked, hold.payload = booked, nil
	open[id] = hold
	return nil
}

// The fields by which a record tells of a doubt.
var (
	settlementField = (&ledgerpb.Record{}).ProtoReflect().Descriptor().Fields().ByName("settlement").Number()
	certaintyField  = (&ledgerpb.Settlement{}).ProtoReflect().Descriptor().Fields().ByName("certainty").Number()
	replacesField   = (&ledgerpb.Settlement{}).ProtoReflect().Descriptor().Fields().ByName("replaces_nano_usd").Number()
)

// tellsOfDoubt reports whether an encoded record has to be read to know what it says of a doubt: whether it is a settlement that is
// uncertain, or a correction. A journal may have a million others, and to read all of them would keep a proxy from its work for seconds.
func tellsOfDoubt(record []byte) bool {
	tells := false
	eachField(record, func(field protowire.Number, _ uint64, settlement []byte) {
		if field == settlementField {
			eachField(settlement, func(field protowire.Number, value uint64, _ []byte) {
				isUncertain := field == certaintyField && value == uint64(ledgerpb.Settlement_CERTAINTY_UNCERTAIN)
				tells = tells || isUncertain || field == replacesField && value > 0
			})
		}
	})
	return tells
}

// eachField calls back with the fields of a message that was encoded here: with the value of a number, or the content of anything else.
func eachField(message []byte, found func(field protowire.Number, value uint64, content []byte)) {
	for len(message) > 0 {
		field, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		var value uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			value, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			content, size = protowire.ConsumeBytes(message)
		default: // It is enough to know how long it is.
			size = protowire.ConsumeFieldValue(field, kind, message)
		}
		if size < 0 {
			return
		}
		found(field, value, content)
		message = message[size:]
	}
}

// inherit takes up the doubts that an earlier process left, among them the holds that it left open, which are settled now. If there are too
// many, those of the newest count.
func (c *Client) inherit(left map[uint64]openHold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, one := range left {
		if one.generation == "" || one.booked.GetAmountNanoUsd() == 0 {
			continue
		}
		amount := money.FromNano(one.booked.GetAmountNanoUsd())
		c.doubts.inherited = append(c.doubts.inherited, &Hold{
			client: c, id: id, at: one.at, doubtAt: one.at, openedAt: one.booked.GetOpenedAt().AsTime(), settled: true,
			generation: one.generation, doubtful: amount,
			demand: Demand{
				Namespace: one.booked.GetRoute().GetNamespace(), Route: one.booked.GetRoute().GetName(),
				Consumer: one.booked.GetConsumer(), Amount: amount, Model: one.booked.GetModel(), Upstream: one.booked.GetUpstream(),
				Team: one.booked.GetTeam(),
			},
		})
	}
	slices.SortFunc(c.doubts.inherited, func(a, b *Hold) int { return cmp.Compare(b.id, a.id) })
	c.doubts.inherited = c.doubts.inherited[:min(len(c.doubts.inherited), maxDoubts)]
	for _, h := range c.doubts.inherited {
		c.doubts.open[h.id] = h
	}
}
