package tuf

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// Preview returns what change would publish, delegators first, and publishes
// nothing. Paths are those of [Repository.Publish].
func (r *Repository) Preview(ctx context.Context, paths []string, change func(context.Context, *Draft) error) ([]*Difference, error) {
	state, err := r.Load(ctx, paths...)
	if err != nil {
		return nil, err
	}
	d := newDraft(state, r.opts.Keys)
	if err := change(ctx, d); err != nil {
		return nil, err
	}
	return d.Changes(ctx)
}

// Changes returns what the draft changes, file by file, delegators first. A
// role whose keys alone changed is in the list: its file is signed again, or
// stands where enough of its signatures still count. Snapshot and timestamp,
// which every publication signs, are not.
func (d *Draft) Changes(ctx context.Context) ([]*Difference, error) {
	var edges []delegations.Edge
	for role := range d.edited {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return nil, err
		}
		edges = append(edges, e)
	}
	slices.SortFunc(edges, func(a, b delegations.Edge) int {
		return cmp.Or(cmp.Compare(len(a.Chain), len(b.Chain)), strings.Compare(a.Role, b.Role))
	})
	var out []*Difference
	for _, e := range edges {
		c, err := d.compare(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (d *Draft) compare(ctx context.Context, e delegations.Edge) (*Difference, error) {
	before, err := d.state.opened(ctx, e.Role)
	if err != nil {
		return nil, err
	}
	// As the file will be signed.
	after := *d.edited[e.Role]
	after.Version = d.state.Snapshot().Snapshot.Meta[e.Role].Version + 1
	after.Expires = d.Now().UTC().Truncate(time.Second).Add(expiry(d.Root(), e.Role))
	return CompareTargets(e, before, &after), nil
}

// opened returns the role's file as the state has it, nil if nobody is
// trusted with the role there.
func (s *State) opened(ctx context.Context, role string) (*metadata.Targets, error) {
	open := func(e delegations.Edge) (*metadata.Targets, error) { return s.client.Open(ctx, e) }
	e, err := findEdge(role, open)
	if errors.Is(err, ErrUnknownRole) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return open(e)
}
