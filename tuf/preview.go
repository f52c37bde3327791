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

// Changes returns what the draft changes, file by file, root first, delegators
// before those they trust. A role whose keys alone changed is in the list: its
// file is signed again, or stands where enough of its signatures still count.
// Snapshot and timestamp, which every publication signs, are not.
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
	out := d.rootChange()
	for _, e := range edges {
		c, err := d.roleChange(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// rootChange returns what changes in root, if there will be a new one.
func (d *Draft) rootChange() []*Difference {
	was := d.state.Root()
	if !d.newRoot() {
		return nil
	}
	after := *d.root // as it will be signed
	after.Version, after.Expires = was.Version+1, d.expires(metadata.RoleRoot)
	return []*Difference{CompareRoot(was.Root, &after)}
}

// newRoot reports whether a new root will be signed.
func (d *Draft) newRoot() bool {
	return d.root != nil && (d.renewed[metadata.RoleRoot] || d.finished[metadata.RoleRoot] != nil || !d.root.SameContent(d.state.Root().Root))
}

func (d *Draft) roleChange(ctx context.Context, e delegations.Edge) (*Difference, error) {
	before, err := d.state.opened(ctx, e.Role)
	if err != nil {
		return nil, err
	}
	base := d.state.rev
	after := *d.edited[e.Role] // as it will be signed
	after.Expires = d.expires(e.Role)
	after.Version, err = nextVersion(base, e.Role, leapt(&metadata.File{Root: d.Root()}, base))
	return CompareTargets(e, before, &after), err
}

func (d *Draft) expires(role string) time.Time {
	if f := d.finished[role]; f != nil {
		return f.Expires
	}
	return d.Now().UTC().Truncate(time.Second).Add(expiry(d.Root(), role))
}

// opened returns the role's file as the state has it, nil if nobody is
// trusted with the role there. One that verifiers refuse says nothing.
func (s *State) opened(ctx context.Context, role string) (*metadata.Targets, error) {
	open := func(e delegations.Edge) (*metadata.Targets, error) { return s.client.Open(ctx, e) }
	e, err := findEdge(role, open)
	if errors.Is(err, ErrUnknownRole) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := open(e)
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold) {
		version := s.Snapshot().Snapshot.Meta[role].Version
		return &metadata.Targets{Header: metadata.Header{Version: version}}, nil
	}
	return t, err
}
