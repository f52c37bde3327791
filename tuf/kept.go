package tuf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
)

// Kept is one state that a trust repository still keeps, verified under the
// root that it names, in its place in the publisher's history.
type Kept struct {
	Tag       string
	Root      *metadata.File
	Timestamp *metadata.File
	Snapshot  *metadata.File
	// Parents are the kept states that it was made from: the newest that it
	// contains, none of which contains another.
	Parents []*Kept
	// Gap reports that it was made from a publication that is not kept as a
	// state, or cannot be read: what it lists beyond Parents may be older than
	// it. A draft that was joined with another is such a publication.
	Gap bool
	// Aside reports that the present state does not descend from it: a thief's,
	// or one that was hidden when it was committed.
	Aside bool

	rev    *revision
	claims map[string]int64 // identities that it says it contains, with versions
}

// Version is that of the state's timestamp and snapshot.
func (k *Kept) Version() int64 { return k.Snapshot.Version }

// Identity names the state.
func (k *Kept) Identity() string { return k.rev.id }

// Contains reports whether k says that it contains other, which is older.
func (k *Kept) Contains(other *Kept) bool {
	if _, ok := k.claims[other.rev.id]; !ok {
		return false
	}
	older := other.Version() < k.Version() && k.rev.follows(other.rev)
	return older || other.Root.Version < k.Root.Version && other.Version() >= k.Version() // versions started again
}

func compareKept(a, b *Kept) int {
	return cmp.Or(cmp.Compare(a.Root.Version, b.Root.Version), cmp.Compare(a.Version(), b.Version()), strings.Compare(a.rev.id, b.rev.id))
}

// Unread is a state that is listed and tells nothing.
type Unread struct {
	Tag string
	Err error
	// Garbage reports that it is no state that can be verified here: it breaks
	// a limit, is not signed by the keys of the root that it names, or names
	// one from before the pinned root or after the newest. Else it may be a
	// state that cannot be read just now.
	Garbage bool
}

// Past is the kept history of a publisher.
type Past struct {
	States []*Kept // the oldest first
	Unread []Unread
	Roots  map[int64]*metadata.File // the verified chain from the pinned root
	// Now is the present state, which is the last of States that is not aside.
	Now *State

	repo *Repository
	data map[digest.Digest][]byte // inlined files, once each
}

// maxParallel is how many states are read at once.
const maxParallel = 8

// Past reads all kept states, and no file of a role: those are read one by
// one by [Past.File]. Progress, if not nil, is told how many of how many were
// read.
func (r *Repository) Past(ctx context.Context, progress func(done, of int)) (*Past, error) {
	now, err := r.Load(ctx)
	if err != nil {
		return nil, err
	}
	p := &Past{Now: now, repo: r, data: map[digest.Digest][]byte{}}
	if p.Roots, err = r.Roots(ctx, now); err != nil {
		return nil, err
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.read(ctx, states(entries), progress); err != nil {
		return nil, err
	}
	slices.SortFunc(p.States, compareKept)
	p.place()
	return p, nil
}

// read reads the states in parallel, in bounded portions.
func (p *Past) read(ctx context.Context, entries []Entry, progress func(done, of int)) error {
	seen := map[string]bool{}
	for from := 0; from < len(entries); from += maxParallel {
		part := entries[from:min(from+maxParallel, len(entries))]
		kept, errs := make([]*Kept, len(part)), make([]error, len(part))
		var g errgroup.Group
		for i, e := range part {
			g.Go(func() error { kept[i], errs[i] = p.repo.kept(ctx, p.Roots, e); return nil })
		}
		_ = g.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i, k := range kept {
			switch {
			case errs[i] != nil:
				p.Unread = append(p.Unread, Unread{part[i].Tag, errs[i], isGarbage(errs[i]) || errors.Is(errs[i], errUnknownRoot)})
			case !seen[k.rev.id]: // under a second tag it is the same
				seen[k.rev.id] = true
				p.intern(k)
				p.States = append(p.States, k)
			}
		}
		if progress != nil {
			progress(min(from+maxParallel, len(entries)), len(entries))
		}
	}
	return nil
}

// kept reads one state.
func (r *Repository) kept(ctx context.Context, roots map[int64]*metadata.File, e Entry) (*Kept, error) {
	rev, err := r.readState(ctx, roots, e)
	if err != nil {
		return nil, err
	}
	if rev.root.Version != e.Root {
		return nil, fmt.Errorf("%w: its tag says root version %d and it holds %d", errForeign, e.Root, rev.root.Version)
	}
	raw, err := r.opts.Journal.Fetch(ctx, rev.pub.Timestamp)
	if err != nil {
		return nil, err
	}
	timestamp, err := metadata.Decode(metadata.RoleTimestamp, raw)
	if err != nil {
		return nil, err
	}
	k := &Kept{Tag: e.Tag, Root: rev.root, Timestamp: timestamp, Snapshot: rev.snapshot, rev: rev, claims: map[string]int64{}}
	if x := rev.snapshot.Snapshot.Carnet; x != nil {
		for _, c := range x.Parents {
			k.claims[c.ID] = c.Version
		}
	}
	return k, nil
}

// intern keeps the inlined bytes of equal files once.
func (p *Past) intern(k *Kept) {
	pub := k.rev.pub.clone() // the journal's own is not ours to change
	k.rev.pub = pub
	pub.Roots, pub.RootPack = nil, File{}
	pub.Snapshot.Data, pub.Timestamp.Data = nil, nil
	each := func(f *File) {
		if f.Data == nil {
			return
		}
		if p.data[f.Digest] == nil {
			p.data[f.Digest] = f.Data
		}
		f.Data = p.data[f.Digest]
	}
	each(&pub.Targets)
	for i := range pub.Roles {
		each(&pub.Roles[i])
	}
}

// place finds out which states are ancestors of the present one, the newest
// first, and what each was made from. A state's own word counts for what is
// older than it, and the files must bear it out.
func (p *Past) place() {
	ids := map[string]*Kept{}
	for _, k := range p.States {
		ids[k.rev.id] = k
		k.Aside = k.rev.id != Identity(p.Now.Snapshot())
	}
	for _, k := range slices.Backward(p.States) {
		k.Parents = heirs(k, ids)
		k.Gap = gap(k, ids)
		if k.Aside {
			continue
		}
		for id := range k.claims {
			if other := ids[id]; other != nil && k.Contains(other) {
				other.Aside = false
			}
		}
	}
}

// heirs returns the newest of the kept states that k contains.
func heirs(k *Kept, ids map[string]*Kept) []*Kept {
	var all, out []*Kept
	for id := range k.claims {
		if other := ids[id]; other != nil && k.Contains(other) {
			all = append(all, other)
		}
	}
	for _, a := range all {
		if !slices.ContainsFunc(all, func(b *Kept) bool { return b.Contains(a) }) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, compareKept)
	return out
}

// gap reports whether k contains something that is not kept and newer than
// what its parents tell of.
func gap(k *Kept, ids map[string]*Kept) bool {
	for id := range k.claims {
		if ids[id] != nil {
			continue
		}
		if !slices.ContainsFunc(k.Parents, func(p *Kept) bool { _, ok := p.claims[id]; return ok }) {
			return true
		}
	}
	return false
}

// File returns a role's file as k lists it, unverified but for its hash, or
// nil if k has none. Each call fetches it, unless it was inlined.
func (p *Past) File(ctx context.Context, k *Kept, role string) (*metadata.File, error) {
	f, err := p.repo.role(ctx, k.rev, role)
	clear(k.rev.roles) // large files are not to pile up
	return f, err
}

// ErrNotKept says that a state is not among those that are kept.
var ErrNotKept = errors.New("no such state is kept")

// At returns the kept state that a person names: by its version, or by version
// and the beginning of its identity, VERSION.IDENTITY. Where several states
// claim one version a person has to say which: the claim may be a thief's.
func (p *Past) At(name string) (*Kept, error) {
	version, id, _ := strings.Cut(name, ".")
	var found []*Kept
	var names []string
	for claim := range p.identities(version) {
		if strings.HasPrefix(claim, id) {
			names = append(names, fmt.Sprintf("%s.%.12s", version, claim))
		}
	}
	for _, k := range p.States {
		if !k.Aside && fmt.Sprint(k.Version()) == version && strings.HasPrefix(k.rev.id, id) {
			found = append(found, k)
		}
	}
	slices.Sort(names)
	switch {
	case len(names) > 1:
		return nil, fmt.Errorf("%w: several publications have version %s: say which one is meant: %s", ErrImpossible, version, strings.Join(names, ", "))
	case len(found) == 0:
		return nil, fmt.Errorf("%w: %s: the states %s are", ErrNotKept, name, p.span())
	}
	return found[0], nil
}

// identities returns what any state of the history calls a publication of that
// version, kept or not.
func (p *Past) identities(version string) map[string]bool {
	out := map[string]bool{}
	for _, k := range p.States {
		if k.Aside {
			continue
		}
		if fmt.Sprint(k.Version()) == version {
			out[k.rev.id] = true
		}
		for id, v := range k.claims {
			if fmt.Sprint(v) == version {
				out[id] = true
			}
		}
	}
	return out
}

func (p *Past) span() string {
	if len(p.States) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d to %d", p.States[0].Version(), p.States[len(p.States)-1].Version())
}
