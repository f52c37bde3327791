package revocation

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// walk goes through the kept history, the oldest state first, and shows every
// role file once, when it first appears. It holds what the files of the last
// states list, and no more.
type walk struct {
	past  *tuf.Past
	visit func(*step)
	seed  maphash.Seed
	views map[*tuf.Kept]map[string]*view // by role, of the states that are still needed
	blind map[*tuf.Kept]bool             // states of which a role file could not be read
	lost  []tuf.Unread
	last  map[*tuf.Kept]int // the state that needs a state's views last
}

// view is what verifiers take from a role's file in one state.
type view struct {
	digest  digest.Digest
	valid   bool              // signed as the delegations to it demand
	demands string            // those delegations, where the file is not valid
	entries map[string]uint64 // by path: a hash of what the file says there
	trusts  *metadata.Delegations
	revoked bool
}

// step is a role's file that is new in a state: none of the states that it was
// made from has it.
type step struct {
	state      *tuf.Kept
	role       string
	file       *metadata.File
	withdrawal bool
	signers    []signing // of each delegation to the role that the file meets
	now        *view
	before     []*view // what the parents have
	unsure     bool    // what a parent has is not known
}

// signing is who signed a file, of those that one delegation lists.
type signing struct {
	by        map[string]string
	threshold int
}

func newWalk(past *tuf.Past, visit func(*step)) *walk {
	w := &walk{
		past: past, visit: visit, seed: maphash.MakeSeed(), views: map[*tuf.Kept]map[string]*view{},
		blind: map[*tuf.Kept]bool{}, last: map[*tuf.Kept]int{},
	}
	for i, k := range past.States {
		w.last[k] = max(w.last[k], i)
		for _, p := range k.Parents {
			w.last[p] = i
		}
	}
	return w
}

func (w *walk) run(ctx context.Context, progress func(done, of int)) error {
	for i, k := range w.past.States {
		if progress != nil {
			progress(i+1, len(w.past.States))
		}
		if err := w.state(ctx, k); err != nil {
			return fmt.Errorf("state %s: %w", k.Tag, err)
		}
		maps.DeleteFunc(w.views, func(k *tuf.Kept, _ map[string]*view) bool { return w.last[k] <= i })
	}
	return nil
}

// state looks at the roles that a state reaches, delegators first.
func (w *walk) state(ctx context.Context, k *tuf.Kept) error {
	if v := w.unchanged(k); v != nil {
		w.views[k] = v
		return nil
	}
	s := &looking{walk: w, k: k, steps: map[string]*step{}, views: map[string]*view{}, edges: map[string][]delegations.Edge{}}
	if err := s.look(ctx); err != nil {
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(s.steps)) {
		w.visit(s.steps[role])
	}
	w.views[k] = s.views
	return nil
}

// unchanged returns the views of a parent that lists the same files: of a
// refresh nothing has to be looked at.
func (w *walk) unchanged(k *tuf.Kept) map[string]*view {
	for _, p := range k.Parents {
		same := p.Root == k.Root && maps.EqualFunc(p.Snapshot.Snapshot.Meta, k.Snapshot.Snapshot.Meta, func(a, b metadata.MetaFile) bool {
			return a.Hashes.Digest() == b.Hashes.Digest()
		})
		if same && w.views[p] != nil {
			return w.views[p]
		}
	}
	return nil
}

// looking is the work on one state.
type looking struct {
	*walk
	k         *tuf.Kept
	steps     map[string]*step
	views     map[string]*view
	edges     map[string][]delegations.Edge
	withdraws string
}

// look follows every delegation from targets on. A role counts as soon as one
// delegation to it is met, and leads on then.
func (s *looking) look(ctx context.Context) error {
	root := s.k.Root.Root
	top := delegations.Edge{Parent: metadata.RoleRoot, Role: metadata.RoleTargets, Keys: root.Keys, RoleKeys: root.Roles[metadata.RoleTargets]}
	for queue := []delegations.Edge{top}; len(queue) > 0; queue = queue[1:] {
		e := queue[0]
		s.edges[e.Role] = append(s.edges[e.Role], e)
		was := s.views[e.Role]
		led := was != nil && was.valid
		now, err := s.follow(ctx, e)
		if err != nil {
			return err
		}
		if now == nil || !now.valid || led {
			continue
		}
		if e.Role == metadata.RoleTargets {
			if d, ok := delegations.Withdrawal(&metadata.Targets{Delegations: now.trusts}); ok {
				s.withdraws = d.Role
			}
		}
		if e.Role != s.withdraws {
			queue = append(queue, delegated(e, now.trusts)...)
		}
	}
	for role, st := range s.steps {
		if st.withdrawal = role == s.withdraws; len(st.signers) == 0 {
			delete(s.steps, role)
		}
	}
	return nil
}

// follow looks at the file of e's role: one that a parent has, or a new one.
func (s *looking) follow(ctx context.Context, e delegations.Edge) (*view, error) {
	d := s.k.Snapshot.Snapshot.Meta[e.Role].Hashes.Digest()
	if d == "" {
		return nil, nil
	}
	demands := demanded(s.edges[e.Role])
	if s.steps[e.Role] == nil {
		if v := s.known(e.Role, d, demands); v != nil {
			s.views[e.Role] = v
			return v, nil
		}
		f, err := s.past.File(ctx, s.k, e.Role)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || f == nil {
			s.lose(e.Role, err)
			return nil, nil
		}
		s.begin(e.Role, f, d)
	}
	return s.count(e, demands)
}

// begin notes a file that no parent has.
func (s *looking) begin(role string, f *metadata.File, d digest.Digest) {
	st := &step{state: s.k, role: role, file: f, now: s.view(f, d), unsure: s.k.Gap}
	for _, p := range s.k.Parents {
		v := s.walk.views[p][role]
		st.unsure = st.unsure || v == nil && s.blind[p]
		if v != nil && v.valid {
			st.before = append(st.before, v)
		}
	}
	s.steps[role], s.views[role] = st, st.now
}

// lose notes a file that cannot be read.
func (s *looking) lose(role string, err error) {
	if err != nil && !s.blind[s.k] {
		s.walk.lost = append(s.walk.lost, tuf.Unread{Tag: s.k.Tag, Err: fmt.Errorf("role %q: %w", role, err)})
	}
	s.blind[s.k] = true
}

// count adds the signatures that count for e.
func (s *looking) count(e delegations.Edge, demands string) (*view, error) {
	st := s.steps[e.Role]
	signers, err := tuf.Signers(st.file, e.Keys, e.RoleKeys)
	if err != nil {
		return nil, err
	}
	if st.now.demands = demands; e.RoleKeys.Threshold > 0 && len(signers) >= e.RoleKeys.Threshold {
		st.signers = append(st.signers, signing{signers, e.RoleKeys.Threshold})
		st.now.valid = true
	}
	return st.now, nil
}

// known returns the view of a parent that has the same file. One that was not
// valid there may be by now.
func (s *looking) known(role string, d digest.Digest, demands string) *view {
	for _, p := range s.k.Parents {
		if v := s.walk.views[p][role]; v != nil && v.digest == d && (v.valid || v.demands == demands) {
			return v
		}
	}
	return nil
}

func (w *walk) view(f *metadata.File, d digest.Digest) *view {
	v := &view{digest: d, entries: make(map[string]uint64, len(f.Targets.Targets)), trusts: f.Targets.Delegations, revoked: f.Targets.Revoked}
	for path, target := range f.Targets.Targets {
		v.entries[strings.Clone(path)] = maphash.Bytes(w.seed, target.Value().Canonical())
	}
	return v
}

// demanded tells sets of delegations apart.
func demanded(edges []delegations.Edge) string {
	var b strings.Builder
	for _, e := range edges {
		fmt.Fprintf(&b, "%s %d %q;", e.Parent, e.RoleKeys.Threshold, e.RoleKeys.KeyIDs)
	}
	return b.String()
}

// by reports whether key signed the file, and whether too few others did.
func (s *step) by(key string) (signed, alone bool) {
	for _, g := range s.signers {
		if g.by[key] == "" {
			continue
		}
		signed = true
		alone = alone || len(g.by)-1 < g.threshold
	}
	return signed, alone
}

// isNew reports whether no parent says the same at path.
func (s *step) isNew(path string) bool {
	now := s.now.entries[path]
	for _, v := range s.before {
		if was, ok := v.entries[path]; ok && was == now {
			return false
		}
	}
	return true
}

// gone returns the paths that every parent lists and the file does not.
func (s *step) gone() (out []string) {
	if len(s.before) == 0 {
		return nil
	}
	for path := range s.before[0].entries {
		if _, ok := s.now.entries[path]; ok {
			continue
		}
		if !slices.ContainsFunc(s.before[1:], func(v *view) bool { _, ok := v.entries[path]; return !ok }) {
			out = append(out, path)
		}
	}
	return out
}

func (s *step) moment() Moment { return Moment{State: s.state, Role: s.role, AtOrBefore: s.unsure} }

func (s *step) revokedBefore() bool {
	return slices.ContainsFunc(s.before, func(v *view) bool { return v.revoked })
}

func delegationsOf(t *metadata.Targets) map[string]metadata.Delegation {
	out := map[string]metadata.Delegation{}
	if t.Delegations != nil {
		for _, d := range t.Delegations.Roles {
			out[d.Name] = d
		}
	}
	return out
}

// delegatedBefore reports whether a parent delegates to name, and just so.
func (s *step) delegatedBefore(name string, d metadata.Delegation) (known, same bool) {
	for _, v := range s.before {
		was, ok := delegationsOf(&metadata.Targets{Delegations: v.trusts})[name]
		known = known || ok
		same = same || ok && was.Equal(d)
	}
	return known, same
}

// undelegated returns the names to which every parent delegates and now does
// not.
func (s *step) undelegated(now map[string]metadata.Delegation) (out []string) {
	count := map[string]int{}
	for _, v := range s.before {
		for name := range delegationsOf(&metadata.Targets{Delegations: v.trusts}) {
			count[name]++
		}
	}
	for name, n := range count {
		if _, ok := now[name]; !ok && n == len(s.before) {
			out = append(out, name)
		}
	}
	return out
}
