package metadata

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Targets is the content of a targets file or of a delegated role's file
// (TUF 4.5).
type Targets struct {
	Header
	Targets     map[string]Target // by target path
	Delegations *Delegations      // nil: none
	// Revoked says, signed by the role's own keys, that the role gave itself
	// up: it lists nothing and never will again (TAP 20's meaning).
	Revoked bool
	ext     []Member // members of the extension that this version does not know
	extra   []Member
}

// Target is what a role says of one target path.
type Target struct {
	Length int64 // bytes
	Hashes Hashes
	Custom Value // an object, or Absent
	extra  []Member
}

func targets(o *fields, h Header) *Targets {
	t := &Targets{Header: h}
	list := o.object("targets")
	t.Targets = make(map[string]Target, len(list.value.parts))
	entry := list.child("", Value{kind: Object})
	for _, m := range list.value.Members() {
		if m.Name == "" || len(m.Name) > MaxPath {
			list.fail("a target path of %d bytes where 1 to %d are allowed", len(m.Name), MaxPath)
			return t
		}
		t.Targets[m.Name] = target(entry.reopen(m.Name, m.Value))
	}
	if v := o.may("delegations", Object); v.kind == Object {
		t.Delegations = delegations(o.child("delegations", v))
	}
	t.extension(o)
	t.extra = o.rest()
	return t
}

func target(o *fields) Target {
	t := Target{Length: o.integer("length", 0), Hashes: o.hashes("hashes", o.need("hashes", Object)), Custom: o.may("custom", Object)}
	t.extra = o.rest()
	return t
}

func (t *Targets) extension(o *fields) {
	v := o.may(extensionName, Object)
	if v.kind == Absent {
		return
	}
	e := o.child(extensionName, v)
	t.Revoked = e.may("revoked", Bool).text == "true"
	critical(e, "revoked")
	t.ext = e.rest()
	if t.Revoked && (len(t.Targets) > 0 || t.Delegations != nil) {
		e.fail("revoked: a role that gave itself up still lists targets or delegations")
	}
}

// Value returns the entry as a file lists it.
func (t Target) Value() Value {
	return Struct(append([]Member{{"length", Int(t.Length)}, {"hashes", t.Hashes.value()}, {"custom", t.Custom}}, t.extra...)...)
}

// Equal reports whether two entries say the same.
func (t Target) Equal(other Target) bool {
	return string(t.Value().Canonical()) == string(other.Value().Canonical())
}

// NewTarget describes an artifact: the length of its manifest in bytes and the
// manifest's SHA-256. What is said of it is added by [Target.WithStatement].
func NewTarget(length int64, sha256 digest.Digest) Target {
	return Target{Length: length, Hashes: SHA256(sha256.Encoded())}
}

// Compare orders entries in some way that is the same for everybody.
func (t Target) Compare(other Target) int {
	return bytes.Compare(t.Value().Canonical(), other.Value().Canonical())
}

// Canonical returns the bytes to sign.
func (t *Targets) Canonical() []byte { return t.Value().Canonical() }

// Value returns the signed part, members that this version does not know
// included.
func (t *Targets) Value() Value {
	list := make([]Member, 0, len(t.Targets))
	for path, target := range t.Targets {
		list = append(list, Member{path, target.Value()})
	}
	m := append(t.members(RoleTargets),
		Member{"targets", Struct(list...)},
		Member{"delegations", t.Delegations.value()},
		Member{extensionName, t.extensionValue()})
	return Struct(append(m, t.extra...)...)
}

func (t *Targets) extensionValue() Value {
	m := append([]Member{}, t.ext...)
	if t.Revoked {
		m = append(m, Member{"revoked", Boolean(true)})
	}
	if len(m) == 0 {
		return Value{}
	}
	return Struct(m...)
}

// SameContent reports whether two files list the same entries and delegations
// and say the same of the role: all but version, expiry and specification.
func (t *Targets) SameContent(other *Targets) bool {
	if len(t.Targets) != len(other.Targets) {
		return false
	}
	a, b := *t, *other
	a.Header, b.Header = Header{}, Header{}
	return bytes.Equal(a.Canonical(), b.Canonical())
}

// Delegations are the roles that a targets file trusts with paths.
type Delegations struct {
	Keys     Keys
	Roles    []Delegation   // in order of search; no name stands twice
	Succinct *SuccinctRoles // or nil; never beside Roles (TAP 15)
	extra    []Member
}

// Delegation is one delegated role.
type Delegation struct {
	Name string
	RoleKeys
	Paths        []string // patterns (TUF 4.5, PATHPATTERN); or
	HashPrefixes []string // prefixes of the hexadecimal SHA-256 of a path
	Terminating  bool
	// Purpose is "" or [PurposeWithdrawal].
	Purpose string
	// Agreement, if it is not nil, binds all that is found through the
	// delegations of this file at the paths of this one.
	Agreement *Agreement
	ext       []Member
	extra     []Member
}

// PurposeWithdrawal marks, in the first delegation of targets, the role that
// withdraws artifacts: none of its entries ever vouches for anything.
const PurposeWithdrawal = "withdrawal"

// SuccinctRoles describes 2^BitLength hash bins with the same keys (TAP 15).
type SuccinctRoles struct {
	RoleKeys
	BitLength  int // 1 to 32
	NamePrefix string
	extra      []Member
}

func delegations(o *fields) *Delegations {
	d := &Delegations{Keys: keys(o.object("keys"))}
	roles := o.may("roles", Array)
	seen := make(map[string]bool, len(roles.parts))
	for i, e := range roles.parts {
		r := delegation(o.child(fmt.Sprintf("roles[%d]", i), e.Value))
		if seen[r.Name] {
			o.fail("roles: %q stands twice", r.Name)
		}
		seen[r.Name] = true
		d.Roles = append(d.Roles, r)
	}
	if v := o.may("succinct_roles", Object); v.kind == Object {
		d.Succinct = succinct(o.child("succinct_roles", v))
	}
	if (roles.kind == Absent) == (d.Succinct == nil) {
		o.fail("want one of roles and succinct_roles")
	}
	d.agreements(o)
	d.extra = o.rest()
	return d
}

func delegation(o *fields) Delegation {
	d := Delegation{Name: o.str("name"), RoleKeys: roleKeys(o)}
	if d.Name == "" || len(d.Name) > MaxRoleName || IsTopLevel(d.Name) {
		o.fail("name: %.300q is no name of a delegated role", d.Name)
	}
	paths, prefixes := o.may("paths", Array), o.may("path_hash_prefixes", Array)
	d.Paths, d.HashPrefixes = o.texts("paths", paths), o.texts("path_hash_prefixes", prefixes)
	if (paths.kind == Absent) == (prefixes.kind == Absent) {
		o.fail("want one of paths and path_hash_prefixes")
	}
	for _, p := range d.Paths {
		if len(p) > MaxPath {
			o.fail("paths: a pattern of %d bytes where at most %d are allowed", len(p), MaxPath)
		}
	}
	for _, p := range d.HashPrefixes {
		if low := strings.ToLower(p); low == "" || len(low) > 64 || !isHex(low, len(low)) {
			o.fail("path_hash_prefixes: %.100q begins no SHA-256", p)
		}
	}
	d.Terminating = o.may("terminating", Bool).text == "true"
	d.extension(o)
	d.extra = o.rest()
	return d
}

func (d *Delegation) extension(o *fields) {
	v := o.may(extensionName, Object)
	if v.kind == Absent {
		return
	}
	e := o.child(extensionName, v)
	// A purpose decides what the role's entries mean: what is not known must
	// not be taken for vouching.
	if d.Purpose = e.may("purpose", String).Str(); d.Purpose != "" && d.Purpose != PurposeWithdrawal {
		e.fail("purpose: %.100q is not known here: a newer carnet may know it", d.Purpose)
	}
	d.Agreement = e.agreement()
	critical(e, "purpose", agreementName)
	d.ext = e.rest()
	d.keepCritical()
}

func succinct(o *fields) *SuccinctRoles {
	s := &SuccinctRoles{RoleKeys: roleKeys(o), BitLength: int(min(o.integer("bit_length", 1), 33)), NamePrefix: o.str("name_prefix")}
	if s.BitLength > 32 {
		o.fail("bit_length: want 1 to 32")
	}
	if s.NamePrefix == "" || len(s.NamePrefix) > MaxRoleName-10 {
		o.fail("name_prefix: %.300q is no prefix of role names", s.NamePrefix)
	}
	s.extra = o.rest()
	return s
}

func (d *Delegations) value() Value {
	if d == nil {
		return Value{}
	}
	m := append([]Member{{"keys", d.Keys.value()}}, d.extra...)
	if d.Succinct != nil {
		return Struct(append(m, Member{"succinct_roles", d.Succinct.Value()})...)
	}
	roles := make([]Value, len(d.Roles))
	for i, r := range d.Roles {
		roles[i] = r.Value()
	}
	return Struct(append(m, Member{"roles", List(roles...)})...)
}

// Value returns the delegation as a file lists it.
func (d Delegation) Value() Value {
	m := append(d.members(), Member{"name", Text(d.Name)}, Member{"terminating", Boolean(d.Terminating)})
	if d.HashPrefixes != nil && d.Paths == nil {
		m = append(m, Member{"path_hash_prefixes", texts(d.HashPrefixes)})
	} else {
		m = append(m, Member{"paths", texts(d.Paths)})
	}
	m = append(m, Member{extensionName, d.extensionValue()})
	return Struct(append(m, d.extra...)...)
}

// Equal reports whether two delegations say the same.
func (d Delegation) Equal(other Delegation) bool {
	return string(d.Value().Canonical()) == string(other.Value().Canonical())
}

// Value returns the bins as a file lists them.
func (s *SuccinctRoles) Value() Value {
	m := append(s.members(), Member{"bit_length", Int(int64(s.BitLength))}, Member{"name_prefix", Text(s.NamePrefix)})
	return Struct(append(m, s.extra...)...)
}
