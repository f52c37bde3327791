package delegations

import (
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// Open returns the verified file of a role that was delegated through e.
type Open func(e Edge) (*metadata.Targets, error)

// Candidates returns, in order of search, every role that a search for path
// would reach if nothing were listed yet: the roles that may vouch for it.
// The withdrawal role and targets itself, which lists no files, are not among
// them. A role behind a matching terminating delegation is not reached, unless
// its agreement is demanded: those come last.
func Candidates(path string, open Open) ([]Edge, error) {
	s := NewSearch(path)
	var out, asked []Edge
	for {
		e, ok := s.Next()
		if !ok {
			i := slices.IndexFunc(asked, func(e Edge) bool { return !slices.Contains(s.visited, e.Role) })
			if i < 0 {
				return out, nil
			}
			s.hunts = []*hunt{newHunt(asked[i])}
			continue
		}
		t, err := open(e)
		if err != nil {
			return nil, err
		}
		if !e.Withdrawal && e.Role != metadata.RoleTargets && !slices.Contains(s.visited, e.Role) {
			out = append(out, e)
		}
		unlisted := *t
		unlisted.Targets = nil
		if err := s.Visit(e, &unlisted); err != nil {
			return nil, err
		}
		more, err := s.voters(e, &unlisted)
		if err != nil {
			return nil, err
		}
		asked = append(asked, more...)
	}
}

// voters returns the roles whose agreement the file of e's role demands.
func (s *Search) voters(e Edge, t *metadata.Targets) ([]Edge, error) {
	if e.Withdrawal {
		return nil, nil
	}
	edges, err := s.edges(e, t.Delegations)
	var out []Edge
	for _, b := range ballots(edges) {
		for _, v := range b.voters {
			if v.edge != nil {
				out = append(out, *v.edge)
			}
		}
	}
	return out, err
}

// Walk calls visit for every delegated role below targets, each once, parents
// before children, in the order of the files. Hash bins are not walked, nor
// what a role below targets delegates if it claims the purpose of withdrawal:
// a search that meets it fails, and the others do not.
func Walk(open Open, visit func(e Edge, d metadata.Delegation) error) error {
	top := Edge{Role: metadata.RoleTargets, Chain: []string{metadata.RoleTargets}}
	seen := map[string]bool{metadata.RoleTargets: true}
	queue := []Edge{top}
	for len(queue) > 0 {
		e := queue[0]
		queue = queue[1:]
		t, err := open(e)
		if err != nil {
			return err
		}
		if t.Delegations == nil {
			continue
		}
		if err := checkPurposes(e, t.Delegations); err != nil {
			if e.Role != metadata.RoleTargets {
				continue
			}
			return err
		}
		for _, d := range t.Delegations.Roles {
			if seen[d.Name] {
				continue
			}
			seen[d.Name] = true
			child := edge(e, t.Delegations, d)
			if err := visit(child, d); err != nil {
				return err
			}
			if !child.Withdrawal { // has no delegations of its own
				queue = append(queue, child)
			}
		}
	}
	return nil
}

func checkPurposes(from Edge, d *metadata.Delegations) error {
	for i, r := range d.Roles {
		if err := checkPurpose(from, i, r); err != nil {
			return err
		}
	}
	return nil
}

// CheckRoleName refuses what is no name for a new delegated role: TUF's own
// four, the root pack, an empty or long name, or one that breaks the grammar of names that
// people write in commands and tags.
func CheckRoleName(name string) error {
	if metadata.IsTopLevel(name) {
		return fmt.Errorf("%q is a top-level role: choose another name", name)
	}
	if name == metadata.RootPack {
		return fmt.Errorf("%q is what the file of old roots is called: choose another name", name)
	}
	if len(name) == 0 || len(name) > 64 {
		return fmt.Errorf("a role's name has 1 to 64 characters, found %d", len(name))
	}
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return fmt.Errorf("%q is no role name: letters, digits, and after the first '-', '_', '.'", name)
		}
	}
	return nil
}
