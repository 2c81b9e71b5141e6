package certs

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"iter"
	"time"
)

// overlap is how long a new authority is told before the ledger's certificate is by it, and how long the one before is trusted afterwards.
// Proxies learn of an authority in seconds, and the ledger gets its certificate in a minute or two; the rest is for those who have to wait,
// such as a pod that starts while the API server is away. It is not longer, since an authority may be replaced because it is not to be
// trusted any more.
const overlap = time.Hour

// state is what the two Secrets have. At any time the ledger's certificate is by one of the authorities that are told to those who connect
// to the ledger, so that nobody is refused while one takes the place of another.
type state struct {
	// authority signs what is issued from now on.
	authority pair
	leaf      pair
	// told are the certificates, as PEM, of all authorities that are trusted: beside the leaf's, so that both change at once.
	told []byte
}

// step is what comes of a state.
type step struct {
	state
	// look is when there is something to do again.
	look time.Time
	// authorityProblem and leafProblem are why they were replaced; nil if they were not.
	authorityProblem, leafProblem error
}

// next repairs and renews what has to be, and takes a change of the authority one step on. seen is since when it has been known what
// authority there is; one that is made here is known from now on.
func (s state) next(now time.Time, seen func(authority pair) time.Time, dnsNames []string) (step, error) {
	made := step{state: s}
	var err error
	if made.authorityProblem = checkAuthority(now, s.authority); made.authorityProblem != nil {
		if made.authority, err = newAuthority(now); err != nil {
			return step{}, err
		}
	}
	announced := seen(made.authority)
	due, problem := checkLeaf(now, s.leaf, made.authority, dnsNames)
	if problem != nil {
		previous := made.previous()
		if byPrevious, err := s.leaf.verify(now, previous, dnsNames); err == nil {
			if change := earlier(announced.Add(overlap), byPrevious.NotAfter); now.Before(change) {
				made.look, made.told = change, bundleOf(made.authority.certificate, previous)
				return made, nil
			}
		}
		made.leafProblem = problem
		if made.leaf, err = newLeaf(now, made.authority, dnsNames); err != nil {
			return step{}, err
		}
		if due, err = checkLeaf(now, made.leaf, made.authority, dnsNames); err != nil {
			return step{}, fmt.Errorf("checking the certificate just made: %w", err)
		}
	}
	return made.afterwards(now, due)
}

// afterwards has the ledger's certificate by the authority. The previous ones are trusted until everybody serves and knows it.
func (s step) afterwards(now, due time.Time) (step, error) {
	s.look = due
	previous := s.previous()
	if len(previous) > 0 {
		certificate, _, err := s.leaf.parse()
		if err != nil {
			return step{}, err
		}
		if end := certificate.NotBefore.Add(clockSkew + overlap); now.Before(end) {
			s.look = earlier(due, end)
		} else {
			previous = nil
		}
	}
	s.told = bundleOf(s.authority.certificate, previous)
	return s, nil
}

// previous are the certificates that are told beside the authority's, as PEM.
func (s state) previous() []byte {
	var previous []byte
	own := bundleOf(nil, s.authority.certificate)
	for block := range certificatesOf(s.told) {
		if !bytes.Contains(own, block) {
			previous = append(previous, block...)
		}
	}
	return previous
}

// bundleOf joins certificates in PEM, each once. Where nothing follows, the first part stays as it is.
func bundleOf(first, second []byte) []byte {
	if len(second) == 0 {
		return first
	}
	var bundle []byte
	for _, part := range [...][]byte{first, second} {
		for block := range certificatesOf(part) {
			if !bytes.Contains(bundle, block) {
				bundle = append(bundle, block...)
			}
		}
	}
	return bundle
}

// certificatesOf are the certificates of a bundle, each as PEM; what else is in it is left out.
func certificatesOf(bundle []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == certificateBlock && !yield(pem.EncodeToMemory(block)) {
				return
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
