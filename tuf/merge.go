package tuf

import (
	"fmt"
	"maps"
	"slices"

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
func mergeTargets(role string, base, ours, theirs *metadata.Targets) (*metadata.Targets, error) {
	out := cloneTargets(ours)
	if ours.Revoked || theirs.Revoked {
		if theirs.Revoked {
			out = cloneTargets(theirs)
		}
		return out, nil
	}
	for _, path := range unionKeys(base.Targets, ours.Targets, theirs.Targets) {
		if err := mergeEntry(role, path, base, ours, theirs, out); err != nil {
			return nil, err
		}
	}
	d, err := mergeDelegations(role, base.Delegations, ours.Delegations, theirs.Delegations)
	out.Delegations = d
	return out, err
}

func mergeEntry(role, path string, base, ours, theirs, out *metadata.Targets) error {
	b, o, t := at(base.Targets, path), at(ours.Targets, path), at(theirs.Targets, path)
	switch {
	case sameEntry(t, b) || sameEntry(o, t): // theirs is no change, or the same
	case sameEntry(o, b):
		set(out.Targets, path, t)
	case o == nil && isNotice(t): // a withdrawal beats its undoing
		set(out.Targets, path, t)
	case t == nil && isNotice(o):
	case sameArtifact(o, t) || isNotice(o) && isNotice(t):
		// Two statements about one thing: every writer picks the same.
		if o.Compare(*t) < 0 {
			set(out.Targets, path, t)
		}
	default:
		return &ConflictError{Role: role, What: path}
	}
	return nil
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

func isNotice(t *metadata.Target) bool {
	if t == nil {
		return false
	}
	s, err := t.Statement()
	return err == nil && s.Notice != nil
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
	return &out, nil
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
	conflict := o.Threshold != b.Threshold && t.Threshold != b.Threshold && o.Threshold != t.Threshold
	if conflict || out.Threshold > len(out.KeyIDs) || len(out.Paths)+len(out.HashPrefixes) == 0 {
		return nil, &ConflictError{Role: role, What: "the delegation " + o.Name}
	}
	return &out, nil
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
