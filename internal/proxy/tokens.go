package proxy

import (
	"fmt"
	"runtime"
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
	// verifying has room for as many as may be verified at once: those who flood a proxy with forged tokens get half of its processors.
	verifying chan struct{}

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
		verifying: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
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

// refusedToken says in a sentence for a client why a token that was verified is of no use here.
type refusedToken string

// Error is the sentence.
func (r refusedToken) Error() string { return string(r) }

// authenticate finds whoever presents a token. The error says, in words for a client, why there is nobody.
func (t *tokens) authenticate(token string, hash keyHash, now time.Time) (*principal, error) {
	known, found := t.recall(hash, now)
	if !found {
		var err error
		if known, err = t.verify(token, hash, now); err != nil {
			return nil, err
		}
	}
	holder := known.holder.at(now.Unix())
	if holder == nil {
		return nil, refusedToken("The time is over for which the ServiceAccount may use a model here.")
	}
	return holder, nil
}

// verify verifies a token that is not known, and remembers it. One that is refused is not remembered: it costs its signature each time.
func (t *tokens) verify(token string, hash keyHash, now time.Time) (verifiedToken, error) {
	t.verifying <- struct{}{}
	defer func() { <-t.verifying }()
	if known, found := t.recall(hash, now); found { // by another request that came with it
		return known, nil
	}
	identity, err := t.verifier.Verify(token, now)
	if err != nil {
		return verifiedToken{}, err
	}
	holder := t.accounts[identity.Account]
	if holder == nil {
		return verifiedToken{}, refusedToken(fmt.Sprintf(
			"ServiceAccount %s/%s may use no model here, or was deleted since the token was issued.",
			identity.Account.Namespace, identity.Account.Name))
	}
	verified := verifiedToken{holder: holder, expires: identity.Expires}
	t.remember(hash, verified)
	return verified, nil
}

// recall finds a token that was verified before and has not expired.
func (t *tokens) recall(hash keyHash, now time.Time) (verifiedToken, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	known, found := t.verified[hash]
	return known, found && now.Unix() < known.expires
}

// remember keeps a token that was verified. Of too many any one is forgotten: it is verified again when it comes.
func (t *tokens) remember(hash keyHash, verified verifiedToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.verified) >= maxVerified {
		for one := range t.verified {
			delete(t.verified, one)
			break
		}
	}
	t.verified[hash] = verified
}
