package tuf

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// updateTargets opens the top-level targets role (TUF 5.6).
func (c *Client) updateTargets(ctx context.Context) error {
	_, err := c.Targets(ctx)
	return err
}

// Targets returns the trusted top-level targets.
func (c *Client) Targets(ctx context.Context) (*metadata.Targets, error) {
	return c.Open(ctx, c.top())
}

func (c *Client) top() delegations.Edge {
	return delegations.Edge{
		Parent: metadata.RoleRoot, Role: metadata.RoleTargets,
		Keys: c.root.Root.Keys, RoleKeys: c.root.Root.Roles[metadata.RoleTargets],
		Chain: []string{metadata.RoleTargets},
	}
}

// Edge finds the delegation that leads to role, the nearest to targets if
// there are several. It fails with ErrUnknownRole.
func (c *Client) Edge(ctx context.Context, role string) (delegations.Edge, error) {
	return findEdge(role, func(e delegations.Edge) (*metadata.Targets, error) { return c.Open(ctx, e) })
}

// Open returns the file of the role at the end of e, verified against the
// keys of that delegation: two delegators of one role each need their own
// threshold of signatures.
func (c *Client) Open(ctx context.Context, e delegations.Edge) (*metadata.Targets, error) {
	f, err := c.OpenFile(ctx, e)
	if err != nil {
		return nil, err
	}
	return f.Targets, nil
}

// OpenFile is Open, and returns the whole file.
func (c *Client) OpenFile(ctx context.Context, e delegations.Edge) (*metadata.File, error) {
	if !c.current {
		return nil, fmt.Errorf("open %s: the client was not refreshed", e.Role)
	}
	if e.Role == metadata.RoleTargets {
		e = c.top()
	}
	f, isNew, err := c.roleFile(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := c.checkRole(e, f); err != nil {
		return nil, err
	}
	if c.tooOld(f, c.opts.Now) { // 5.6.5
		return nil, expired(e.Role, f)
	}
	c.roles[e.Role] = f
	if err := c.remember(e, f); err != nil {
		return nil, err
	}
	if isNew {
		return f, c.put(e.Role, f) // 5.6.6
	}
	return f, nil
}

func (c *Client) verifyEdge(e delegations.Edge, f *metadata.File) error {
	key := edge{e.Parent, e.Role}
	if c.edges[key] == f {
		return nil
	}
	if err := VerifyThreshold(e.Role, f, e.Keys, e.RoleKeys); err != nil { // 5.6.3
		return err
	}
	c.edges[key] = f
	return nil
}

// checkRole verifies a file of the role at the end of e.
func (c *Client) checkRole(e delegations.Edge, f *metadata.File) error {
	if err := c.verifyEdge(e, f); err != nil {
		return err
	}
	return c.checkMark(e, f)
}

// roleFile returns the file of e's role that snapshot names: from memory, from
// the store, or from a source, and then it is new.
func (c *Client) roleFile(ctx context.Context, e delegations.Edge) (f *metadata.File, isNew bool, err error) {
	if f := c.roles[e.Role]; f != nil {
		return f, false, nil
	}
	want, ok := c.snapshot.Snapshot.Meta[e.Role]
	if !ok {
		return nil, false, fmt.Errorf("%w: snapshot version %d does not list the role %q", ErrInvalid, c.snapshot.Version, e.Role)
	}
	had, err := c.stored(e.Role)
	if err != nil {
		return nil, false, err
	}
	if had != nil && checkFile(e.Role, had, want) == nil && (want.Hashes != nil || c.verifyEdge(e, had) == nil) {
		return had, false, nil
	}
	f, err = c.fetch(ctx, e.Role, want, func(f *metadata.File) error { return c.checkRole(e, f) }) // 5.6.1
	return f, err == nil, err
}

// Finding is what a search for a target path came to.
type Finding struct {
	Path   string
	Listed bool // some role vouches for the path, and those agree that must
	Target metadata.Target
	Role   string   // the role whose entry it is
	Chain  []string // "root", "targets", …, Role
	Denied bool     // the withdrawal role lists the path
	// Agreeing are the roles whose agreement was needed and is there.
	Agreeing []string
	// Disagreement says why an entry that was found does not count; nil if it
	// does, or if there is none.
	Disagreement *delegations.Disagreement
	Visited      []string         // roles opened, in order
	Version      map[string]int64 // versions of the roles opened
}

// Lookup searches for path through the delegations (TUF 5.6.7). That nothing
// lists it, or that roles do not agree which must, is no error. Entries of the
// withdrawal role never vouch.
func (c *Client) Lookup(ctx context.Context, path string) (*Finding, error) {
	s := delegations.NewSearch(path)
	for e, ok := s.Next(); ok; e, ok = s.Next() {
		t, err := c.Open(ctx, e)
		if err == nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
		if err != nil {
			return nil, fmt.Errorf("search for %s: %w", path, err)
		}
		if err := s.Visit(e, t); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return c.finding(path, s), nil
}

func (c *Client) finding(path string, s *delegations.Search) *Finding {
	f := &Finding{Path: path, Visited: s.Visited(), Version: map[string]int64{}}
	for _, role := range f.Visited {
		f.Version[role] = c.roles[role].Version
	}
	_, f.Denied = s.Denied()
	f.Disagreement = s.Disagreed()
	if hit, ok := s.Found(); ok {
		f.Listed, f.Target, f.Role, f.Agreeing = true, hit.Target, hit.Role, hit.Agreeing
		f.Chain = append([]string{metadata.RoleRoot}, hit.Chain...)
	}
	return f
}

// Withdrawn returns the notice by which the publisher withdrew the artifact
// with digest d, or nil. It fails closed: an entry whose notice cannot be
// read withdraws all the same.
func (c *Client) Withdrawn(ctx context.Context, d digest.Digest) (*metadata.Notice, error) {
	top, err := c.Targets(ctx)
	if err != nil {
		return nil, err
	}
	e, ok := delegations.Withdrawal(top)
	if !ok {
		return nil, nil
	}
	t, err := c.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	return NoticeIn(t, d), nil
}

// NoticeIn returns the notice that withdraws d in the withdrawal role's file.
func NoticeIn(t *metadata.Targets, d digest.Digest) *metadata.Notice {
	entry, ok := t.Targets[metadata.WithdrawnPath(d)]
	if !ok {
		return nil
	}
	s, err := entry.Statement()
	if err != nil || s.Notice == nil || s.Notice.Digest != d {
		return &metadata.Notice{Digest: d, Reason: "withdrawn; the notice cannot be read"}
	}
	return s.Notice
}

// RoleFile returns the file of targets or of a delegated role that this client
// opened and verified, or nil.
func (c *Client) RoleFile(role string) *metadata.File { return c.roles[role] }
