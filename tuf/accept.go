package tuf

import (
	"context"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// accept is the last look before a commit: a client that trusts what this
// writer started from must take the publication, by the same rules as every
// verifier but for expiry. It returns the timestamp.
func (r *Repository) accept(ctx context.Context, root *metadata.File, base *revision, pub *Publication) (*metadata.File, error) {
	store := MemoryStore{metadata.RoleSnapshot: base.snapshot.Raw}
	c, err := NewClient(Options{
		Root: root.Raw, Store: store, Sources: []Source{&held{pub, r.opts.Journal}}, Now: r.opts.Now(), AllowExpired: true,
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
		if err := acceptRole(ctx, c, role); err != nil {
			return nil, fmt.Errorf("what was made would be refused by verifiers, nothing was committed: %w", err)
		}
	}
	return c.Timestamp(), nil
}

// acceptRole opens a role along the delegation that leads to it. One to which
// nothing leads is read by nobody.
func acceptRole(ctx context.Context, c *Client, role string) error {
	e, err := c.Edge(ctx, role)
	if errors.Is(err, ErrUnknownRole) {
		return nil
	}
	if err == nil {
		_, err = c.Open(ctx, e)
	}
	return err
}

// held serves one publication: a Source of what is not published yet.
type held struct {
	pub     *Publication
	journal Journal
}

func (h *held) String() string { return "the publication in the making" }

func (h *held) Root(ctx context.Context, version int64) ([]byte, error) {
	for _, f := range h.pub.Roots {
		if f.Version == version {
			return h.journal.Fetch(ctx, f)
		}
	}
	return nil, fmt.Errorf("%w: root version %d", ErrNotFound, version)
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
