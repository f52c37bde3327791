package delegations

import "slices"

// hunt is one pre-order search from an edge on, with the agreements that the
// entry which it finds needs.
type hunt struct {
	stack []step // the next is last
	seen  map[string]bool
	at    step // the one that next returned last

	found *Hit
	votes []*ballot // that found needs
}

// step is a way to a role.
type step struct {
	Edge
	// bound are the agreements that an entry found at the end of this way
	// needs: those of all delegators on it, from the hunt's first role on.
	bound []*ballot
}

func newHunt(from Edge) *hunt {
	return &hunt{stack: []step{{Edge: from}}, seen: map[string]bool{}}
}

// next returns the next edge whose role was not visited, until one listed the
// path.
func (h *hunt) next() (Edge, bool) {
	for h.found == nil && len(h.stack) > 0 {
		h.at = h.stack[len(h.stack)-1]
		h.stack = h.stack[:len(h.stack)-1]
		if !h.seen[h.at.Role] { // TUF 5.6.7.1: visited before, skip
			h.seen[h.at.Role] = true
			return h.at.Edge, true
		}
	}
	return Edge{}, false
}

// hit ends the search: what is left are the agreements.
func (h *hunt) hit(hit *Hit) { h.found, h.votes = hit, h.at.bound }

// push puts the delegations that match the path on the stack, the first on
// top. A terminating one takes away all that would come after it (TUF
// 5.6.7.2.1), and no agreement: what the delegator demands holds whether or
// not the search would get so far.
func (h *hunt) push(edges []Edge) {
	bound := append(slices.Clone(h.at.bound), ballots(edges)...)
	if i := slices.IndexFunc(edges, func(e Edge) bool { return e.Terminating }); i >= 0 {
		edges, h.stack = edges[:i+1], nil
	}
	for _, e := range slices.Backward(edges) {
		h.stack = append(h.stack, step{e, bound})
	}
}

// nextVoter returns the next role to be asked whether it agrees to what was
// found.
func (h *hunt) nextVoter() (Edge, bool) {
	for _, b := range h.votes {
		if e, ok := b.next(); ok {
			return e, true
		}
	}
	return Edge{}, false
}

// count takes the answer of the role that nextVoter returned.
func (h *hunt) count(hit *Hit, dispute *Disagreement) {
	for _, b := range h.votes {
		if _, ok := b.next(); ok {
			b.count(h.found, hit, dispute)
			return
		}
	}
}

// result returns what was found, or why it does not count.
func (h *hunt) result() (*Hit, *Disagreement) {
	for _, b := range h.votes {
		h.found.Parties = append(h.found.Parties, b.parties()...)
	}
	for _, b := range h.votes {
		if !b.agreed() {
			return nil, &Disagreement{Hit: *h.found, Delegator: b.delegator, Min: b.min, Votes: b.votes}
		}
		h.found.Agreeing = append(h.found.Agreeing, b.agreeing()...)
	}
	return h.found, nil
}
