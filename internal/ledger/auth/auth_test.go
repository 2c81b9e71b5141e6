package auth

import (
	"errors"
	"testing"
)

func TestStaticKnowsOnlyItsKey(t *testing.T) {
	cases := map[string]struct {
		key, bearer string
		want        Identity
		err         error
	}{
		"the key":                         {"secret", "secret", "local", nil},
		"another key":                     {"secret", "Secret", "", ErrUnauthenticated},
		"a part of the key":               {"secret", "secre", "", ErrUnauthenticated},
		"no bearer":                       {"secret", "", "", ErrUnauthenticated},
		"no bearer where there is no key": {"", "", "", ErrUnauthenticated},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			got, err := NewStatic(test.key, "local").Authenticate(t.Context(), test.bearer)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("Authenticate = %q, %v, want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}
