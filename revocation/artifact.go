package revocation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

var (
	// ErrNoWithdrawals says that a publisher has no withdrawal role: one that
	// was imported, say.
	ErrNoWithdrawals = errors.New("the publisher has no withdrawal role")
	// ErrNotWithdrawn says that there is nothing to lift.
	ErrNotWithdrawn = errors.New("the artifact is not withdrawn")
)

// Withdrawal says what is withdrawn, and why.
type Withdrawal struct {
	Digest     digest.Digest // of the artifact's manifest
	Reason     string        // for people; must not be empty
	Advisory   string        // an id such as CVE-2026-1234, or ""
	ReplacedBy string        // a target path or digest, or ""
	By         string        // who withdraws: a name, for people, or ""
}

// Outcome is what a withdrawal, or lifting one, touched.
type Outcome struct {
	// Digests are the artifact and, of an index, the children that are in no
	// other artifact.
	Digests []digest.Digest
	// Paths are the target paths that vouch for them.
	Paths []string
}

// Withdraw lets the withdrawal role list w.Digest: it is denied under every
// name and tag of the publisher from the next publication on. An index takes
// along the children that are vouched for only through it. To withdraw again
// replaces the notice and brings the listed paths up to date.
func Withdraw(ctx context.Context, d *tuf.Draft, w Withdrawal) (*Outcome, error) {
	return WithdrawAll(ctx, d, []Withdrawal{w})
}

// WithdrawAll is Withdraw for several artifacts in one publication. A child
// that is among them for itself is taken along by its index all the same, if
// that is among them too, so that lifting the index's withdrawal lifts both.
func WithdrawAll(ctx context.Context, d *tuf.Draft, all []Withdrawal) (*Outcome, error) {
	for _, w := range all {
		if err := w.check(); err != nil {
			return nil, err
		}
	}
	list, e, err := withdrawals(ctx, d)
	if err != nil {
		return nil, err
	}
	vouched, err := vouchings(ctx, d)
	if err != nil {
		return nil, err
	}
	known := newCatalogue(vouched)
	out, entries := &Outcome{}, map[string]metadata.Target{}
	for _, w := range independent(known, list, all) {
		for _, digest := range append([]digest.Digest{w.Digest}, known.children(list, w.Digest)...) {
			out.Digests = append(out.Digests, digest)
			out.Paths = append(out.Paths, entriesFor(entries, w, d.Now(), digest, known.of[digest])...)
		}
	}
	slices.Sort(out.Paths)
	out.Paths = slices.Compact(out.Paths) // several roles may list one
	return out, apply(ctx, d, e, list, entries, vouched)
}

func (w Withdrawal) check() error {
	if w.Digest.Validate() != nil || w.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("withdraw %q: want sha256:<64 hexadecimal digits>", w.Digest)
	}
	if w.Reason == "" {
		return errors.New("a withdrawal needs a reason: people will ask")
	}
	return nil
}

// independent leaves out what the index that is in all takes along. Who lies
// about indexes gets nothing out of it: an index that is itself left out takes
// nothing along.
func independent(known *catalogue, list *metadata.Targets, all []Withdrawal) []Withdrawal {
	if len(all) == 1 {
		return all
	}
	takes := map[digest.Digest][]digest.Digest{}
	child := map[digest.Digest]bool{}
	for _, w := range all {
		takes[w.Digest] = known.children(list, w.Digest)
		for _, c := range takes[w.Digest] {
			child[c] = true
		}
	}
	taken := map[digest.Digest]bool{}
	for _, w := range all {
		for _, c := range takes[w.Digest] {
			taken[c] = taken[c] || !child[w.Digest]
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(w Withdrawal) bool { return taken[w.Digest] })
}

// catalogue finds what is vouched for by digest, and through which index.
type catalogue struct {
	of      map[digest.Digest][]vouching
	through map[digest.Digest][]digest.Digest // by index, the digests with an entry that names it
}

func newCatalogue(vouched []vouching) *catalogue {
	c := &catalogue{of: map[digest.Digest][]vouching{}, through: map[digest.Digest][]digest.Digest{}}
	for _, v := range vouched {
		c.of[v.digest] = append(c.of[v.digest], v)
		if i := v.statement.Index; i != "" {
			c.through[i] = append(c.through[i], v.digest)
		}
	}
	return c
}

// children returns the manifests that are vouched for through the index and
// in no other way, without those that were withdrawn for themselves: to lift
// the index's withdrawal must not lift theirs.
func (c *catalogue) children(list *metadata.Targets, index digest.Digest) []digest.Digest {
	alone := map[digest.Digest]bool{}
	for _, d := range c.through[index] {
		otherwise := slices.ContainsFunc(c.of[d], func(v vouching) bool { return v.statement.Index != index })
		entry, withdrawn := list.Targets[metadata.WithdrawnPath(d)]
		s, err := entry.Statement()
		if d != index && !otherwise && (!withdrawn || err == nil && s.Index == index) {
			alone[d] = true
		}
	}
	return slices.Sorted(maps.Keys(alone))
}

// entriesFor adds the entries that withdraw one digest, and returns the paths
// that vouch for it.
func entriesFor(entries map[string]metadata.Target, w Withdrawal, now time.Time, d digest.Digest, vouched []vouching) []string {
	n := &metadata.Notice{
		Digest: d, Reason: w.Reason, Advisory: w.Advisory, ReplacedBy: w.ReplacedBy, By: w.By, At: now.UTC().Truncate(time.Second),
	}
	entry := n.Entry()
	if d != w.Digest {
		entry = entry.WithStatement(metadata.Statement{Notice: n, Index: w.Digest})
	}
	entries[metadata.WithdrawnPath(d)] = entry
	var paths []string
	for _, v := range vouched {
		entries[v.path] = entry
		paths = append(paths, v.path)
	}
	return paths
}

// apply writes entries, and drops the paths that stand for a withdrawal which
// no longer concerns what they vouch for.
func apply(ctx context.Context, d *tuf.Draft, e delegations.Edge, list *metadata.Targets, entries map[string]metadata.Target, vouched []vouching) error {
	now := map[string]digest.Digest{}
	for _, v := range vouched {
		now[v.path] = v.digest
	}
	for _, path := range slices.Sorted(maps.Keys(list.Targets)) {
		s, err := list.Targets[path].Statement()
		current, isVouched := now[path]
		if err == nil && s.Notice != nil && isVouched && current != s.Notice.Digest {
			if err := d.DropTarget(ctx, e, path); err != nil {
				return err
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(entries)) {
		if err := d.SetTarget(ctx, e, path, entries[path]); err != nil {
			return err
		}
	}
	return nil
}

// Lift takes a withdrawal back, with the children that it took along.
func Lift(ctx context.Context, d *tuf.Draft, lifted digest.Digest) (*Outcome, error) {
	list, e, err := withdrawals(ctx, d)
	if err != nil {
		return nil, err
	}
	if _, ok := list.Targets[metadata.WithdrawnPath(lifted)]; !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotWithdrawn, lifted)
	}
	out := &Outcome{}
	for _, path := range slices.Sorted(maps.Keys(list.Targets)) {
		s, err := list.Targets[path].Statement()
		own := path == metadata.WithdrawnPath(lifted)
		if !own && (err != nil || s.Notice == nil || s.Notice.Digest != lifted && s.Index != lifted) {
			continue
		}
		if err := d.DropTarget(ctx, e, path); err != nil {
			return nil, err
		}
		if s.Notice != nil && path == metadata.WithdrawnPath(s.Notice.Digest) {
			out.Digests = append(out.Digests, s.Notice.Digest)
		} else {
			out.Paths = append(out.Paths, path)
		}
	}
	return out, nil
}

func withdrawals(ctx context.Context, d *tuf.Draft) (*metadata.Targets, delegations.Edge, error) {
	list, e, err := d.Withdrawals(ctx)
	if err == nil && list == nil {
		err = ErrNoWithdrawals
	}
	return list, e, err
}

// vouching is one entry of one role that vouches.
type vouching struct {
	role, path string
	digest     digest.Digest
	statement  metadata.Statement
}

// vouchings returns every entry of every role but the withdrawal role, of
// roles that verifiers accept. Hash
// bins are not looked through.
func vouchings(ctx context.Context, d *tuf.Draft) ([]vouching, error) {
	var out []vouching
	listed := func(e delegations.Edge) error {
		if e.Withdrawal {
			return nil
		}
		t, err := d.Open(ctx, e)
		if errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold) {
			return nil // nobody accepts what it lists
		}
		if err != nil {
			return err
		}
		for path, target := range t.Targets {
			// What cannot be read says nothing more than the digest.
			s, _ := target.Statement()
			out = append(out, vouching{role: e.Role, path: path, digest: target.Hashes.Digest(), statement: s})
		}
		return nil
	}
	err := errors.Join(listed(delegations.Edge{Role: metadata.RoleTargets}), d.Walk(ctx, listed))
	slices.SortFunc(out, func(a, b vouching) int { return strings.Compare(a.path, b.path) })
	return out, err
}
