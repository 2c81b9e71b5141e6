// Package proxy is the data plane: it authenticates a consumer, completes and bounds its request, reserves what the request can cost at
// most, forwards it, passes the answer on as it comes, and settles what it really cost before the last byte goes to the client.
//
// Each attempt at an upstream has one hold at the ledger, and each hold is settled exactly once, whatever happens to the client, to the
// upstream or to the handler itself:
//
//   - the upstream said what it cost: that, exactly;
//   - the upstream surely got nothing, or refused in its own words: nothing;
//   - it was hung up because its client had gone: a bound of what was produced, as uncertain;
//   - it was sent and its cost is not known: the whole hold, as uncertain.
//
// The handler does not end when its client goes away. Most upstreams bill the whole answer anyway, so the rest is read and metered; where
// hanging up stops the bill, a stream is hung up (departure.go).
package proxy
