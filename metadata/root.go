package metadata

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// Root is the content of a root file (TUF 4.3).
type Root struct {
	Header
	ConsistentSnapshot bool
	Keys               Keys
	Roles              map[string]RoleKeys // the four top-level roles
	// Carnet is nil in a root that another tool made.
	Carnet *RootExtension
	extra  []Member
	others []Member // roles that are not TUF's four, "mirrors" for one
}

// RootExtension is what Carnet adds to root, in the member "carnet".
type RootExtension struct {
	ID   string // the publisher's random id, 32 hexadecimal digits; never changes
	Name string // how the publisher calls itself, for people
	// Refreshers are the IDs of the timestamp keys whose timestamps settle a
	// withdrawal.
	Refreshers []string
	// Expiry is how long a new file of a role lives from its signing, in whole
	// seconds: by top-level role, and "delegated" for all others.
	Expiry map[string]time.Duration
	extra  []Member
}

func root(o *fields, h Header) *Root {
	r := &Root{Header: h, Roles: make(map[string]RoleKeys, 4)}
	if v := o.may("consistent_snapshot", Bool); v.kind == Bool {
		r.ConsistentSnapshot = v.text == "true"
	}
	r.Keys = keys(o.object("keys"))
	roles := o.object("roles")
	for _, name := range []string{RoleRoot, RoleTimestamp, RoleSnapshot, RoleTargets} {
		role := roles.object(name)
		rk := roleKeys(role)
		rk.extra = role.rest()
		r.Roles[name] = rk
	}
	r.others = roles.rest()
	r.Carnet = rootExtension(o)
	r.extra = o.rest()
	return r
}

func rootExtension(o *fields) *RootExtension {
	v := o.may(extensionName, Object)
	if v.kind == Absent {
		return nil
	}
	e := o.child(extensionName, v)
	x := &RootExtension{ID: e.str("id"), Name: e.may("name", String).Str(), Refreshers: e.texts("refreshers", e.may("refreshers", Array))}
	if !isHex(x.ID, 32) {
		e.fail("id: want 32 hexadecimal digits, found %q", x.ID)
	}
	x.Expiry = e.durations("expiry")
	critical(e, "id", "name", "refreshers", "expiry")
	x.extra = e.rest()
	return x
}

// Clone copies all that an edit may change.
func (r *Root) Clone() *Root {
	out := *r
	out.Keys, out.Roles = maps.Clone(r.Keys), maps.Clone(r.Roles)
	if r.Carnet != nil {
		x := *r.Carnet
		x.Refreshers, x.Expiry = slices.Clone(x.Refreshers), maps.Clone(x.Expiry)
		out.Carnet = &x
	}
	return &out
}

// DropUnusedKeys takes away the keys that no role lists, those of roles that
// are not TUF's four included.
func (r *Root) DropUnusedKeys() {
	used := map[string]bool{}
	for _, rk := range r.Roles {
		for _, id := range rk.KeyIDs {
			used[id] = true
		}
	}
	for _, other := range r.others {
		for _, id := range other.Value.Get("keyids").Items() {
			used[id.Str()] = true
		}
	}
	maps.DeleteFunc(r.Keys, func(id string, _ Key) bool { return !used[id] })
}

// SameContent reports whether two roots say the same: all but version, expiry
// and specification.
func (r *Root) SameContent(other *Root) bool {
	a, b := *r, *other
	a.Header, b.Header = Header{}, Header{}
	return bytes.Equal(a.Canonical(), b.Canonical())
}

func (x *RootExtension) value() Value {
	if x == nil {
		return Value{}
	}
	return Struct(append([]Member{{"id", Text(x.ID)}, {"name", textOrAbsent(x.Name)}, {"refreshers", textsOrAbsent(x.Refreshers)}, {"expiry", durationsOrAbsent(x.Expiry)}}, x.extra...)...)
}

// Canonical returns the bytes to sign.
func (r *Root) Canonical() []byte { return r.Value().Canonical() }

// Value returns the signed part, members that this version does not know
// included.
func (r *Root) Value() Value {
	roles := append([]Member{}, r.others...)
	for name, keys := range r.Roles {
		roles = append(roles, Member{name, Struct(keys.members()...)})
	}
	m := append(r.members(RoleRoot),
		Member{"consistent_snapshot", Boolean(r.ConsistentSnapshot)},
		Member{"keys", r.Keys.value()},
		Member{"roles", Struct(roles...)},
		Member{extensionName, r.Carnet.value()})
	return Struct(append(m, r.extra...)...)
}
