package metadata

import "slices"

// agreementName is the member of a delegation's extension that holds an
// [Agreement], and what critical lists for it.
const agreementName = "agreement"

// Agreement says, in a delegation, that no role alone vouches for the paths
// that are delegated: at least Min of Roles must list a path with the same
// hashes and the same length (TAP 3's meaning; docs/spec.md, "Agreement").
type Agreement struct {
	Roles []string // at most MaxVisits, delegated in the same file; none twice
	Min   int      // 2 to len(Roles)
	extra []Member
}

// agreement reads what a delegation's extension says. A reader that passes it
// by lets one role alone vouch, so it must be among the critical members.
func (f *fields) agreement() *Agreement {
	v := f.may(agreementName, Object)
	if v.kind == Absent {
		return nil
	}
	if !slices.Contains(f.texts("critical", f.value.Get("critical")), agreementName) {
		f.fail("%s: critical must list it", agreementName)
	}
	o := f.child(agreementName, v)
	a := &Agreement{Roles: o.unique("roles", o.texts("roles", o.need("roles", Array))), Min: int(min(o.integer("min", 2), MaxVisits))}
	if a.Min > len(a.Roles) || len(a.Roles) > MaxVisits {
		o.fail("min: %d of %d roles, where 2 to %d are allowed", a.Min, len(a.Roles), MaxVisits)
	}
	critical(o, "roles", "min")
	a.extra = o.rest()
	return a
}

// agreements refuses an agreement of roles that the same file does not trust,
// or whose entries never vouch: nobody could ever reach it, and whoever signed
// the file should hear that at once.
func (d *Delegations) agreements(o *fields) {
	vouches := make(map[string]bool, len(d.Roles))
	for _, r := range d.Roles {
		vouches[r.Name] = r.Purpose == ""
	}
	for _, r := range d.Roles {
		if r.Agreement == nil {
			continue
		}
		if r.Purpose != "" {
			o.fail("roles: %.300q: a role of the purpose %s takes no part in an agreement", r.Name, r.Purpose)
		}
		for _, name := range r.Agreement.Roles {
			if !vouches[name] {
				o.fail("roles: %.300q: agreement: %.300q is no role that is delegated here and vouches", r.Name, name)
			}
		}
	}
}

func (a *Agreement) value() Value {
	if a == nil {
		return Value{}
	}
	return Struct(append([]Member{{"roles", texts(a.Roles)}, {"min", Int(int64(a.Min))}}, a.extra...)...)
}

// Canonical returns the agreement in canonical JSON: the same for two that
// say the same.
func (a *Agreement) Canonical() []byte { return a.value().Canonical() }

// Equal reports whether two agreements, or none, say the same.
func (a *Agreement) Equal(other *Agreement) bool {
	return (a == nil) == (other == nil) && string(a.Canonical()) == string(other.Canonical())
}

// Without returns the agreement of the other roles, or nil if they are fewer
// than Min.
func (a *Agreement) Without(role string) *Agreement {
	out := *a
	out.Roles = slices.DeleteFunc(slices.Clone(a.Roles), func(s string) bool { return s == role })
	if len(out.Roles) < out.Min {
		return nil
	}
	return &out
}

// criticalNames returns the names that d's extension lists as critical.
func (d Delegation) criticalNames() []string {
	var list []string
	for _, e := range Struct(d.ext...).Get("critical").parts {
		list = append(list, e.Value.Str())
	}
	return list
}

// keepCritical leaves it to the agreement to be critical, so that the word goes
// with it.
func (d *Delegation) keepCritical() {
	if d.Agreement == nil {
		return
	}
	rest := slices.DeleteFunc(d.criticalNames(), func(name string) bool { return name == agreementName })
	d.ext = Struct(d.ext...).With("critical", textsOrAbsent(rest)).Members()
}

// needed returns what critical lists, with agreement if there is one.
func (d Delegation) needed() Value {
	if d.Agreement == nil {
		return Struct(d.ext...).Get("critical")
	}
	return texts(append(d.criticalNames(), agreementName))
}

// extensionValue writes the delegation's extension; Absent if it says nothing.
func (d Delegation) extensionValue() Value {
	v := Struct(append(slices.Clone(d.ext),
		Member{"purpose", textOrAbsent(d.Purpose)}, Member{agreementName, d.Agreement.value()}, Member{"critical", d.needed()})...)
	if len(v.parts) == 0 {
		return Value{}
	}
	return v
}
