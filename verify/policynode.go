package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits of a policy file.
const (
	maxPolicyFile   = 1 << 20 // bytes
	maxPolicyErrors = 20      // problems that are told at once
)

// document collects what is wrong with a policy file, so that all of it is
// told at once.
type document struct {
	file string
	errs []error
}

// fail notes a problem at n.
func (d *document) fail(n *yaml.Node, format string, args ...any) {
	d.failAt(n.Line, format, args...)
}

func (d *document) failAt(line int, format string, args ...any) {
	if len(d.errs) < maxPolicyErrors {
		d.errs = append(d.errs, fmt.Errorf("%w: %s:%d: %w", ErrPolicy, d.file, line, fmt.Errorf(format, args...)))
	}
}

func (d *document) err() error { return errors.Join(d.errs...) }

// parseYAML reads one document as nodes, which know their lines. Anchors and
// aliases are refused: a policy that has to be expanded is not the one that a
// person reads, and expansion has no bound.
func (d *document) parseYAML(raw []byte) *yaml.Node {
	if len(raw) > maxPolicyFile {
		d.failAt(1, "%d bytes where at most %d are allowed", len(raw), maxPolicyFile)
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(string(raw)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		d.failAt(1, "%w", err)
		return nil
	}
	if dec.Decode(&more) == nil {
		d.fail(&more, "a second document: a policy is one")
		return nil
	}
	d.refuseAliases(&doc)
	if len(d.errs) > 0 || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

func (d *document) refuseAliases(n *yaml.Node) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fail(n, "anchors and aliases are not allowed: write it out")
		return // what an alias points at is not followed
	}
	for _, c := range n.Content {
		d.refuseAliases(c)
	}
}

// mapping is a YAML mapping whose fields are taken out by name.
type mapping struct {
	doc    *document
	node   *yaml.Node
	fields map[string]*yaml.Node
	keys   map[string]*yaml.Node
}

// mapping opens n, which must have no field but the known ones ("" in known:
// any name), and none twice.
func (d *document) mapping(n *yaml.Node, what string, known ...string) *mapping {
	m := &mapping{doc: d, node: n, fields: map[string]*yaml.Node{}, keys: map[string]*yaml.Node{}}
	if n.Kind != yaml.MappingNode {
		d.fail(n, "%s: want fields, found %s", what, kindOf(n))
		return m
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			d.fail(key, "%s: a name must be text, found %s", what, kindOf(key))
		case m.fields[name] != nil:
			d.fail(key, "%s: %q stands twice, first on line %d", what, name, m.keys[name].Line)
		case !slices.Contains(known, "") && !slices.Contains(known, name):
			d.fail(key, "%s: unknown field %q%s", what, name, didYouMean(name, known))
		default:
			m.fields[name], m.keys[name] = value, key
		}
	}
	return m
}

// text returns a field that is text, "" if it is absent.
func (m *mapping) text(name string) string {
	n := m.fields[name]
	if n == nil {
		return ""
	}
	return m.doc.text(n, name)
}

func (d *document) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		d.fail(n, "%s: want text, found %s: put it in quotes if it is meant as text", what, kindOf(n))
		return ""
	}
	if n.Value == "" {
		d.fail(n, "%s: it is empty", what)
	}
	return n.Value
}

// need is text, and fails if the field is absent.
func (m *mapping) need(name string) string {
	if m.fields[name] == nil {
		m.doc.fail(m.node, "%s is missing", name)
	}
	return m.text(name)
}

// list returns the items of a field, nil if it is absent, else at least [].
func (m *mapping) list(name string) []*yaml.Node {
	n := m.fields[name]
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		m.doc.fail(n, "%s: want a list, found %s", name, kindOf(n))
		return nil
	}
	return append([]*yaml.Node{}, n.Content...)
}

// integer returns a whole number from min to max; absent if the field is.
func (m *mapping) integer(name string, low, high, absent int) int {
	n := m.fields[name]
	if n == nil {
		return absent
	}
	var v int
	if n.Tag != "!!int" || n.Decode(&v) != nil || v < low || v > high {
		m.doc.fail(n, "%s: want a whole number from %d to %d, found %.40q", name, low, high, n.Value)
		return absent
	}
	return v
}

// duration returns a field like "24h" or "90m", 0 if it is absent.
func (m *mapping) duration(name string) time.Duration {
	n := m.fields[name]
	if n == nil {
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < time.Second {
		m.doc.fail(n, "%s: want a duration of at least 1s, like 90m, 24h or 720h, found %.40q", name, n.Value)
		return 0
	}
	return d
}

// texts returns a field that maps names to text.
func (m *mapping) texts(name string) map[string]string {
	n := m.fields[name]
	if n == nil {
		return nil
	}
	inner := m.doc.mapping(n, name, "")
	out := make(map[string]string, len(inner.fields))
	for k := range inner.fields {
		out[k] = inner.text(k)
	}
	return out
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!str":
		return fmt.Sprintf("the text %.40q", n.Value)
	case "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%.40q (%s)", n.Value, strings.TrimPrefix(n.Tag, "!!"))
}

// didYouMean names the known word that is nearest to name, if one is near.
func didYouMean(name string, known []string) string {
	best, at := "", max(3, len(name)/3+1)
	for _, k := range known {
		if n := distance(strings.ToLower(name), k); n < at && n < len(k) {
			best, at = k, n
		}
	}
	if best == "" {
		if len(known) == 0 {
			return ""
		}
		sorted := slices.Sorted(slices.Values(known))
		return ": known are " + strings.Join(sorted, ", ")
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance counts the single-letter changes from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
