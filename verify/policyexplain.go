package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
)

// Explain says in words which rule decides about a reference, why that one,
// and what it demands. It asks nobody.
func (p *Policy) Explain(ref registrystore.Reference) string {
	rules := p.matching(ref.Repository)
	if len(rules) == 0 {
		return fmt.Sprintf("%s: no rule matches %s: it is denied (%s)\n", ref, ref.Scope(), NoPolicy)
	}
	r := rules[0]
	var b strings.Builder
	fmt.Fprintf(&b, "%s: rule %q decides: its scope %s matches %s\n", ref, r.Name, r.Scope, ref.Scope())
	for _, other := range rules[1:] {
		fmt.Fprintf(&b, "  rule %q with scope %s matches too and is less specific\n", other.Name, other.Scope)
	}
	b.WriteString(r.demands(ref))
	return b.String()
}

func (r *Rule) demands(ref registrystore.Reference) string {
	switch {
	case r.Level == Skip:
		return "  level skip: it is allowed and nobody is asked\n"
	case len(r.Require) == 0 && r.Level == Warn:
		return "  nothing is required and the level is warn: it is allowed\n"
	case len(r.Require) == 0:
		return "  nothing is required, so nothing vouches: it is denied\n"
	}
	name, ok := r.targetName(ref.Repository)
	if !ok {
		return fmt.Sprintf("  the path does not begin with %q, which the rule strips: nothing can vouch for it\n", r.Strip)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  level %s, all of:\n", r.Level)
	for i := range r.Require {
		b.WriteString(r.Require[i].demand(name, ref, "  - "))
	}
	return b.String()
}

func (q *Requirement) demand(name string, ref registrystore.Reference, indent string) string {
	if q.Any == nil {
		return indent + q.words(name, ref) + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%sat least %d of these, for one digest:\n", indent, q.Threshold)
	for i := range q.Any {
		b.WriteString(q.Any[i].demand(name, ref, "  "+indent))
	}
	return b.String()
}

// words says what one publisher must do.
func (q *Requirement) words(name string, ref registrystore.Reference) string {
	s := q.Publisher + " vouches for "
	if q.OriginFrom != "" {
		s += "the name that " + q.OriginFrom + "'s signature records as origin"
	} else {
		s += refPath(name, ref).String()
	}
	if q.Role != "" {
		s += ", through the role " + q.Role
	}
	for _, k := range slices.Sorted(maps.Keys(q.Claims)) {
		s += fmt.Sprintf(", claims %s=%s", k, q.Claims[k])
	}
	if q.MaxAge > 0 {
		s += fmt.Sprintf(", said at most %s ago", q.MaxAge)
	}
	if q.MaxStaleness > 0 {
		s += fmt.Sprintf(", at most %s after its expiry", q.MaxStaleness)
	}
	return s
}

// refPath returns the target path that a reference is looked up under: its
// tag's, else its digest's.
func refPath(name string, ref registrystore.Reference) metadata.Path {
	if ref.Tag != "" {
		return metadata.Path{Name: name, Tag: ref.Tag}
	}
	return metadata.Path{Name: name, Digest: ref.Digest}
}
