package tuf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// Limits of what [Client.Gather] reads for one publication.
const (
	MaxGatheredRoles = 20_000    // role files; a state manifest holds no more
	MaxGathered      = 512 << 20 // bytes of role files in all
	gatherParallel   = 16        // role files asked for at the same time
)

// Gathering says what [Client.Gather] need not ask for.
type Gathering struct {
	// Held is a publication of the same publisher that is stored already where
	// the result goes, or nil, and Fetch reads its files. It is believed no
	// more than a source.
	Held  *Publication
	Fetch func(context.Context, File) ([]byte, error)
	// Report is told, in a sentence, what is left out and why. It may be nil.
	Report func(string)
}

// Gather returns every file of the publication that Refresh accepted, byte for
// byte: the roots from the oldest that a source still has to the newest,
// timestamp, snapshot, targets and the roles that snapshot lists. Every root is
// verified against its neighbour, every role that a delegation leads to
// against all delegations that do, expired or not if AllowExpired is set. A
// role that no delegation leads to is taken if snapshot gives its hash, and
// left out if it does not or nobody has it: no client ever asks for it. It
// fails where a role cannot be read or verified that a client may ask for.
//
// The client's sources must be safe for concurrent use, as all of this module
// are. Limits are [MaxGatheredRoles] and [MaxGathered].
func (c *Client) Gather(ctx context.Context, o Gathering) (*Publication, error) {
	if !c.current {
		return nil, errors.New("gather: the client was not refreshed")
	}
	g := &gatherer{c: c, opts: o, sources: c.sources, roles: map[string]*File{}, got: map[string]answer{}, unlisted: map[string]bool{}}
	if err := g.checkSize(); err != nil {
		return nil, err
	}
	notes := c.notes
	defer func() { c.sources, c.notes = g.sources, notes }()
	pub := &Publication{
		Timestamp: fileOf(metadata.RoleTimestamp, c.timestamp), Snapshot: fileOf(metadata.RoleSnapshot, c.snapshot),
	}
	for _, step := range []func(context.Context, *Publication) error{g.addRoots, g.addDelegated, g.addOthers} {
		if err := step(ctx, pub); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(pub.Roles, func(a, b File) int { return strings.Compare(a.Role, b.Role) })
	return pub, nil
}

// gatherer is one run of Gather. It belongs to one goroutine, but for size.
type gatherer struct {
	c        *Client
	opts     Gathering
	sources  []Source // the client's own
	roles    map[string]*File
	got      map[string]answer // fetched ahead, by role
	unlisted map[string]bool   // delegated roles that snapshot does not list
	// missingBins counts the hash bins that snapshot does not list.
	missingBins int64
	held        map[int64][]byte // unpacked roots of Held
	size        atomic.Int64
}

// answer is what a source gave for a role, or why it did not. With an error,
// raw are bytes that are not the file.
type answer struct {
	raw []byte
	err error
}

func (g *gatherer) report(format string, args ...any) {
	if g.opts.Report != nil {
		g.opts.Report(fmt.Sprintf(format, args...))
	}
}

// checkSize refuses what snapshot says is too much before any of it is read.
func (g *gatherer) checkSize() error {
	meta := g.c.snapshot.Snapshot.Meta
	if len(meta) > MaxGatheredRoles {
		return fmt.Errorf("snapshot version %d lists %d roles where at most %d can be kept in one publication",
			g.c.snapshot.Version, len(meta), MaxGatheredRoles)
	}
	var size int64
	for _, m := range meta {
		if size += max(m.Length, 0); size > MaxGathered {
			return g.tooBig()
		}
	}
	return nil
}

func (g *gatherer) tooBig() error {
	return fmt.Errorf("the role files of snapshot version %d have more than %d bytes in all", g.c.snapshot.Version, int64(MaxGathered))
}

// addDelegated adds targets and what is delegated from there, level by level,
// so that the files of a level are fetched together.
func (g *gatherer) addDelegated(ctx context.Context, pub *Publication) error {
	seen := map[edge]bool{}
	for level := []delegations.Edge{g.c.top()}; len(level) > 0; {
		if err := g.fetchLevel(ctx, level); err != nil {
			return err
		}
		var below []delegations.Edge
		for _, e := range level {
			next, err := g.open(ctx, e)
			if err != nil {
				return err
			}
			for _, n := range next {
				if k := (edge{n.Parent, n.Role}); !seen[k] {
					seen[k] = true
					below = append(below, n)
				}
			}
		}
		level = below
	}
	if g.missingBins > 0 {
		g.report("snapshot version %d does not list %d hash bins: searches that reach them fail", g.c.snapshot.Version, g.missingBins)
	}
	if n := len(g.unlisted); n > 0 {
		g.report("snapshot version %d does not list %d delegated roles, the first is %q: searches that reach them fail",
			g.c.snapshot.Version, n, slices.Sorted(keysOf(g.unlisted))[0])
	}
	for _, f := range g.roles {
		pub.Add(*f)
	}
	return nil
}

func keysOf(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// open verifies the role along e, and returns the delegations of its file when
// it is met for the first time.
func (g *gatherer) open(ctx context.Context, e delegations.Edge) ([]delegations.Edge, error) {
	if _, ok := g.c.snapshot.Snapshot.Meta[e.Role]; !ok && e.Role != metadata.RoleTargets {
		g.unlisted[e.Role] = true
		return nil, nil
	}
	g.c.sources = []Source{ahead{g}}
	if _, held := g.heldFile(e.Role, g.c.snapshot.Snapshot.Meta[e.Role]); held {
		g.c.sources = []Source{heldSource{g}, ahead{g}}
	}
	f, err := g.c.OpenFile(ctx, e)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("role %q, delegated by %s: %w", e.Role, e.Parent, err)
	}
	file := g.roles[e.Role]
	isNew := file == nil
	if isNew {
		n := fileOf(e.Role, f)
		file, g.roles[e.Role] = &n, &n
		delete(g.got, e.Role)
	}
	file.Patterns = merged(file.Patterns, g.patterns(e))
	if !isNew || f.Targets.Delegations == nil {
		return nil, nil
	}
	return g.below(e, f.Targets.Delegations), nil
}

// patterns are the hint for readers: what the delegator delegates by pattern.
func (g *gatherer) patterns(e delegations.Edge) []string {
	parent := g.c.roles[e.Parent]
	if parent == nil || parent.Targets.Delegations == nil {
		return nil
	}
	if d := find(parent.Targets.Delegations, e.Role); d != nil {
		return d.Paths
	}
	return nil
}

// merged adds patterns that are not there yet.
func merged(have, more []string) []string {
	for _, p := range more {
		if !slices.Contains(have, p) {
			have = append(slices.Clone(have), p)
		}
	}
	return have
}

// below returns the delegations of a role's file, a hash bin for each that
// snapshot lists.
func (g *gatherer) below(from delegations.Edge, d *metadata.Delegations) []delegations.Edge {
	var out []delegations.Edge
	for _, r := range d.Roles {
		out = append(out, delegations.Edge{Parent: from.Role, Role: r.Name, Keys: d.Keys, RoleKeys: r.RoleKeys})
	}
	if d.Succinct == nil {
		return out
	}
	for role := range g.c.snapshot.Snapshot.Meta {
		if delegations.IsBin(d.Succinct, role) {
			out = append(out, delegations.Edge{Parent: from.Role, Role: role, Keys: d.Keys, RoleKeys: d.Succinct.RoleKeys})
		}
	}
	g.missingBins += int64(1)<<d.Succinct.BitLength - int64(len(out)-len(d.Roles))
	return out
}

// fetchLevel fetches the files of the level's roles that are not at hand, all
// together. What fails is told when it is needed.
func (g *gatherer) fetchLevel(ctx context.Context, level []delegations.Edge) error {
	var roles []string
	for _, e := range level {
		_, listed := g.c.snapshot.Snapshot.Meta[e.Role]
		if _, asked := g.got[e.Role]; listed && !asked && g.c.roles[e.Role] == nil && !g.stored(e.Role) {
			g.got[e.Role] = answer{}
			roles = append(roles, e.Role)
		}
	}
	answers := make([]answer, len(roles))
	var group errgroup.Group
	group.SetLimit(gatherParallel)
	for i, role := range roles {
		group.Go(func() error {
			answers[i] = g.ask(ctx, role)
			return nil
		})
	}
	_ = group.Wait()
	for i, role := range roles {
		g.got[role] = answers[i]
	}
	if g.size.Load() > MaxGathered {
		return g.tooBig()
	}
	return nil
}

// stored reports whether the client has the file of a role already.
func (g *gatherer) stored(role string) bool {
	raw, err := g.c.opts.Store.Get(role)
	want := g.c.snapshot.Snapshot.Meta[role]
	return err == nil && want.Hashes != nil && checkBytes(role, raw, want) == nil
}

// ask asks for a role's file: what is held, then the sources in turn, the one
// that gave the timestamp first.
func (g *gatherer) ask(ctx context.Context, role string) answer {
	want := g.c.snapshot.Snapshot.Meta[role]
	if f, ok := g.heldFile(role, want); ok {
		if raw, err := g.opts.Fetch(ctx, f); err == nil && checkBytes(role, raw, want) == nil {
			return answer{raw: raw}
		}
	}
	return g.askSources(ctx, role, want)
}

func (g *gatherer) askSources(ctx context.Context, role string, want metadata.MetaFile) answer {
	var failed []error
	var wrong []byte
	for _, s := range g.ordered() {
		if g.size.Load() > MaxGathered {
			return answer{err: g.tooBig()}
		}
		raw, err := s.File(ctx, role, want)
		if err == nil {
			g.size.Add(int64(len(raw)))
			wrong, err = raw, checkBytes(role, raw, want)
		}
		if err == nil {
			return answer{raw: raw}
		}
		failed = append(failed, err)
	}
	return answer{wrong, errors.Join(failed...)}
}

// ordered are the client's own sources, the one that gave the timestamp first.
func (g *gatherer) ordered() []Source {
	out := slices.Clone(g.sources)
	slices.SortStableFunc(out, func(a, b Source) int {
		switch from := g.c.Source(); {
		case a.String() == from && b.String() != from:
			return -1
		case b.String() == from && a.String() != from:
			return 1
		}
		return 0
	})
	return out
}

// heldFile returns the file of Held that may be the wanted one: by hash, or
// where the author gave none by version, and then its signatures must tell.
func (g *gatherer) heldFile(role string, want metadata.MetaFile) (File, bool) {
	if g.opts.Held == nil {
		return File{}, false
	}
	f, ok := g.opts.Held.Role(role)
	if d := want.Hashes.Digest(); d != "" {
		return f, ok && f.Digest == d
	}
	return f, ok && f.Version == want.Version
}

// addOthers adds the roles that snapshot lists and no delegation leads to.
func (g *gatherer) addOthers(ctx context.Context, pub *Publication) error {
	for role, want := range g.c.snapshot.Snapshot.Meta {
		if g.roles[role] != nil || metadata.IsTopLevel(role) {
			continue
		}
		if want.Hashes == nil {
			g.report("left out: %q, to which no delegation leads and of which snapshot gives no hash", role)
			continue
		}
		a := g.ask(ctx, role)
		if errors.Is(a.err, ErrNotFound) {
			g.report("left out: %q, to which no delegation leads and which nobody has", role)
			continue
		}
		f, err := g.other(role, want, a)
		if err != nil {
			return err
		}
		pub.Add(f)
	}
	return nil
}

func (g *gatherer) other(role string, want metadata.MetaFile, a answer) (File, error) {
	if a.err != nil {
		return File{}, fmt.Errorf("role %q: %w: %w", role, ErrUnreachable, a.err)
	}
	f, err := decodeChecked(role, a.raw, want)
	if err != nil {
		return File{}, err
	}
	return fileOf(role, f), nil
}

// heldSource serves what is held, for as long as its signatures are right.
type heldSource struct{ g *gatherer }

func (h heldSource) String() string { return "what is stored" }

func (h heldSource) Root(context.Context, int64) ([]byte, error) { return nil, ErrNotFound }

func (h heldSource) Timestamp(context.Context) ([]byte, error) { return nil, ErrNotFound }

func (h heldSource) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	f, ok := h.g.heldFile(role, want)
	if !ok {
		return nil, ErrNotFound
	}
	return h.g.opts.Fetch(ctx, f)
}

// ahead serves what was fetched ahead; what that leaves open it asks for.
type ahead struct{ g *gatherer }

func (a ahead) String() string { return a.g.c.Source() }

func (a ahead) Root(context.Context, int64) ([]byte, error) { return nil, ErrNotFound }

func (a ahead) Timestamp(context.Context) ([]byte, error) { return nil, ErrNotFound }

func (a ahead) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	got, ok := a.g.got[role]
	if _, held := a.g.heldFile(role, want); !ok || held && got.err == nil {
		got = a.g.askSources(ctx, role, want)
	}
	if got.raw != nil {
		return got.raw, nil // the client tells what is wrong with it
	}
	return nil, got.err
}
