package cabundle_test

import (
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/cabundle"
)

func TestABundleIsReadAsAWholeOrNotAtAll(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	block := func(kind string, content []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
	}
	one := block("CERTIFICATE", server.Certificate().Raw)
	for name, test := range map[string]struct {
		bundle string
		count  int
		fault  string
	}{
		"one":                      {one, 1, ""},
		"two, with words between":  {"# ours\n" + one + "# theirs\n" + one, 2, ""},
		"nothing":                  {"", 0, "no certificate"},
		"words":                    {"ca.crt", 0, "no certificate"},
		"a key":                    {block("PRIVATE KEY", []byte("key")), 0, "part 1 in PEM is a PRIVATE KEY"},
		"a key behind it":          {one + block("PRIVATE KEY", []byte("key")), 0, "part 2 in PEM is a PRIVATE KEY"},
		"something else":           {block("CERTIFICATE", []byte("none")), 0, "certificate 1 cannot be read"},
		"one that was cut":         {one[:len(one)/2], 0, "no certificate"},
		"a second one that is cut": {one + one[:len(one)/2], 0, "what follows certificate 1 is no complete PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cabundle.Parse([]byte(test.bundle))
			if len(got) != test.count || (err == nil) != (test.fault == "") {
				t.Fatalf("got %d certificates, %v", len(got), err)
			}
			if err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Errorf("the error is %v, want %q", err, test.fault)
			}
		})
	}
}
