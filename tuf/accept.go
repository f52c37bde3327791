package tuf

import (
	"context"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// accept is the last look before a commit: a client that trusts what this
// writer started from must take the publication, by the same rules as every
// verifier but for expiry. It returns the timestamp.
func (r *Repository) accept(ctx context.Context, base *revision, pub *Publication) (*metadata.File, error) {
	store := MemoryStore{metadata.RoleSnapshot: base.snapshot.Raw}
	c, err := NewClient(Options{
		Root: base.root.Raw, Store: store, Sources: []Source{&held{pub: pub, journal: r.opts.Journal}}, Now: r.opts.Now(), AllowExpired: true,
	})
	if err != nil {
		return nil, err
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("what was made would be refused by verifiers, nothing was committed: %w", err)
	}
	for role, m := range c.Snapshot().Snapshot.Meta {
		if was := base.snapshot.Snapshot.Meta[role]; was.Hashes.Digest() == m.Hashes.Digest() {
			continue
		}
		if err := r.acceptRole(ctx, c, base, role); err != nil {
			return nil, fmt.Errorf("what was made would be refused by verifiers, nothing was committed: %w", err)
		}
	}
	return c.Timestamp(), nil
}

// acceptRole opens a role that base has otherwise, and the roles that it
// delegates to by other keys than in base: their files may be the old ones.
// What base gave up stays given up.
func (r *Repository) acceptRole(ctx context.Context, c *Client, base *revision, role string) error {
	e, t, err := acceptFile(ctx, c, role)
	if t == nil || err != nil {
		return err
	}
	before, err := r.role(ctx, base, role)
	if err != nil && !errors.Is(err, errForeign) { // what base's readers refuse gave nothing up
		return err
	}
	if takesBack(e, before, c.roles[role]) {
		return fmt.Errorf("%w: %w: choose a new name, or other keys", ErrImpossible, takenBack(role, before.Version, c.roles[role]))
	}
	if t.Delegations == nil {
		return nil
	}
	was := &metadata.Delegations{}
	if before != nil {
		was = orEmpty(before.Targets.Delegations)
	}
	for _, d := range t.Delegations.Roles {
		if _, listed := c.Snapshot().Snapshot.Meta[d.Name]; !listed || sameDelegation(find(was, d.Name), &d) {
			continue
		}
		if _, _, err := acceptFile(ctx, c, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// acceptFile opens a role along the delegation that leads to it, or returns
// nil if none does: then it is read by nobody.
func acceptFile(ctx context.Context, c *Client, role string) (e delegations.Edge, t *metadata.Targets, err error) {
	if e, err = c.Edge(ctx, role); err == nil {
		t, err = c.Open(ctx, e)
	}
	if t == nil && errors.Is(err, ErrUnknownRole) {
		err = nil
	}
	return e, t, err
}

// held serves one publication: a Source of what is not published yet.
type held struct {
	pub     *Publication
	journal Journal
	roots   map[int64][]byte // of the root pack, once it was read
}

func (h *held) String() string { return "the publication in the making" }

func (h *held) Root(ctx context.Context, version int64) ([]byte, error) {
	for _, f := range h.pub.Roots {
		if f.Version == version {
			return h.journal.Fetch(ctx, f)
		}
	}
	if p := h.pub; p.RootPack.Digest != "" && version < p.Roots[0].Version {
		return h.packed(ctx, version)
	}
	return nil, fmt.Errorf("%w: root version %d", ErrNotFound, version)
}

func (h *held) packed(ctx context.Context, version int64) ([]byte, error) {
	if h.roots == nil {
		raw, err := h.journal.Fetch(ctx, h.pub.RootPack)
		if err != nil {
			return nil, err
		}
		if h.roots, err = UnpackRoots(raw); err != nil {
			return nil, err
		}
	}
	if h.roots[version] == nil {
		return nil, fmt.Errorf("%w: root version %d", ErrNotFound, version)
	}
	return h.roots[version], nil
}

func (h *held) Timestamp(ctx context.Context) ([]byte, error) {
	return h.journal.Fetch(ctx, h.pub.Timestamp)
}

func (h *held) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	f, ok := h.pub.Snapshot, true
	if role != metadata.RoleSnapshot {
		f, ok = h.pub.Role(role)
	}
	if !ok || f.Version != want.Version {
		return nil, fmt.Errorf("%w: %s version %d", ErrNotFound, role, want.Version)
	}
	return h.journal.Fetch(ctx, f)
}
