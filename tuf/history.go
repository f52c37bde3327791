package tuf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// Change is one kept publication and what it changed against the one before.
type Change struct {
	Tag       string
	Root      int64
	Timestamp int64
	Identity  string
	Issued    time.Time // zero if the timestamp does not say
	Parents   int       // publications before it that it names
	// Roles are the files that differ, root first, then by name. Snapshot and
	// timestamp always do and are not among them.
	Roles []*Difference
	// Unknown says that what it changed cannot be told: the publication
	// before it is no longer kept.
	Unknown bool
	// Err is why the publication could not be read or verified, or nil.
	Err error
}

// History returns at most n of the kept states, the newest first. What the
// keys of the root of its time did not sign, or cannot be read, is in the list
// with its error.
func (r *Repository) History(ctx context.Context, n int) ([]Change, error) {
	state, err := r.Load(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	roots, err := r.Roots(ctx, state)
	if err != nil {
		return nil, err
	}
	entries = states(entries)
	revs := make([]*revision, 0, n)
	var out []Change
	for _, e := range entries[:min(len(entries), n+1)] {
		rev, err := r.readState(ctx, roots, e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		revs = append(revs, rev)
		out = append(out, Change{Tag: e.Tag, Root: e.Root, Timestamp: e.Version, Err: err})
	}
	for i := range out[:min(len(out), n)] {
		r.describe(ctx, &out[i], revs[i], revs[i+1:])
	}
	return out[:min(len(out), n)], nil
}

// readState reads a state and verifies it under the root that its tag names.
func (r *Repository) readState(ctx context.Context, roots map[int64]*metadata.File, e Entry) (*revision, error) {
	root := roots[e.Root]
	if root == nil {
		return nil, fmt.Errorf("%w: root version %d is not known here", errUnknownRoot, e.Root)
	}
	return r.readRevision(ctx, root, e)
}

// errUnknownRoot says that a state cannot be verified: it is from before the
// pinned root, or after the newest.
var errUnknownRoot = errors.New("not verified")

// states returns the states among entries, the newest first.
func states(entries []Entry) []Entry {
	out := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Draft })
	slices.SortFunc(out, func(a, b Entry) int { return CompareEntries(b, a) })
	return out
}

func (r *Repository) describe(ctx context.Context, c *Change, rev *revision, older []*revision) {
	if rev == nil {
		return
	}
	c.Identity, c.Parents = rev.id, len(rev.parents)
	if raw, err := r.opts.Journal.Fetch(ctx, rev.pub.Timestamp); err == nil {
		if f, err := metadata.Decode(metadata.RoleTimestamp, raw); err == nil && f.Timestamp.Carnet != nil {
			c.Issued = f.Timestamp.Carnet.Issued
		}
	}
	before := newestParent(rev, older)
	if before == nil {
		c.Unknown = len(rev.parents) > 0
		before = &revision{snapshot: &metadata.File{Snapshot: &metadata.Snapshot{}}}
	}
	if !c.Unknown {
		c.Roles, c.Err = r.changes(ctx, before, rev)
	}
}

func newestParent(rev *revision, older []*revision) *revision {
	for _, o := range older {
		if o != nil && rev.contains(o.id) {
			return o
		}
	}
	return nil
}

func (r *Repository) changes(ctx context.Context, before, after *revision) ([]*Difference, error) {
	var errs []error
	withdrawals, err := r.withdrawalRole(ctx, after)
	if err != nil {
		return nil, err
	}
	out, err := newRoots(before.root, after.root)
	errs = append(errs, err)
	for _, role := range slices.Sorted(maps.Keys(after.snapshot.Snapshot.Meta)) {
		if digestOf(before, role) == digestOf(after, role) {
			continue
		}
		was, err := r.role(ctx, before, role)
		now, nerr := r.role(ctx, after, role)
		if err := errors.Join(err, nerr); err != nil || now == nil {
			errs = append(errs, err)
			continue
		}
		d, err := Compare(delegations.Edge{Role: role, Withdrawal: role == withdrawals}, was, now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, d)
	}
	return out, errors.Join(errs...)
}

// newRoots returns what changed in root from one publication to the next.
func newRoots(before, after *metadata.File) ([]*Difference, error) {
	if before != nil && before.Version == after.Version {
		return nil, nil
	}
	d, err := Compare(delegations.Edge{Role: metadata.RoleRoot}, before, after)
	if err != nil {
		return nil, err
	}
	return []*Difference{d}, nil
}

// withdrawalRole returns the name of the withdrawal role, "" for none.
func (r *Repository) withdrawalRole(ctx context.Context, rev *revision) (string, error) {
	top, err := r.role(ctx, rev, metadata.RoleTargets)
	if err != nil || top == nil {
		return "", err
	}
	e, _ := delegations.Withdrawal(top.Targets)
	return e.Role, nil
}
