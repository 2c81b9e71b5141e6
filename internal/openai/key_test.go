package openai_test

import (
	"testing"

	"github.com/modelroute/modelroute/internal/openai"
)

func TestWhatAKeyWasUsedFor(t *testing.T) {
	for reason, test := range map[string]struct {
		body string
		nano int64 // -1 if it cannot be read
	}{
		"the usage":                       {`{"data":{"label":"sk","limit":null,"usage":25.5,"usage_daily":1,"byok_usage":0}}`, 25_500_000_000},
		"with keys of one's own, both":    {`{"data":{"usage":0.1,"byok_usage":0.02}}`, 120_000_000},
		"a number that no float64 has":    {`{"data":{"usage":1234567.123456789,"byok_usage":null}}`, 1_234_567_123_456_789},
		"as a float64 is printed":         {`{"data":{"usage":0.30000000000000004}}`, 300_000_001},
		"an exponent":                     {`{"data":{"usage":1.5e-7}}`, 150},
		"nothing yet":                     {`{"data":{"usage":0}}`, 0},
		"no usage":                        {`{"data":{"limit":10}}`, -1},
		"a usage that is null":            {`{"data":{"usage":null,"byok_usage":1}}`, -1},
		"a usage that is text":            {`{"data":{"usage":"1"}}`, -1},
		"a negative usage":                {`{"data":{"usage":-1}}`, -1},
		"a usage of one's own that is no": {`{"data":{"usage":1,"byok_usage":"x"}}`, -1},
		"no data":                         {`{"error":{"code":404}}`, -1},
		"what some other program answers": {`<html>`, -1},
		"nothing at all":                  {``, -1},
	} {
		amount, err := openai.KeyUsage([]byte(test.body))
		switch {
		case test.nano < 0 && err == nil:
			t.Errorf("%s: it was used for %s", reason, amount)
		case test.nano >= 0 && (err != nil || amount.Nano() != test.nano):
			t.Errorf("%s: it was used for %s, %v, want %d nano-USD", reason, amount, err, test.nano)
		}
	}
}
