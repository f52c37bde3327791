package metadata

import (
	"fmt"
	"strconv"
	"strings"
)

// Snapshot is the content of a snapshot file (TUF 4.4).
type Snapshot struct {
	Header
	Meta map[string]MetaFile // by role, without ".json"; targets is always there
	// Carnet is nil in a snapshot that another tool made.
	Carnet *SnapshotExtension
	extra  []Member
}

// SnapshotExtension is what Carnet adds to snapshot, in the member "carnet".
type SnapshotExtension struct {
	// Parents are the publications that this one contains, the newest first,
	// at most [MaxAncestors].
	Parents []Parent
	// Root is the newest root of the publication: two that differ in nothing
	// else are two. The zero Parent stands for "not said".
	Root  Parent
	extra []Member
}

// Parent names a publication by its snapshot, or a root: version and, in
// lower-case hexadecimal, the SHA-256 of the file. It is written "7.<hex>".
type Parent struct {
	Version int64
	ID      string
}

func (p Parent) String() string { return strconv.FormatInt(p.Version, 10) + "." + p.ID }

// ParseParent is the inverse of [Parent.String].
func ParseParent(s string) (Parent, error) {
	n, id, _ := strings.Cut(s, ".")
	version, err := strconv.ParseInt(n, 10, 64)
	p := Parent{Version: version, ID: id}
	if err != nil || version < 1 || !isHex(id, 64) || p.String() != s {
		return Parent{}, fmt.Errorf("want VERSION.<64 hexadecimal digits>, found %.100q", s)
	}
	return p, nil
}

func snapshot(o *fields, h Header) *Snapshot {
	meta := o.object("meta")
	s := &Snapshot{Header: h, Meta: make(map[string]MetaFile, len(meta.value.parts))}
	file := meta.child("", Value{kind: Object})
	for _, m := range meta.value.Members() {
		role, ok := strings.CutSuffix(m.Name, ".json")
		if !ok || role == "" || len(role) > MaxRoleName {
			meta.fail("want ROLE.json, found %.300q", m.Name)
			return s
		}
		s.Meta[role] = metaFile(file.reopen(m.Name, m.Value))
	}
	if _, ok := s.Meta[RoleTargets]; !ok {
		meta.fail("targets.json is not listed")
	}
	s.Carnet = snapshotExtension(o)
	s.extra = o.rest()
	return s
}

func snapshotExtension(o *fields) *SnapshotExtension {
	v := o.may(extensionName, Object)
	if v.kind == Absent {
		return nil
	}
	e := o.child(extensionName, v)
	x := &SnapshotExtension{}
	list := e.texts("parents", e.may("parents", Array))
	if len(list) > MaxAncestors {
		e.fail("parents: %d where at most %d are allowed", len(list), MaxAncestors)
	}
	for _, text := range list {
		p, err := ParseParent(text)
		if err != nil {
			e.fail("parents: %v", err)
		}
		x.Parents = append(x.Parents, p)
	}
	if text := e.may("root", String).Str(); text != "" {
		var err error
		if x.Root, err = ParseParent(text); err != nil {
			e.fail("root: %v", err)
		}
	}
	critical(e, "parents", "root")
	x.extra = e.rest()
	return x
}

func (x *SnapshotExtension) value() Value {
	if x == nil {
		return Value{}
	}
	list := make([]Value, len(x.Parents))
	for i, p := range x.Parents {
		list[i] = Text(p.String())
	}
	root := Value{}
	if x.Root != (Parent{}) {
		root = Text(x.Root.String())
	}
	return Struct(append([]Member{{"parents", List(list...)}, {"root", root}}, x.extra...)...)
}

// Canonical returns the bytes to sign.
func (s *Snapshot) Canonical() []byte {
	meta := make([]Member, 0, len(s.Meta))
	for role, m := range s.Meta {
		meta = append(meta, Member{role + ".json", m.value()})
	}
	m := append(s.members(RoleSnapshot), Member{"meta", Struct(meta...)}, Member{extensionName, s.Carnet.value()})
	return Struct(append(m, s.extra...)...).Canonical()
}
