package verify

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// policyVersion is the version of the policy language.
const policyVersion = 1

// source is a publisher as the policy file writes it: a root to be read, or
// none, for one that is pinned on this machine.
type source struct {
	name         string
	root         string // path, seen from the policy file
	repositories []string
	line         int
}

// parsePolicy reads a policy file. It opens no other file.
func (d *document) parsePolicy(raw []byte) (sources []source, rules []Rule) {
	top := d.parseYAML(raw)
	if top == nil {
		if len(d.errs) == 0 {
			d.failAt(1, "the file is empty: policy init writes one to start from")
		}
		return nil, nil
	}
	m := d.mapping(top, "policy", "version", "publishers", "rules")
	if m.fields["version"] == nil {
		d.fail(top, "version is missing: write version: %d", policyVersion)
	}
	if v := m.integer("version", 1, 1<<30, policyVersion); v != policyVersion {
		d.fail(m.fields["version"], "version: %d is not known here, %d is", v, policyVersion)
	}
	if n := m.fields["publishers"]; n != nil {
		sources = d.sources(n)
	}
	if m.fields["rules"] == nil {
		d.fail(top, "rules is missing")
	}
	for _, n := range m.list("rules") {
		rules = append(rules, d.rule(n))
	}
	d.compare(rules)
	return sources, rules
}

func (d *document) sources(n *yaml.Node) []source {
	var out []source
	m := d.mapping(n, "publishers", "")
	for name, value := range m.fields {
		if err := CheckPinName(name); err != nil {
			d.fail(m.keys[name], "%w", err)
		}
		s := source{name: name, line: m.keys[name].Line}
		if value.Tag == "!!null" { // "acme:" alone: the pinned one
			out = append(out, s)
			continue
		}
		f := d.mapping(value, "publisher "+name, "root", "repositories")
		s.root = f.text("root")
		for _, r := range f.list("repositories") {
			s.repositories = append(s.repositories, d.text(r, "repositories"))
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b source) int { return a.line - b.line })
	return out
}

func (d *document) rule(n *yaml.Node) Rule {
	m := d.mapping(n, "rule", "name", "scope", "level", "strip", "require")
	r := Rule{Name: m.need("name"), Scope: m.need("scope"), Level: Level(m.text("level")), Strip: m.text("strip"), line: n.Line}
	if r.Level == "" {
		r.Level = Enforce
	}
	if levels := []string{string(Enforce), string(Warn), string(Skip)}; !slices.Contains(levels, string(r.Level)) {
		d.fail(m.fields["level"], "level: %q is none%s", r.Level, didYouMean(string(r.Level), levels))
	}
	if r.Scope != "" {
		var err error
		if r.scope, err = parseScope(r.Scope); err != nil {
			d.fail(m.fields["scope"], "%w", err)
		}
	}
	if r.Strip != "" && (!strings.HasSuffix(r.Strip, "/") || !strings.HasPrefix(r.scope.path(), r.Strip)) {
		d.fail(m.fields["strip"], "strip: %q must end in a slash and begin the path of every repository in the scope %s", r.Strip, r.Scope)
	}
	if m.fields["require"] == nil && r.Level != Skip {
		d.fail(n, "rule %q: require is missing: write require: [] if nothing vouches for what is here", r.Name)
	}
	for _, q := range m.list("require") {
		r.Require = append(r.Require, d.requirement(q))
	}
	return r
}

func (d *document) requirement(n *yaml.Node) Requirement {
	if n.Kind == yaml.MappingNode && hasField(n, "any") {
		return d.any(n)
	}
	m := d.mapping(n, "requirement", "publisher", "role", "origin-from", "max-age", "max-staleness", "claims", "any", "threshold")
	if m.fields["threshold"] != nil {
		d.fail(m.fields["threshold"], "threshold: it goes with any")
	}
	q := Requirement{
		Publisher: m.need("publisher"), Role: m.text("role"), OriginFrom: m.text("origin-from"),
		MaxAge: m.duration("max-age"), MaxStaleness: m.duration("max-staleness"), Claims: m.texts("claims"),
	}
	if q.OriginFrom != "" && q.OriginFrom == q.Publisher {
		d.fail(m.fields["origin-from"], "origin-from: %s cannot be its own origin", q.Publisher)
	}
	return q
}

func hasField(n *yaml.Node, name string) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return true
		}
	}
	return false
}

// any reads an agreement of several publishers. Each publisher stands once:
// one of them alone must not reach the threshold.
func (d *document) any(n *yaml.Node) Requirement {
	m := d.mapping(n, "any", "any", "threshold")
	items := m.list("any")
	if len(items) == 0 {
		d.fail(n, "any: the list is empty")
		return Requirement{}
	}
	q := Requirement{Threshold: m.integer("threshold", 1, len(items), 1)}
	seen := map[string]bool{}
	for _, item := range items {
		if item.Kind == yaml.MappingNode && hasField(item, "any") {
			d.fail(item, "any: it cannot hold another any")
			continue
		}
		leaf := d.requirement(item)
		if seen[leaf.Publisher] {
			d.fail(item, "any: publisher %q stands twice: one publisher counts once", leaf.Publisher)
		}
		seen[leaf.Publisher] = true
		q.Any = append(q.Any, leaf)
	}
	return q
}

// compare refuses rules of one name, and rules that are equally specific for
// some reference: of two scopes that match one, either one's literal prefix
// begins the other's, or they are the same.
func (d *document) compare(rules []Rule) {
	names, scopes := map[string]int{}, map[string]int{}
	for _, r := range rules {
		if line, ok := names[r.Name]; ok && r.Name != "" {
			d.failAt(r.line, "rule %q: the name stands twice, first on line %d", r.Name, line)
		}
		names[r.Name] = r.line
		s := r.scope.String()
		if line, ok := scopes[s]; ok && r.Scope != "" {
			d.failAt(r.line, "rule %q: the scope %s is ambiguous: the rule on line %d has it too", r.Name, s, line)
		}
		scopes[s] = r.line
	}
}
