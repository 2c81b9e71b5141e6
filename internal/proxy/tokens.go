package proxy

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/workload"
)

// maxVerified is how many tokens are remembered at a time: more than the pods that use one proxy at once.
const maxVerified = 4096

// tokens finds whoever presents the token of a ServiceAccount. It belongs to one table, so that a new configuration forgets all that was
// verified under the one before.
type tokens struct {
	verifier *workload.Verifier
	// accounts are whoever may present tokens.
	accounts map[routeconfig.ServiceAccount]*principal

	mu sync.RWMutex
	// verified are the tokens that were verified before, by their hash: they cost no more than a key.
	verified map[keyHash]verifiedToken
}

type verifiedToken struct {
	holder  *principal
	expires int64
}

// newTokens makes the tokens of a configuration; nil if it accepts none.
func newTokens(issuer *routeconfig.Issuer) (*tokens, error) {
	if issuer == nil {
		return nil, nil
	}
	verifier, err := workload.NewVerifier(*issuer)
	if err != nil {
		return nil, err
	}
	return &tokens{
		verifier: verifier, accounts: map[routeconfig.ServiceAccount]*principal{}, verified: map[keyHash]verifiedToken{},
	}, nil
}

// all are whoever may present tokens; nobody if the configuration accepts none.
func (t *tokens) all() map[routeconfig.ServiceAccount]*principal {
	if t == nil {
		return nil
	}
	return t.accounts
}

// add lets the tokens of an account have a grant.
func (t *tokens) add(account routeconfig.ServiceAccount, added *grant) error {
	holder := t.accounts[account]
	if holder == nil {
		holder = newPrincipal()
		t.accounts[account] = holder
	}
	holder.expires = earliest(holder.expires, added.consumer.Expires)
	return holder.add(added)
}

// unknownAccount says in words for a client that nothing is granted to the account whose token it presents.
type unknownAccount routeconfig.ServiceAccount

// Error is a whole sentence.
func (a unknownAccount) Error() string {
	return fmt.Sprintf("ServiceAccount %s/%s may use no model here, or was deleted since the token was issued.", a.Namespace, a.Name)
}

var errGrantOver = errors.New("What the ServiceAccount was granted here has expired.") //nolint:staticcheck // a sentence for a client

// authenticate finds whoever presents a token. The error says, in words for a client, why there is nobody.
func (t *tokens) authenticate(token string, hash keyHash, now time.Time) (*principal, error) {
	t.mu.RLock()
	known, found := t.verified[hash]
	t.mu.RUnlock()
	if !found || now.Unix() >= known.expires {
		identity, err := t.verifier.Verify(token, now)
		if err != nil {
			return nil, err
		}
		holder := t.accounts[identity.Account]
		if holder == nil {
			return nil, unknownAccount(identity.Account)
		}
		known = verifiedToken{holder: holder, expires: identity.Expires}
		t.remember(hash, known)
	}
	holder := known.holder.at(now.Unix())
	if holder == nil {
		return nil, errGrantOver
	}
	return holder, nil
}

// remember keeps a token that was verified. Of too many any one is forgotten: it is verified again when it comes.
func (t *tokens) remember(hash keyHash, verified verifiedToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.verified) >= maxVerified {
		for any := range t.verified {
			delete(t.verified, any)
			break
		}
	}
	t.verified[hash] = verified
}
