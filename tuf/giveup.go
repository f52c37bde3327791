package tuf

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// GiveUp lets a delegated role give itself up (TAP 20's meaning): its next
// version lists nothing, delegates nothing, and says so in a signed mark that
// no later version takes back. It needs the role's own keys and nobody
// else's. A role whose file verifiers refuse can be given up too. It fails
// with ErrImpossible for a top-level role and for the withdrawal role.
func (d *Draft) GiveUp(ctx context.Context, role string) error {
	if metadata.IsTopLevel(role) {
		return fmt.Errorf("%w: %s is a top-level role and cannot give itself up: take the key away with `carnet revoke key KEY`, or change its keys with `carnet rotate %s`",
			ErrImpossible, role, role)
	}
	e, err := d.Edge(ctx, role)
	if err != nil {
		return err
	}
	if e.Withdrawal {
		return fmt.Errorf("%w: %q is the withdrawal role: what it withdrew would pass again; take the key away with `carnet revoke key KEY`, or change its keys with `carnet rotate %s`",
			ErrImpossible, role, role)
	}
	t, err := d.Open(ctx, e)
	switch {
	case errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold):
		t = &metadata.Targets{} // verifiers do not read it
	case err != nil:
		return err
	case t.Revoked:
		return nil
	}
	out := cloneTargets(t)
	out.Targets, out.Delegations, out.Revoked = map[string]metadata.Target{}, nil, true
	d.edited[role] = out
	return d.forgetUnreached(ctx)
}

// forgetUnreached drops the edits of roles that nothing leads to any more.
func (d *Draft) forgetUnreached(ctx context.Context) error {
	for role := range maps.Clone(d.edited) {
		switch _, err := d.Edge(ctx, role); {
		case errors.Is(err, ErrUnknownRole):
			delete(d.edited, role)
		case err != nil:
			return err
		}
	}
	return nil
}

// takesBack reports whether now, a file of the role at the end of e, lists
// something again after the keys that e trusts gave the role up in was: the
// key that did it may be a thief's.
func takesBack(e delegations.Edge, was, now *metadata.File) bool {
	return was != nil && now != nil && was.Targets.Revoked && !now.Targets.Revoked && VerifyThreshold(e.Role, was, e.Keys, e.RoleKeys) == nil
}

func takenBack(role string, was int64, now *metadata.File) error {
	return fmt.Errorf("%w: %s gave itself up in version %d, and version %d takes that back", ErrInvalid, role, was, now.Version)
}
