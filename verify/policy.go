package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carnet-project/carnet/registrystore"
)

// Policy says what must vouch for what, place by place. It is made by
// [LoadPolicy] or [PublisherPolicy] and must not be changed.
type Policy struct {
	// Publishers are those that the rules name, with their roots.
	Publishers []Pin
	Rules      []Rule
}

// Rule is what is demanded in one scope.
type Rule struct {
	Name  string
	Scope string
	Level Level
	// Strip is taken off the front of a repository's path: what is left is the
	// name under which publishers vouch.
	Strip string
	// Require must hold in all its entries. None: nothing passes, unless the
	// level lets it.
	Require []Requirement

	scope scope
	line  int
}

// Level says what becomes of a decision.
type Level string

// The levels of a rule.
const (
	Enforce Level = "enforce" // what does not hold is denied
	Warn    Level = "warn"    // everything is allowed, the results say what does not hold
	Skip    Level = "skip"    // everything is allowed, nobody is asked
)

// Requirement is one entry of a rule: one publisher's word, or that of
// several out of a list.
type Requirement struct {
	Publisher string
	// Role must be on the chain of delegations, else the path is not listed.
	Role string
	// OriginFrom is another publisher: the path that Publisher must vouch for
	// is the one that this one's signature records as origin.
	OriginFrom string
	// MaxAge bounds the age of the timestamp from its issue. 0: no bound but
	// its expiry.
	MaxAge time.Duration
	// MaxStaleness extends the expiry of timestamp and snapshot.
	MaxStaleness time.Duration
	// Claims must all be made, with these values.
	Claims map[string]string

	// Any, if set, stands alone with Threshold: that many of its entries must
	// hold, and agree on the digest (TAP 4).
	Any       []Requirement
	Threshold int
}

// ErrPolicy is wrapped by every error about what a policy says.
var ErrPolicy = errors.New("invalid policy")

// Match returns the most specific rule for a repository.
func (p *Policy) Match(repo registrystore.Repository) (*Rule, bool) {
	rules := p.matching(repo)
	if len(rules) == 0 {
		return nil, false
	}
	return rules[0], true
}

// matching returns the rules whose scope covers repo, the most specific first.
func (p *Policy) matching(repo registrystore.Repository) []*Rule {
	var out []*Rule
	for i := range p.Rules {
		if p.Rules[i].scope.matches(repo.Scope()) {
			out = append(out, &p.Rules[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *Rule) int {
		switch {
		case a.scope.narrower(b.scope):
			return -1
		case b.scope.narrower(a.scope):
			return 1
		}
		return 0
	})
	return out
}

// publisher returns the pin of a publisher that the policy names.
func (p *Policy) publisher(name string) (Pin, bool) {
	i := slices.IndexFunc(p.Publishers, func(pin Pin) bool { return pin.Name == name })
	if i < 0 {
		return Pin{}, false
	}
	return p.Publishers[i], true
}

// targetName returns the name under which publishers vouch for a repository.
// A repository outside of the rule's strip has none.
func (r *Rule) targetName(repo registrystore.Repository) (string, bool) {
	return strings.CutPrefix(repo.Name, r.Strip)
}

// leaves returns the entries that name a publisher, those of any included.
func (r *Rule) leaves() []*Requirement {
	var out []*Requirement
	for i := range r.Require {
		if r.Require[i].Any == nil {
			out = append(out, &r.Require[i])
		}
		for j := range r.Require[i].Any {
			out = append(out, &r.Require[i].Any[j])
		}
	}
	return out
}

// leaf returns the first entry that names a publisher, or nil.
func (r *Rule) leaf(publisher string) *Requirement {
	for _, q := range r.leaves() {
		if q.Publisher == publisher {
			return q
		}
	}
	return nil
}

// PublisherPolicy returns the policy that publishers alone make: everything
// that all of them vouch for passes, nothing else. Of nobody nothing passes. A
// name that is not pinned gives a policy under which nothing passes, for the
// reason [UnknownPublisher].
func PublisherPolicy(pins *Pins, names ...string) (*Policy, error) {
	rule := Rule{Name: "publisher " + strings.Join(names, ", "), Scope: scopeAll, Level: Enforce}
	p := &Policy{}
	for _, name := range names {
		if err := CheckPinName(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
		}
		rule.Require = append(rule.Require, Requirement{Publisher: name})
		pin, err := pins.Get(name)
		if errors.Is(err, ErrUnknownPublisher) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.Publishers = append(p.Publishers, pin)
	}
	p.Rules = []Rule{rule}
	return p, nil
}

// TargetName returns the name under which publishers vouch for what is in a
// repository; false if no rule matches it, or its rule strips what it lacks.
func (p *Policy) TargetName(repo registrystore.Repository) (string, bool) {
	rule, ok := p.Match(repo)
	if !ok {
		return "", false
	}
	return rule.targetName(repo)
}

// WithoutRepositories returns the policy as it is for somebody who can reach
// no publisher's repository: what is attached must do.
func (p *Policy) WithoutRepositories() *Policy {
	return p.WithRepositories(func(Pin) []string { return nil })
}

// WithRepositories returns the policy as it is for somebody who asks other
// repositories: those that at returns for a publisher.
func (p *Policy) WithRepositories(at func(Pin) []string) *Policy {
	out := &Policy{Rules: p.Rules, Publishers: slices.Clone(p.Publishers)}
	for i := range out.Publishers {
		out.Publishers[i].Repositories = at(out.Publishers[i])
	}
	return out
}
