package tuf

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// checkRules holds what a proposal changes against what an edit may change:
// files that somebody made by hand, or with another tool, say no more than
// those that a [Draft] makes. D is the state with the proposal's files in it.
func (r *Repository) checkRules(ctx context.Context, d *Draft, p *Proposal) error {
	for _, role := range p.Roles() {
		var err error
		if role == metadata.RoleRoot {
			err = checkNewRoot(d.state.Root().Root, p.File(role))
		} else {
			err = r.checkRoleFile(ctx, d, role)
		}
		if err != nil && !errors.Is(err, ErrProposal) && isVerdict(err) {
			err = fmt.Errorf("%w: %w", ErrProposal, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isVerdict reports that an error is about the metadata, not about a failure to
// ask for it.
func isVerdict(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold) || errors.Is(err, ErrUnknownRole) || errors.Is(err, ErrImpossible)
}

func rulef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProposal}, args...)...)
}

// checkNewRoot refuses a root of another publisher, and one that leaves a role
// without enough keys: nobody could ever sign it again.
func checkNewRoot(was *metadata.Root, f *metadata.File) error {
	if err := samePublisher(was, f); err != nil {
		return err
	}
	for _, role := range []string{metadata.RoleRoot, metadata.RoleTargets, metadata.RoleSnapshot, metadata.RoleTimestamp} {
		rk := f.Root.Roles[role]
		if n := usable(f.Root.Keys, rk); rk.Threshold > n {
			return rulef("its root gives %s a threshold of %d and %d usable keys", role, rk.Threshold, n)
		}
	}
	return nil
}

// usable counts the different keys of a role that can verify anything.
func usable(keys metadata.Keys, rk metadata.RoleKeys) int {
	seen := map[string]bool{}
	for _, id := range rk.KeyIDs {
		key, ok := keys[id]
		if !ok {
			continue
		}
		if _, _, err := publicKey(key); err != nil {
			continue
		}
		if material, err := KeyIdentity(key); err == nil {
			seen[material] = true
		}
	}
	return len(seen)
}

// checkRoleFile checks the new file of targets or of a delegated role.
func (r *Repository) checkRoleFile(ctx context.Context, d *Draft, role string) error {
	e, err := d.Edge(ctx, role)
	if err != nil {
		return err
	}
	// A name that is used again goes on from a file that nothing leads to.
	if f, err := r.role(ctx, d.state.rev, role); err != nil {
		return err
	} else if f != nil && f.Targets.Revoked && VerifyThreshold(role, f, e.Keys, e.RoleKeys) == nil {
		return rulef("the role %q gave itself up, and has no next file", role)
	}
	was, now := &metadata.Targets{}, d.edited[role]
	if f, err := d.state.present(ctx, role); err != nil {
		return err
	} else if f != nil {
		was = f.Targets
	}
	if err := r.checkEntries(ctx, d, e, was, now); err != nil {
		return err
	}
	return r.checkDelegations(ctx, d, e, orEmpty(was.Delegations), orEmpty(now.Delegations))
}

// present returns the file of targets or of a delegated role that readers take
// now, or nil: nothing leads to one, or it is not valid.
func (s *State) present(ctx context.Context, role string) (*metadata.File, error) {
	e, err := s.client.Edge(ctx, role)
	if err == nil {
		var f *metadata.File
		if f, err = s.client.OpenFile(ctx, e); err == nil {
			return f, nil
		}
	}
	if errors.Is(err, ErrUnknownRole) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold) {
		return nil, nil
	}
	return nil, err
}

// checkEntries checks what a file lists that it did not list before.
func (r *Repository) checkEntries(ctx context.Context, d *Draft, e delegations.Edge, was, now *metadata.Targets) error {
	trusted, err := d.trustedWith(ctx, e)
	if err != nil {
		return err
	}
	withdrawals, _, err := d.Withdrawals(ctx)
	if err != nil {
		return err
	}
	for path, target := range now.Targets {
		if old, ok := was.Targets[path]; ok && old.Equal(target) {
			continue
		}
		switch {
		case e.Role == metadata.RoleTargets:
			return rulef("top-level targets would list %s: it lists no target files", path)
		case !trusted(path):
			return rulef("%s would list %s, which is outside of its delegation", e.Role, path)
		case e.Withdrawal && target.Notice() == nil:
			return rulef("%s would list %s without a notice that can be read", e.Role, path)
		case !e.Withdrawal && withdrawals != nil && withdraws(withdrawals, target):
			return rulef("%s would vouch for %s, which is withdrawn", e.Role, path)
		}
	}
	return nil
}

func withdraws(withdrawals *metadata.Targets, target metadata.Target) bool {
	sum := target.Hashes.Get("sha256")
	return sum != "" && NoticeIn(withdrawals, digest.NewDigestFromEncoded(digest.SHA256, sum)) != nil
}

// trustedWith returns whether the role at the end of e is trusted with a path,
// all the way from targets.
func (d *Draft) trustedWith(ctx context.Context, e delegations.Edge) (func(path string) bool, error) {
	var way []metadata.Delegation
	for _, role := range e.Chain {
		step, err := d.Edge(ctx, role)
		if err != nil {
			return nil, err
		}
		to, err := d.delegationTo(ctx, step)
		if err != nil {
			return nil, err
		}
		if to != nil {
			way = append(way, *to)
		} else if role != metadata.RoleTargets {
			return nil, rulef("%q is a hash bin, which no proposal changes", role)
		}
	}
	return func(path string) bool {
		return !slices.ContainsFunc(way, func(to metadata.Delegation) bool { return !delegations.Match(to, path) })
	}, nil
}

// checkDelegations checks whom a file trusts otherwise than before.
func (r *Repository) checkDelegations(ctx context.Context, d *Draft, e delegations.Edge, was, now *metadata.Delegations) error {
	if was.Succinct != nil || now.Succinct != nil {
		if !sameDelegations(was, now) {
			return rulef("%s would change its hash bins", e.Role)
		}
		return nil
	}
	if e.Role == metadata.RoleTargets {
		if err := checkWithdrawalStays(was, now); err != nil {
			return err
		}
	}
	if sameDelegations(was, now) {
		return nil
	}
	for i := range now.Roles {
		to := now.Roles[i]
		if to.Agreement != nil {
			if err := checkAgreement(now, to); err != nil {
				return rulef("the agreement at the role %q: %w", to.Name, err)
			}
		}
		old := find(was, to.Name)
		if sameDelegation(old, &to) && sameListedKeys(was, now, to) {
			continue
		}
		if err := r.checkDelegation(ctx, d, e, i, old, to, now.Keys); err != nil {
			return err
		}
	}
	return nil
}

// sameListedKeys reports whether the key IDs of a delegation stand for the keys that
// they stood for before.
func sameListedKeys(was, now *metadata.Delegations, to metadata.Delegation) bool {
	return !slices.ContainsFunc(to.KeyIDs, func(id string) bool {
		a, okA := was.Keys[id]
		b, okB := now.Keys[id]
		return okA != okB || string(a.JSON()) != string(b.JSON())
	})
}

// checkWithdrawalStays keeps the withdrawal role where it is: searched first
// and for every path. Its keys may change.
func checkWithdrawalStays(was, now *metadata.Delegations) error {
	if len(was.Roles) == 0 || was.Roles[0].Purpose != metadata.PurposeWithdrawal {
		return nil
	}
	old := was.Roles[0]
	if len(now.Roles) > 0 {
		to := now.Roles[0]
		if to.Name == old.Name && to.Purpose == old.Purpose && !to.Terminating && slices.Equal(to.Paths, old.Paths) && slices.Equal(to.HashPrefixes, old.HashPrefixes) {
			return nil
		}
	}
	return rulef("it takes the withdrawal role %q away, or out of the first place: what was withdrawn would pass again", old.Name)
}

func (r *Repository) checkDelegation(ctx context.Context, d *Draft, e delegations.Edge, place int, old *metadata.Delegation, to metadata.Delegation, keys metadata.Keys) error {
	if old == nil {
		if err := d.checkNewName(ctx, to.Name); err != nil {
			return err
		}
	}
	if n := usable(keys, to.RoleKeys); to.Threshold > n {
		return rulef("it gives %q a threshold of %d and %d usable keys", to.Name, to.Threshold, n)
	}
	if to.Purpose != "" && (place > 0 || e.Role != metadata.RoleTargets) || e.Withdrawal {
		return rulef("%s would delegate to %q: a withdrawal role is the first of targets, and delegates nothing", e.Role, to.Name)
	}
	for _, pattern := range to.Paths {
		if err := delegations.CheckPattern(pattern); err != nil {
			return rulef("%w", err)
		}
	}
	return r.checkStands(ctx, d, e, old, to, keys)
}

// checkNewName refuses a new role's name that is none, or another role's.
func (d *Draft) checkNewName(ctx context.Context, name string) error {
	if err := delegations.CheckRoleName(name); err != nil {
		return rulef("%w", err)
	}
	before := newDraft(d.state, d.keys)
	if _, err := before.Edge(ctx, name); err == nil {
		return rulef("the role %q exists: role names are unique in a publisher", name)
	} else if !errors.Is(err, ErrUnknownRole) {
		return err
	}
	n := 0
	for _, t := range d.edited {
		if find(orEmpty(t.Delegations), name) != nil {
			n++
		}
	}
	if n > 1 {
		return rulef("%d roles would delegate to %q: role names are unique in a publisher", n, name)
	}
	return nil
}

// checkStands refuses a delegation that leaves a role without a valid file:
// every search that reaches it would fail. A file in the proposal is counted
// with the others.
func (r *Repository) checkStands(ctx context.Context, d *Draft, e delegations.Edge, old *metadata.Delegation, to metadata.Delegation, keys metadata.Keys) error {
	if d.edited[to.Name] != nil {
		return nil
	}
	if old == nil {
		return rulef("%s would delegate to the new role %q, whose first file is not in it", e.Role, to.Name)
	}
	f, err := r.role(ctx, d.state.rev, to.Name)
	if err != nil {
		return err
	}
	if f == nil {
		return rulef("%s would delegate to %q, which has no file", e.Role, to.Name)
	}
	if err := VerifyThreshold(to.Name, f, keys, to.RoleKeys); err != nil {
		return rulef("%s would delegate to %q, whose file the new keys did not sign: %w", e.Role, to.Name, err)
	}
	return nil
}
