package delegations

import (
	"errors"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// ErrTooMany says that a search would open more than metadata.MaxVisits
// roles. Nothing is known then of the path: it is no "not found".
var ErrTooMany = errors.New("search visits too many roles")

// Edge is one delegation on the way of a search: who trusts which role.
type Edge struct {
	Parent      string
	Role        string
	Keys        metadata.Keys     // the parent's keys
	RoleKeys    metadata.RoleKeys // whose signatures this edge needs
	Terminating bool
	Withdrawal  bool     // the role withdraws; its entries never vouch
	Chain       []string // from "targets" to Role
	// Agreement is what the delegation demands of all that is found through
	// its delegator's delegations, or nil.
	Agreement *metadata.Agreement
}

// Search looks for one target path through the graph (TUF 5.6.7): pre-order,
// each role once, no further than a terminating delegation that matches. Where
// the entry that it finds needs the agreement of several roles, it goes on and
// asks each of them (docs/spec.md, "Agreement"). The caller opens and verifies
// the files; a Search only says which is next, and says it again of a role
// that more than one question leads to.
//
//	s := delegations.NewSearch("net-monitor:1.0")
//	for e, ok := s.Next(); ok; e, ok = s.Next() {
//		t := …open e.Role, verify it against e.Keys and e.RoleKeys…
//		s.Visit(e, t)
//	}
//	entry, found := s.Found()
type Search struct {
	path      string
	hunts     []*hunt // the first is for the path; each next asks a role whose agreement the one before needs
	visits    int
	visited   []string
	withdraws string // the withdrawal role, "" before targets was visited or without one
	found     *Hit
	disagreed *Disagreement
	denied    *Hit
}

// Hit is an entry and where it stands.
type Hit struct {
	Target metadata.Target
	Role   string
	Chain  []string // from "targets" to Role
	// Agreeing are the roles whose agreement the entry needed and has; nil if
	// it needed none.
	Agreeing []string
	// Parties are all roles that the agreements which the entry needs name.
	Parties []string
}

// NewSearch starts at the top-level targets role, whose keys are root's.
func NewSearch(path string) *Search {
	s := &Search{path: path}
	s.hunts = []*hunt{newHunt(Edge{Parent: metadata.RoleRoot, Role: metadata.RoleTargets, Chain: []string{metadata.RoleTargets}})}
	return s
}

// Next returns the role to open now. It returns false when the search ended:
// an entry was found, and all that must agree to it were asked, or no role is
// left.
func (s *Search) Next() (Edge, bool) {
	for len(s.hunts) > 0 {
		h := s.hunts[len(s.hunts)-1]
		if e, ok := h.next(); ok {
			return e, true
		}
		if e, ok := h.nextVoter(); ok {
			s.hunts = append(s.hunts, newHunt(e))
			continue
		}
		s.hunts = s.hunts[:len(s.hunts)-1]
		s.end(h)
	}
	return Edge{}, false
}

// end hands the result of a hunt to the one that needs it.
func (s *Search) end(h *hunt) {
	hit, dispute := h.result()
	if n := len(s.hunts); n > 0 {
		s.hunts[n-1].count(hit, dispute)
		return
	}
	s.found, s.disagreed = hit, dispute
}

// Visit continues with the verified file of e's role.
func (s *Search) Visit(e Edge, t *metadata.Targets) error {
	h := s.hunts[len(s.hunts)-1]
	// Every visit counts: roles that must agree may delegate to each other.
	if s.visits++; s.visits > metadata.MaxVisits {
		return fmt.Errorf("%w: more than %d for %q", ErrTooMany, metadata.MaxVisits, s.path)
	}
	if !slices.Contains(s.visited, e.Role) {
		s.visited = append(s.visited, e.Role)
	}
	if w, ok := Withdrawal(t); ok && e.Role == metadata.RoleTargets {
		s.withdraws = w.Role
	}
	if target, ok := t.Targets[s.path]; ok {
		hit := &Hit{Target: target, Role: e.Role, Chain: e.Chain}
		if !e.Withdrawal {
			h.hit(hit)
			return nil
		}
		s.denied = hit
	}
	if e.Withdrawal {
		return nil // has no delegations of its own
	}
	edges, err := s.edges(e, t.Delegations)
	if err != nil {
		return err
	}
	h.push(edges)
	return nil
}

// edges returns the delegations that match the path. Whoever else delegates
// to the withdrawal role, its file stays what it is: no entry of it vouches.
func (s *Search) edges(from Edge, d *metadata.Delegations) ([]Edge, error) {
	edges, err := Edges(from, d, s.path)
	for i := range edges {
		edges[i].Withdrawal = edges[i].Withdrawal || edges[i].Role == s.withdraws
	}
	return edges, err
}

// ErrWithdrawalRole says that a delegation claims the purpose of withdrawal
// in a place where it has none: only the first delegation of targets may.
var ErrWithdrawalRole = errors.New("misplaced withdrawal role")

// Edges returns the delegations of the role at the end of from that match
// path, in order. Roles other than the first of targets must not have the
// purpose of withdrawal.
func Edges(from Edge, d *metadata.Delegations, path string) ([]Edge, error) {
	if d == nil {
		return nil, nil
	}
	if d.Succinct != nil {
		// TAP 15: each bin is a terminating delegation.
		return []Edge{edge(from, d, metadata.Delegation{Name: Bin(d.Succinct, path), RoleKeys: d.Succinct.RoleKeys, Terminating: true})}, nil
	}
	var out []Edge
	for i, r := range d.Roles {
		if err := checkPurpose(from, i, r); err != nil {
			return nil, err
		}
		if Match(r, path) {
			out = append(out, edge(from, d, r))
		}
	}
	return out, nil
}

// checkPurpose refuses the purpose of withdrawal for delegation i of from if
// that is not the first of targets.
func checkPurpose(from Edge, i int, d metadata.Delegation) error {
	if d.Purpose == metadata.PurposeWithdrawal && (i > 0 || from.Role != metadata.RoleTargets) {
		return fmt.Errorf("%w: %q delegated by %q", ErrWithdrawalRole, d.Name, from.Role)
	}
	return nil
}

func edge(from Edge, d *metadata.Delegations, r metadata.Delegation) Edge {
	return Edge{
		Parent: from.Role, Role: r.Name, Keys: d.Keys, RoleKeys: r.RoleKeys, Terminating: r.Terminating,
		Withdrawal: r.Purpose == metadata.PurposeWithdrawal, Agreement: r.Agreement,
		Chain: append(slices.Clone(from.Chain), r.Name),
	}
}

// Found returns the first entry in order of search that vouches. If roles
// that must agree to it do not, nothing is found: see [Search.Disagreed].
func (s *Search) Found() (Hit, bool) { return deref(s.found) }

// Disagreed returns why the first entry in order of search does not count, or
// nil.
func (s *Search) Disagreed() *Disagreement { return s.disagreed }

// Denied returns the withdrawal role's entry at the path. Other TUF clients
// take it for the target and find that nothing fits; Carnet decides by
// digest (docs/spec.md, "Withdrawal").
func (s *Search) Denied() (Hit, bool) { return deref(s.denied) }

// Visited returns the roles opened, in order, each once.
func (s *Search) Visited() []string { return s.visited }

func deref(h *Hit) (Hit, bool) {
	if h == nil {
		return Hit{}, false
	}
	return *h, true
}

// Withdrawal returns the edge to the withdrawal role, if targets has one.
func Withdrawal(t *metadata.Targets) (Edge, bool) {
	if t.Delegations == nil || len(t.Delegations.Roles) == 0 || t.Delegations.Roles[0].Purpose != metadata.PurposeWithdrawal {
		return Edge{}, false
	}
	from := Edge{Role: metadata.RoleTargets, Chain: []string{metadata.RoleTargets}}
	return edge(from, t.Delegations, t.Delegations.Roles[0]), true
}
