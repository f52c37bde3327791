package tuf

import (
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// TrustChange is what changes in whom a file trusts with one role: one of
// root's four, a delegation, or the hash bins.
type TrustChange struct {
	Role string `json:"role"` // of bins: the prefix of their names
	Bins bool   `json:"bins,omitempty"`
	New  bool   `json:"new,omitempty"`
	Gone bool   `json:"gone,omitempty"`
	// Place is where a new delegation is searched, from 1.
	Place        int          `json:"place,omitempty"`
	Keys         KeysChange   `json:"keys,omitzero"`
	Count        Span[int]    `json:"keyCount"` // different keys
	Threshold    Span[int]    `json:"threshold"`
	Paths        ListChange   `json:"paths,omitzero"`
	HashPrefixes ListChange   `json:"hashPrefixes,omitzero"`
	Terminating  Span[bool]   `json:"terminating,omitzero"`
	Purpose      Span[string] `json:"purpose,omitzero"`
	Agree        ListChange   `json:"agree,omitzero"`    // roles whose agreement is demanded
	Agreeing     Span[int]    `json:"agreeing,omitzero"` // how many of them; 0: no agreement is demanded
	BitLength    Span[int]    `json:"bitLength,omitzero"`
}

// same reports whether nothing changes.
func (t TrustChange) same() bool {
	return !t.New && !t.Gone && t.Keys.IsZero() && t.Threshold.IsZero() && t.Paths.IsZero() && t.HashPrefixes.IsZero() &&
		t.Terminating.IsZero() && t.Purpose.IsZero() && t.Agree.IsZero() && t.Agreeing.IsZero() && t.BitLength.IsZero()
}

// ListChange is what changes in a list of patterns.
type ListChange struct {
	Added     []string `json:"added,omitempty"`
	Removed   []string `json:"removed,omitempty"`
	Reordered bool     `json:"reordered,omitempty"` // those that stay: another order or number
}

// IsZero reports whether nothing changes.
func (l ListChange) IsZero() bool { return len(l.Added)+len(l.Removed) == 0 && !l.Reordered }

func compareLists(a, b []string) ListChange {
	onlyB, bothB := split(b, a)
	onlyA, bothA := split(a, b)
	return ListChange{Added: onlyB, Removed: onlyA, Reordered: !slices.Equal(bothA, bothB)}
}

// split parts list into what other lacks and what it has.
func split(list, other []string) (only, both []string) {
	has := make(map[string]bool, len(other))
	for _, s := range other {
		has[s] = true
	}
	for _, s := range list {
		if has[s] {
			both = append(both, s)
		} else {
			only = append(only, s)
		}
	}
	return only, both
}

// rootRoles are the roles that root lists, in the order in which people think
// of them.
var rootRoles = []string{metadata.RoleRoot, metadata.RoleTargets, metadata.RoleSnapshot, metadata.RoleTimestamp}

func (d *Difference) rootRoles(before, after *metadata.Root) {
	used, uses := map[string]bool{}, map[string]bool{}
	note(used, extensionOf(before).Refreshers)
	note(uses, extensionOf(after).Refreshers)
	for _, role := range rootRoles {
		a, b := before.Roles[role], after.Roles[role]
		note(used, a.KeyIDs)
		note(uses, b.KeyIDs)
		d.trust(compareRoleKeys(role, before.Keys, a, after.Keys, b))
	}
	d.hideKeys(d.Refreshers)
	d.spareKeys(spare(before.Keys, used), spare(after.Keys, uses))
}

func note(set map[string]bool, ids []string) {
	for _, id := range ids {
		set[id] = true
	}
}

func compareRoleKeys(role string, a metadata.Keys, was metadata.RoleKeys, b metadata.Keys, is metadata.RoleKeys) TrustChange {
	return TrustChange{
		Role: role, Keys: compareKeys(a, was.KeyIDs, b, is.KeyIDs),
		Count:     Span[int]{countKeys(a, was.KeyIDs), countKeys(b, is.KeyIDs)},
		Threshold: Span[int]{was.Threshold, is.Threshold},
	}
}

func (d *Difference) trust(t TrustChange) {
	if t.same() {
		return
	}
	d.Trust = append(d.Trust, t)
	d.hideKeys(t.Keys)
}

func (d *Difference) spareKeys(before, after []ListedKey) {
	d.SpareKeys = compareListed(before, after)
	d.hideKeys(d.SpareKeys)
}

// delegations compares whom two files delegate to.
func (d *Difference) delegations(before, after *metadata.Delegations) {
	d.NoDelegations = Span[string]{emptiness(before), emptiness(after)}
	if d.NoDelegations.Before == "some" || d.NoDelegations.After == "some" {
		d.NoDelegations = Span[string]{}
	}
	a, b := orEmpty(before), orEmpty(after)
	for i, r := range b.Roles {
		d.delegation(a.Keys, find(a, r.Name), b.Keys, &r, i+1)
	}
	for _, r := range a.Roles {
		if find(b, r.Name) == nil {
			d.delegation(a.Keys, &r, b.Keys, nil, 0)
		}
	}
	d.bins(a, b)
	d.order(a, b)
	d.spareKeys(spare(a.Keys, usedKeys(a)), spare(b.Keys, usedKeys(b)))
}

func emptiness(d *metadata.Delegations) string {
	switch {
	case d == nil:
		return "none"
	case len(d.Keys)+len(d.Roles) == 0 && d.Succinct == nil:
		return "empty"
	}
	return "some"
}

func usedKeys(d *metadata.Delegations) map[string]bool {
	out := map[string]bool{}
	for _, r := range d.Roles {
		note(out, r.KeyIDs)
	}
	if d.Succinct != nil {
		note(out, d.Succinct.KeyIDs)
	}
	return out
}

// delegation compares one delegation; a nil one is not there.
func (d *Difference) delegation(a metadata.Keys, was *metadata.Delegation, b metadata.Keys, is *metadata.Delegation, place int) {
	if sameDelegation(was, is) && sameKeys(a, b, is.KeyIDs) {
		return
	}
	x, y := orNone(was), orNone(is)
	t := compareRoleKeys(x.Name, a, x.RoleKeys, b, y.RoleKeys)
	t.Paths, t.HashPrefixes = compareLists(x.Paths, y.Paths), compareLists(x.HashPrefixes, y.HashPrefixes)
	t.Terminating, t.Purpose = Span[bool]{x.Terminating, y.Terminating}, Span[string]{x.Purpose, y.Purpose}
	from, to := orNoAgreement(x.Agreement), orNoAgreement(y.Agreement)
	t.Agree, t.Agreeing = compareLists(from.Roles, to.Roles), Span[int]{from.Min, to.Min}
	if t.New, t.Gone = was == nil, is == nil; t.New {
		t.Role, t.Place = y.Name, place
	}
	hidden := len(d.Hidden)
	if d.trust(t); t.Gone {
		return
	}
	at := below("delegations", t.Role)
	d.hide(at, delegationResidue(x), delegationResidue(y))
	if t.same() && len(d.Hidden) == hidden {
		d.hidden(at, "it is written differently")
	}
}

func orNone(d *metadata.Delegation) metadata.Delegation {
	if d == nil {
		return metadata.Delegation{}
	}
	return *d
}

func orNoAgreement(a *metadata.Agreement) metadata.Agreement {
	if a == nil {
		return metadata.Agreement{}
	}
	return *a
}

// delegationResidue returns what is not described of a delegation.
func delegationResidue(r metadata.Delegation) metadata.Value {
	r.Name, r.RoleKeys = "", roleKeysResidue(r.RoleKeys)
	r.Paths, r.HashPrefixes, r.Terminating, r.Purpose = nil, nil, false, ""
	if a := orNoAgreement(r.Agreement); r.Agreement != nil {
		a.Roles, a.Min = nil, 0
		if r.Agreement = &a; a.Equal(&metadata.Agreement{}) {
			r.Agreement = nil
		}
	}
	return r.Value()
}

func sameKeys(a, b metadata.Keys, ids []string) bool {
	return slices.EqualFunc(listed(a, ids), listed(b, ids), ListedKey.equal)
}

// bins compares hash bins (TAP 15).
func (d *Difference) bins(a, b *metadata.Delegations) {
	if a.Succinct == nil && b.Succinct == nil {
		return
	}
	x, y := orNoBins(a.Succinct), orNoBins(b.Succinct)
	if a.Succinct != nil && b.Succinct != nil && x.NamePrefix != y.NamePrefix {
		// Other names are other roles.
		d.bins(a, &metadata.Delegations{})
		d.bins(&metadata.Delegations{}, b)
		return
	}
	t := compareRoleKeys(y.NamePrefix, a.Keys, x.RoleKeys, b.Keys, y.RoleKeys)
	t.Bins, t.New, t.Gone = true, a.Succinct == nil, b.Succinct == nil
	t.BitLength = Span[int]{x.BitLength, y.BitLength}
	if t.Gone {
		t.Role = x.NamePrefix
	}
	if d.trust(t); !t.Gone {
		d.hide("delegations.succinct_roles", binsResidue(x), binsResidue(y))
	}
}

func orNoBins(s *metadata.SuccinctRoles) metadata.SuccinctRoles {
	if s == nil {
		return metadata.SuccinctRoles{}
	}
	return *s
}

func binsResidue(s metadata.SuccinctRoles) metadata.Value {
	s.RoleKeys, s.BitLength, s.NamePrefix = roleKeysResidue(s.RoleKeys), 0, ""
	return s.Value()
}

// order compares the order in which those delegations are searched that stay.
func (d *Difference) order(a, b *metadata.Delegations) {
	_, was := split(roleNames(a), roleNames(b))
	_, is := split(roleNames(b), roleNames(a))
	if !slices.Equal(was, is) {
		d.Order = ListSpan{was, is}
	}
}

func roleNames(d *metadata.Delegations) []string {
	out := make([]string, len(d.Roles))
	for i, r := range d.Roles {
		out[i] = r.Name
	}
	return out
}
