package tuf

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// What a difference describes is taken out of both files; where their rest
// differs something is hidden. So a member that somebody adds to the formats
// is hidden until a preview knows it, and none is overlooked.

// rootResidue returns what CompareRoot does not describe of r.
func rootResidue(r *metadata.Root) *metadata.Root {
	out := *r
	out.Header, out.ConsistentSnapshot, out.Keys = metadata.Header{}, false, nil
	out.Roles = make(map[string]metadata.RoleKeys, len(rootRoles))
	for _, role := range rootRoles {
		out.Roles[role] = roleKeysResidue(r.Roles[role])
	}
	x := extensionOf(r)
	x.ID, x.Name, x.Refreshers, x.Expiry = "", "", nil, nil
	out.Carnet = &x
	return &out
}

// targetsResidue returns what is not described of t itself. Its entries and
// delegations are compared one by one.
func targetsResidue(t *metadata.Targets) *metadata.Targets {
	out := *t
	out.Header, out.Targets, out.Revoked = metadata.Header{}, nil, false
	d := metadata.Delegations{}
	if t.Delegations != nil {
		d = *t.Delegations
	}
	d.Keys, d.Roles, d.Succinct = nil, nil, nil
	out.Delegations = &d
	return &out
}

func roleKeysResidue(rk metadata.RoleKeys) metadata.RoleKeys {
	rk.KeyIDs, rk.Threshold = nil, 0
	return rk
}

// hide notes where a and b differ.
func (d *Difference) hide(at string, a, b metadata.Value) {
	if names := memberNames(a, b); len(names) > 0 && objects(a, b) {
		for _, name := range names {
			d.hide(below(at, name), a.Get(name), b.Get(name))
		}
		return
	}
	if !bytes.Equal(a.Canonical(), b.Canonical()) {
		d.hidden(at, "this version of Carnet does not know what it means")
	}
}

func (d *Difference) hidden(at, why string) {
	d.Hidden = append(d.Hidden, fmt.Sprintf("%s: %s", at, why))
}

// objects reports whether a and b are objects, or one is nothing.
func objects(a, b metadata.Value) bool {
	for _, v := range []metadata.Value{a, b} {
		if v.Kind() != metadata.Object && v.Kind() != metadata.Absent {
			return false
		}
	}
	return true
}

// below names a member. Names are the other side's, and of any length.
func below(at, name string) string {
	short := Printable(name)
	if len(name) > 200 {
		short = fmt.Sprintf("%s… (%d bytes)", Printable(name[:200]), len(name))
	}
	if at == "" {
		return short
	}
	return at + "." + short
}

func memberNames(a, b metadata.Value) []string {
	var out []string
	for _, v := range []metadata.Value{a, b} {
		for _, m := range v.Members() {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unnamed is the last resort: the files differ, and nothing was found that
// does.
func (d *Difference) unnamed(a, b metadata.Value) {
	if !d.Empty() {
		return
	}
	for _, name := range memberNames(a, b) {
		if name != "version" && name != "expires" && !bytes.Equal(a.Get(name).Canonical(), b.Get(name).Canonical()) {
			d.hidden(below("", name), "it is written differently")
		}
	}
}

// form notes where after is not written as Carnet writes what it means, and
// before was not written so either: other clients may read something else in
// it.
func (d *Difference) form(before, after *metadata.File) {
	odd := oddities(after)
	if len(odd) == 0 {
		return
	}
	known := oddities(before)
	for _, o := range odd {
		if !slices.Contains(known, o) {
			d.hidden(o.at, fmt.Sprintf("it is not written as Carnet writes it: %s", o.is))
		}
	}
}

// oddity is a member that is not written as Carnet writes it.
type oddity struct{ at, is string }

func oddities(f *metadata.File) []oddity {
	var meant metadata.Value
	switch {
	case f.Root != nil:
		meant = f.Root.Value()
	case f.Targets != nil:
		meant = f.Targets.Value()
	default:
		return nil
	}
	if bytes.Equal(meant.Canonical(), f.Signed) {
		return nil
	}
	written, err := metadata.Parse(f.Raw)
	if err != nil {
		return []oddity{{"", "it is no JSON"}}
	}
	return odd(nil, "", written.Get("signed"), meant)
}

func odd(out []oddity, at string, written, meant metadata.Value) []oddity {
	w, m := written.Items(), meant.Items()
	switch {
	case written.Kind() == metadata.Object && meant.Kind() == metadata.Object:
		for _, name := range memberNames(written, meant) {
			out = odd(out, below(at, name), written.Get(name), meant.Get(name))
		}
	case written.Kind() == meant.Kind() && len(w) > 0 && len(w) == len(m):
		for i := range w {
			out = odd(out, fmt.Sprintf("%s[%d]", at, i), w[i], m[i])
		}
	case !bytes.Equal(written.Canonical(), meant.Canonical()):
		out = append(out, oddity{at, Printable(fmt.Sprintf("%.200s", written.Canonical()))})
	}
	return out
}
