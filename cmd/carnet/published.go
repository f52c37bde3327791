package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/carnet-project/carnet/tuf"
)

// load reads the repository's state and keeps what is now known.
func (p *publisher) load(ctx context.Context) (*tuf.State, error) {
	if err := p.c.bringKeys(ctx); err != nil {
		return nil, err
	}
	state, err := p.repo.Load(ctx)
	return state, errors.Join(err, p.state.Commit())
}

// named says which of the keys that are missing have names here.
func (c *command) named(err error) error {
	var missing *tuf.MissingKeysError
	if !errors.As(err, &missing) || missing.Why != nil {
		return err
	}
	ks, kerr := c.keys()
	if kerr != nil {
		return err
	}
	var known []string
	for _, k := range missing.Absent {
		id, _ := tuf.KeyIdentity(k)
		if name := nameOf(ks, id); name != "" {
			known = append(known, name)
		}
	}
	if len(known) == 0 {
		return fmt.Errorf("%w: take one in with `carnet key import`, name it with `carnet key add`, or bring it with --key", err)
	}
	return fmt.Errorf("%w: of these only the public key is in the keystore: %s", err, strings.Join(known, ", "))
}

// nameOf returns the keystore's name of the key with that material, or "".
func nameOf(ks *tuf.Keystore, identity string) string {
	stored, _ := ks.List()
	for _, s := range stored {
		if id, err := tuf.KeyIdentity(s.Key); err == nil && id == identity {
			return s.Name
		}
	}
	return ""
}

// published is the answer of a publishing verb about its publication.
type published struct {
	Changed     bool      `json:"changed"`
	Trust       string    `json:"trust"`
	RootVersion int64     `json:"rootVersion"`
	Version     int64     `json:"timestampVersion"`
	Identity    string    `json:"identity"`
	Expires     time.Time `json:"expires"`
	// Proposal is what the change became, if it needs others: then the state is
	// as it was before.
	Proposal *string `json:"proposal"`
}

func (p *publisher) published(r *tuf.Result) published {
	out := published{r.Changed, p.trust.String(), r.Root, r.Timestamp, r.Identity, r.Expires, nil}
	if r.Proposal != nil {
		id := r.Proposal.Proposal.ID()
		out.Proposal = &id
	}
	return out
}

func (r published) String() string {
	if r.Proposal != nil {
		return fmt.Sprintf("not in effect yet: proposed as %.12s in %s", *r.Proposal, r.Trust)
	}
	if !r.Changed {
		return fmt.Sprintf("nothing to do: state %d of %s says so already", r.Version, r.Trust)
	}
	return fmt.Sprintf("published as state %d of %s, fresh until %s", r.Version, r.Trust, r.Expires.Format(time.RFC3339))
}
