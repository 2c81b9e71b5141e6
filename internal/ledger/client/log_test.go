package client

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// A journal outlives the program that wrote it, so the bytes of records are here as they once were.
func TestARecordThatDoesNotCountCacheWritesIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	encoded, err := hex.DecodeString("07000000000000000a3a0a0a0a0261691204636861741205616c69636520e8072801400148ac02" +
		"52076d69787472616c5a04766c6c6d60026a0a08c8011096011864203c")
	if err != nil {
		t.Fatal(err)
	}
	want := &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Consumer: "alice", AmountNanoUsd: 1000,
		Certainty: ledgerpb.Settlement_CERTAINTY_EXACT, Source: ledgerpb.Settlement_SOURCE_PRICED, Requests: 1, Tokens: 300,
		Model: "mixtral", Upstream: "vllm",
		Used: &ledgerpb.TokenUsage{Prompt: 200, Cached: 150, Completion: 100, Reasoning: 60},
	}}}
	got := &ledgerpb.Record{}
	if err := readPayload(encoded, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if hold, err := holdOf(encoded); hold != 7 || err != nil {
		t.Errorf("it is of hold %d, %v; want 7", hold, err)
	}
	want.GetSettlement().Used.CacheWrite = 50
	if err := readPayload(payload(7, want), got); err != nil || got.GetSettlement().GetUsed().GetCacheWrite() != 50 {
		t.Errorf("one that counts them has %d, %v; want 50", got.GetSettlement().GetUsed().GetCacheWrite(), err)
	}
}
