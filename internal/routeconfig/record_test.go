package routeconfig_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

const newer = `{"version":99,"ledger":{"url":"https://ledger","ca":"a long certificate"},"routes":[{"namespace":"ai","name":"chat","new":1,
	"consumers":[{"name":"search","team":"search","keys":[{"id":"a","sha256":"aa","created":7},{"id":"b","sha256":"bb","expires":9}]},
		{"name":"pods","serviceAccounts":[{"namespace":"ai","name":"pod"}]}]}]}`

func TestTheKeysOfRecordAreThoseOfTheConfigurationWhateverElseItHas(t *testing.T) {
	keys, err := routeconfig.KeysOfRecord([]byte(newer))
	want := map[string][]routeconfig.Key{
		"search": {{ID: "a", SHA256: "aa", Created: 7}, {ID: "b", SHA256: "bb", Expires: 9}},
		"pods":   nil,
	}
	if diff := cmp.Diff(want, keys); err != nil || diff != "" {
		t.Errorf("error %v, (-want +got):\n%s", err, diff)
	}
}

func TestARecordHasTheKeysAndIsSmall(t *testing.T) {
	record, err := routeconfig.Record([]byte(newer))
	if err != nil {
		t.Fatal(err)
	}
	want, err := routeconfig.KeysOfRecord([]byte(newer))
	if err != nil {
		t.Fatal(err)
	}
	got, err := routeconfig.KeysOfRecord(record)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, (-want +got):\n%s", err, diff)
	}
	if len(record) >= len(newer)/2 {
		t.Errorf("of %d bytes it keeps %d: %s", len(newer), len(record), record)
	}
	if _, err := routeconfig.Decode(record); err == nil {
		t.Error("a proxy would take it for a configuration")
	}
}

func TestWhatIsNoConfigurationHasNoRecord(t *testing.T) {
	for _, wrong := range []string{"", "{", `{"routes":7}`} {
		if record, err := routeconfig.Record([]byte(wrong)); err == nil {
			t.Errorf("of %q it is %q", wrong, record)
		}
		if keys, err := routeconfig.KeysOfRecord([]byte(wrong)); err == nil {
			t.Errorf("of %q they are %v", wrong, keys)
		}
	}
}
