package openai_test

import (
	"testing"

	"github.com/modelroute/modelroute/internal/openai"
)

func TestWhatAGenerationCost(t *testing.T) {
	for reason, test := range map[string]struct {
		body string
		nano int64 // -1 if it cannot be booked
	}{
		"the total":                       {`{"data":{"id":"gen-1","total_cost":0.000424,"is_byok":false,"upstream_inference_cost":0.0004}}`, 424_000},
		"with a key of one's own, both":   {`{"data":{"total_cost":0.00002,"is_byok":true,"upstream_inference_cost":0.0004}}`, 420_000},
		"nothing":                         {`{"data":{"total_cost":0,"is_byok":false}}`, 0},
		"exponents":                       {`{"data":{"total_cost":4.24e-4}}`, 424_000},
		"a fraction of a nano-dollar":     {`{"data":{"total_cost":0.0000000001}}`, 1},
		"no total":                        {`{"data":{"usage":1}}`, -1},
		"a total that is null":            {`{"data":{"total_cost":null}}`, -1},
		"a negative total":                {`{"data":{"total_cost":-1}}`, -1},
		"a total that is text":            {`{"data":{"total_cost":"0.1"}}`, -1},
		"one's own key and no more":       {`{"data":{"total_cost":0,"is_byok":true}}`, -1},
		"a provider that pays":            {`{"data":{"total_cost":1,"is_byok":true,"upstream_inference_cost":-1}}`, -1},
		"no data":                         {`{"error":{"code":404}}`, -1},
		"what some other program answers": {`<html>`, -1},
		"nothing at all":                  {``, -1},
	} {
		amount, err := openai.GenerationCost([]byte(test.body))
		switch {
		case test.nano < 0 && err == nil:
			t.Errorf("%s: it cost %s", reason, amount)
		case test.nano >= 0 && (err != nil || amount.Nano() != test.nano):
			t.Errorf("%s: it cost %s, %v, want %d nano-USD", reason, amount, err, test.nano)
		}
	}
}
