package verify

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// LoadPolicy reads a policy file and the roots that it names, by paths seen
// from the policy file. Publishers that it names without a root, or only in
// rules, are taken from pins, which may be nil. A root in the policy goes
// before a pin of the same name. Every error wraps ErrPolicy, or says why a
// file cannot be read; it names file and line, and all problems at once.
func LoadPolicy(path string, pins *Pins) (*Policy, error) {
	raw, err := readBounded(path, maxPolicyFile)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	d := &document{file: path}
	sources, rules := d.parsePolicy(raw)
	if err := d.err(); err != nil {
		return nil, err
	}
	p := &Policy{Rules: rules}
	for _, s := range d.named(sources, rules) {
		if pin, ok := d.pin(s, pins); ok {
			p.Publishers = append(p.Publishers, pin)
		}
	}
	d.oneEach(p)
	return p, d.err()
}

// named returns the publishers that the policy lists, and those that only its
// rules name.
func (d *document) named(sources []source, rules []Rule) []source {
	for _, r := range rules {
		for _, q := range r.leaves() {
			for _, name := range []string{q.Publisher, q.OriginFrom} {
				known := slices.ContainsFunc(sources, func(s source) bool { return s.name == name })
				if name != "" && !known {
					sources = append(sources, source{name: name, line: r.line})
				}
			}
		}
	}
	return sources
}

// pin finds the root of a publisher: in the policy's file, else pinned.
func (d *document) pin(s source, pins *Pins) (Pin, bool) {
	pin, err := d.open(s, pins)
	if errors.Is(err, ErrUnknownPublisher) {
		known := ""
		if pins != nil {
			known = nearPins(s.name, pins)
		}
		d.failAt(s.line, "%w: %q has no root here and is not pinned on this machine%s", ErrUnknownPublisher, s.name, known)
		return pin, false
	}
	if err != nil {
		d.failAt(s.line, "publisher %s: %w", s.name, err)
	}
	return pin, err == nil
}

func nearPins(name string, pins *Pins) string {
	list, err := pins.List()
	if err != nil || len(list) == 0 {
		return ""
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	return didYouMean(name, names)
}

func (d *document) open(s source, pins *Pins) (Pin, error) {
	dir := filepath.Dir(d.file)
	repos, err := repositories(s.repositories, dir)
	if err != nil {
		return Pin{}, err
	}
	if s.root == "" {
		return pinned(s.name, repos, pins)
	}
	path := s.root
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	raw, err := readBounded(path, metadata.MaxRoot)
	if err != nil {
		return Pin{}, fmt.Errorf("root: %w", err)
	}
	if _, err := OpenRoot(raw); err != nil {
		return Pin{}, fmt.Errorf("root %s: %w", s.root, err)
	}
	return Pin{Name: s.name, Root: raw, Repositories: repos}, nil
}

// pinned returns a pin, with the policy's repositories where it gives any.
func pinned(name string, repos []string, pins *Pins) (Pin, error) {
	if pins == nil {
		return Pin{}, fmt.Errorf("%w: %s", ErrUnknownPublisher, name)
	}
	pin, err := pins.Get(name)
	if err == nil && len(repos) > 0 {
		pin.Repositories = repos
	}
	return pin, err
}

// oneEach refuses one publisher under two names: it would count twice.
func (d *document) oneEach(p *Policy) {
	seen := map[string]string{}
	for _, pin := range p.Publishers {
		id, err := pin.ID()
		if err != nil {
			d.failAt(1, "%w", err)
			continue
		}
		if other, ok := seen[id]; ok {
			d.failAt(1, "publishers %s and %s are one: both roots carry the publisher id %s", other, pin.Name, id)
		}
		seen[id] = pin.Name
	}
}

// CheckPolicy reads a policy as LoadPolicy does and returns what is wrong
// with it, line by line.
func CheckPolicy(path string, pins *Pins) error {
	_, err := LoadPolicy(path, pins)
	return err
}

// DefaultPolicy is a policy to start from: it is valid and lets nothing pass.
const DefaultPolicy = `# What must vouch for what on this machine, place by place. Every field, unit and
# reason is explained in docs/policy.md of github.com/carnet-project/carnet.
version: 1

# Publishers that "carnet trust add" pinned are known by their names. A policy
# can bring its own roots; paths are seen from this file:
#
# publishers:
#   wabbit-networks:
#     root: roots/wabbit-networks.json       # got out of band, never from the registry alone
#     repositories:                          # where its metadata may be found, asked together
#       - registry.wabbit.example/trust
#       - oci:mirror/wabbit-trust

# For a repository the rule with the longest literal prefix decides.
# Scopes: HOST/PATH, HOST/PATH/** (PATH and all below it), HOST/**, oci:NAME,
# oci:NAME/**, oci:** (all image layouts) and "*" (everything).
rules:
  # - name: production
  #   scope: registry.acme.example/prod/**
  #   level: enforce                         # enforce | warn (allowed, and said) | skip (nobody is asked)
  #   require:                               # all entries must hold
  #     - publisher: acme
  #       role: production                   # the chain of delegations must pass through it
  #       max-age: 24h                       # how long ago the publisher said so, at most
  #       claims: {stage: prod}              # signed with it
  #     - publisher: wabbit-networks
  #       origin-from: acme                  # under the name that acme's signature records
  #       max-staleness: 720h                # how long after expiry it is still believed
  # - name: imported
  #   scope: registry.acme.example/mirror/wabbit/**
  #   strip: mirror/wabbit/                  # what the publisher's own names do not have
  #   require:
  #     - any: [{publisher: wabbit-networks}, {publisher: acme}]
  #       threshold: 1

  - name: everything-else
    scope: "*"
    level: enforce
    require: []                              # nothing vouches: nothing passes
`
