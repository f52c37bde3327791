package metadata

import "strings"

// Snapshot is the content of a snapshot file (TUF 4.4).
type Snapshot struct {
	Header
	Meta  map[string]MetaFile // by role, without ".json"; targets is always there
	extra []Member
}

func snapshot(o *fields, h Header) *Snapshot {
	meta := o.object("meta")
	s := &Snapshot{Header: h, Meta: make(map[string]MetaFile, len(meta.value.members))}
	for _, m := range meta.value.members {
		role, ok := strings.CutSuffix(m.Name, ".json")
		if !ok || role == "" || len(role) > MaxRoleName {
			meta.fail("want ROLE.json, found %.300q", m.Name)
			return s
		}
		s.Meta[role] = metaFile(meta.child(m.Name, m.Value))
	}
	if _, ok := s.Meta[RoleTargets]; !ok {
		meta.fail("targets.json is not listed")
	}
	s.extra = o.rest()
	return s
}

// Canonical returns the bytes to sign.
func (s *Snapshot) Canonical() []byte {
	meta := make([]Member, 0, len(s.Meta))
	for role, m := range s.Meta {
		meta = append(meta, Member{role + ".json", m.value()})
	}
	m := append(s.members(RoleSnapshot), Member{"meta", Struct(meta...)})
	return Struct(append(m, s.extra...)...).Canonical()
}
