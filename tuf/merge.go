package tuf

import (
	"fmt"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// ConflictError says that two writers changed one thing differently. The
// later writer is told; nothing of its publication took effect.
type ConflictError struct {
	Role string
	What string // the target path or the delegation
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("somebody else changed %s in the role %q at the same time, and differently: look at it and repeat the command if it is still wanted", e.What, e.Role)
}

// mergeTargets joins the changes that ours and theirs made to base, entry by
// entry: a change on one side, removals included, wins over no change
// (docs/spec.md, "Join"). Header and extensions come from ours.
func mergeTargets(e delegations.Edge, base, ours, theirs *metadata.Targets) (*metadata.Targets, error) {
	out := cloneTargets(ours)
	if ours.Revoked || theirs.Revoked {
		if theirs.Revoked {
			out = cloneTargets(theirs)
		}
		return out, nil
	}
	for _, path := range unionKeys(base.Targets, ours.Targets, theirs.Targets) {
		t, ok := mergeEntry(e.Withdrawal, at(base.Targets, path), at(ours.Targets, path), at(theirs.Targets, path))
		if !ok {
			return nil, &ConflictError{Role: e.Role, What: path}
		}
		set(out.Targets, path, t)
	}
	d, err := mergeDelegations(e.Role, base.Delegations, ours.Delegations, theirs.Delegations)
	out.Delegations = d
	return out, err
}

// mergeEntry returns the joined entry, or false for a conflict. In the
// withdrawal role every entry withdraws, also one that cannot be read.
func mergeEntry(withdraws bool, base, ours, theirs *metadata.Target) (*metadata.Target, bool) {
	switch {
	case sameEntry(theirs, base) || sameEntry(ours, theirs): // theirs is no change, or the same
		return ours, true
	case sameEntry(ours, base):
		return theirs, true
	case withdraws && ours == nil: // a withdrawal beats its undoing
		return theirs, true
	case withdraws && theirs == nil:
		return ours, true
	case withdraws || sameArtifact(ours, theirs):
		// Two statements about one thing: every writer picks the same.
		if ours.Compare(*theirs) < 0 {
			return theirs, true
		}
		return ours, true
	}
	return nil, false
}

func at(m map[string]metadata.Target, path string) *metadata.Target {
	if t, ok := m[path]; ok {
		return &t
	}
	return nil
}

func set(m map[string]metadata.Target, path string, t *metadata.Target) {
	if t == nil {
		delete(m, path)
		return
	}
	m[path] = *t
}

func sameEntry(a, b *metadata.Target) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

func sameArtifact(a, b *metadata.Target) bool {
	return a != nil && b != nil && a.Length == b.Length && a.Hashes.Equal(b.Hashes)
}

// mergeDelegations joins delegations by name. Removal of a delegation or of a
// key beats its use. The order is ours, then what theirs added: the
// withdrawal role stays first.
func mergeDelegations(role string, base, ours, theirs *metadata.Delegations) (*metadata.Delegations, error) {
	switch {
	case sameDelegations(theirs, base) || sameDelegations(ours, theirs):
		return ours, nil
	case sameDelegations(ours, base):
		return theirs, nil
	case succinct(base) || succinct(ours) || succinct(theirs):
		return nil, &ConflictError{Role: role, What: "its hash bins"}
	}
	base, ours, theirs = orEmpty(base), orEmpty(ours), orEmpty(theirs)
	out := *ours
	out.Keys, out.Roles = maps.Clone(ours.Keys), nil
	maps.Copy(out.Keys, theirs.Keys)
	for _, name := range delegationNames(ours, theirs) {
		r, err := mergeDelegation(role, find(base, name), find(ours, name), find(theirs, name))
		if err != nil {
			return nil, err
		}
		if r != nil {
			out.Roles = append(out.Roles, *r)
		}
	}
	dropUnusedKeys(&out)
	return &out, reachable(role, &out)
}

func mergeDelegation(role string, b, o, t *metadata.Delegation) (*metadata.Delegation, error) {
	switch {
	case sameDelegation(t, b) || sameDelegation(o, t):
		return o, nil
	case sameDelegation(o, b):
		return t, nil
	case b != nil && (o == nil || t == nil):
		return nil, nil // removed by one
	case b == nil:
		return nil, &ConflictError{Role: role, What: "the new delegation " + o.Name}
	}
	out := *o
	out.KeyIDs = mergeSet(b.KeyIDs, o.KeyIDs, t.KeyIDs)
	out.Paths = mergeSet(b.Paths, o.Paths, t.Paths)
	out.HashPrefixes = mergeSet(b.HashPrefixes, o.HashPrefixes, t.HashPrefixes)
	if o.Threshold == b.Threshold {
		out.Threshold = t.Threshold
	}
	if o.Terminating == b.Terminating {
		out.Terminating = t.Terminating
	}
	if o.Agreement.Equal(b.Agreement) {
		out.Agreement = t.Agreement
	} else if !t.Agreement.Equal(b.Agreement) && !t.Agreement.Equal(o.Agreement) {
		return nil, &ConflictError{Role: role, What: "the agreement that the delegation " + o.Name + " demands"}
	}
	conflict := o.Threshold != b.Threshold && t.Threshold != b.Threshold && o.Threshold != t.Threshold
	if conflict || out.Threshold > len(out.KeyIDs) || len(out.Paths)+len(out.HashPrefixes) == 0 {
		return nil, &ConflictError{Role: role, What: "the delegation " + o.Name}
	}
	return &out, nil
}

// reachable refuses an agreement that one side's changes make impossible for
// the other: its party was removed, say, or got a key of another party.
func reachable(role string, d *metadata.Delegations) error {
	for _, r := range d.Roles {
		if r.Agreement != nil && checkAgreement(d, r) != nil {
			return &ConflictError{Role: role, What: "what the agreement needs that the delegation " + r.Name + " demands"}
		}
	}
	return nil
}

// mergeSet keeps what neither side removed and adds what either side added.
func mergeSet(base, ours, theirs []string) []string {
	var out []string
	for _, s := range append(slices.Clone(ours), theirs...) {
		removed := slices.Contains(base, s) && (!slices.Contains(ours, s) || !slices.Contains(theirs, s))
		if !removed && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func delegationNames(lists ...*metadata.Delegations) []string {
	var out []string
	for _, d := range lists {
		for _, r := range d.Roles {
			if !slices.Contains(out, r.Name) {
				out = append(out, r.Name)
			}
		}
	}
	return out
}

func find(d *metadata.Delegations, name string) *metadata.Delegation {
	for i := range d.Roles {
		if d.Roles[i].Name == name {
			return &d.Roles[i]
		}
	}
	return nil
}

func sameDelegation(a, b *metadata.Delegation) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

func succinct(d *metadata.Delegations) bool { return d != nil && d.Succinct != nil }

func orEmpty(d *metadata.Delegations) *metadata.Delegations {
	if d == nil {
		return &metadata.Delegations{}
	}
	return d
}

func sameDelegations(a, b *metadata.Delegations) bool {
	return (&metadata.Targets{Delegations: a}).SameContent(&metadata.Targets{Delegations: b})
}

func unionKeys(ms ...map[string]metadata.Target) []string {
	all := map[string]bool{}
	for _, m := range ms {
		for k := range m {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
