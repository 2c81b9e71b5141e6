package proxy_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

func TestAKeyIsRefusedOnceItsTimeIsOverThoughNobodySaysSo(t *testing.T) {
	soon, later := time.Now().Add(2*time.Second).Unix(), time.Now().Add(time.Hour).Unix()
	cases := map[string]struct {
		key, consumer int64
		refused       bool
	}{
		"a key that was replaced":        {key: soon, refused: true},
		"all keys of a consumer":         {key: later, consumer: soon, refused: true},
		"neither, while there is time":   {key: later, consumer: later},
		"nor one whose time has no end":  {},
		"a key whose time is long over":  {key: 1, refused: true},
		"a consumer whose time is over ": {consumer: 1, refused: true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := begin(t, setup{edit: func(config *routeconfig.Config) {
				consumer := &config.Routes[0].Consumers[0]
				consumer.Expires, consumer.Keys[0].Expires = test.consumer, test.key
			}})
			status := func() int { return w.do(w.chat(t.Context(), pageRequest)).status }
			if !test.refused {
				if got := status(); got != http.StatusOK {
					t.Errorf("it is refused with %d", got)
				}
				return
			}
			w.eventually("it is refused", func() bool { return status() == http.StatusUnauthorized })
		})
	}
}
