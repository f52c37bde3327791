package tuf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// updateRoot walks the chain of roots to its end (TUF 5.3), each step from
// whichever source offers it validly. A source that offers an invalid root
// takes no further part.
func (c *Client) updateRoot(ctx context.Context) error {
	for range metadata.MaxRootSteps { // 5.3.3: more are left to the next update
		next, err := c.nextRoot(ctx)
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		c.root, c.saved = next, true                           // 5.3.7
		if err := c.put(metadata.RoleRoot, next); err != nil { // 5.3.8
			return err
		}
	}
	if err := c.saveRoot(); err != nil {
		return err
	}
	// 5.3.10: the newest root must not be expired; those on the way may be.
	if c.tooOld(c.root, c.opts.Now) {
		return expired(metadata.RoleRoot, c.root)
	}
	c.tellConsistent()
	return c.confirmKnown()
}

// saveRoot stores a root that was pinned and has no successor, so that the
// store is complete.
func (c *Client) saveRoot() error {
	if c.saved || len(c.opts.Sources) == 0 {
		return nil
	}
	c.saved = true
	return c.put(metadata.RoleRoot, c.root)
}

// tellConsistent tells sources by which names files are to be asked for
// (TUF 5.3.12).
func (c *Client) tellConsistent() {
	for _, s := range c.sources {
		if n, ok := s.(Naming); ok {
			n.SetConsistentSnapshot(c.root.Root.ConsistentSnapshot)
		}
	}
}

// nextRoot returns the root after the trusted one, or nil at the end.
func (c *Client) nextRoot(ctx context.Context) (*metadata.File, error) {
	var failed []error
	var next *metadata.File
	kept := c.sources[:0:0]
	for _, s := range c.sources {
		if next != nil {
			kept = append(kept, s)
			continue
		}
		f, err := c.offeredRoot(ctx, s)
		if err != nil {
			c.note(s, err)
			failed = append(failed, err)
			continue
		}
		next, kept = f, append(kept, s)
	}
	c.sources = kept
	if len(kept) == 0 && len(failed) > 0 {
		return nil, verdict(failed)
	}
	return next, nil
}

func (c *Client) offeredRoot(ctx context.Context, s Source) (*metadata.File, error) {
	raw, err := s.Root(ctx, c.root.Version+1) // 5.3.3
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, transport(s, err)
	}
	f, err := nextRoot(c.root, raw)
	if err == nil && f.Version == c.root.Version { // 5.3.5: discard, and go on
		return nil, nil
	}
	return f, err
}

// NextRoot verifies raw as the successor of trusted: signed by a threshold of
// both roots' keys (TUF 5.3.4), its version the next one (5.3.5).
func NextRoot(trusted *metadata.File, raw []byte) (*metadata.File, error) {
	f, err := nextRoot(trusted, raw)
	if err == nil && f.Version == trusted.Version {
		return nil, wrongRootVersion(trusted, f)
	}
	return f, err
}

// nextRoot is NextRoot, and also returns a root of the trusted version.
func nextRoot(trusted *metadata.File, raw []byte) (*metadata.File, error) {
	f, err := metadata.Decode(metadata.RoleRoot, raw)
	if err != nil {
		return nil, err
	}
	for _, r := range []*metadata.Root{trusted.Root, f.Root} {
		if err := VerifyThreshold(metadata.RoleRoot, f, r.Keys, r.Roles[metadata.RoleRoot]); err != nil {
			return nil, err
		}
	}
	if f.Version < trusted.Version {
		return nil, &RollbackError{File: metadata.RoleRoot, Trusted: trusted.Version, Offered: f.Version}
	}
	if f.Version > trusted.Version+1 {
		return nil, wrongRootVersion(trusted, f)
	}
	return f, samePublisher(trusted.Root, f)
}

func wrongRootVersion(trusted, f *metadata.File) error {
	return fmt.Errorf("%w: root version %d where version %d was asked for", ErrInvalid, f.Version, trusted.Version+1)
}

// samePublisher refuses a root that takes the publisher's id away or changes
// it: the id never changes (docs/spec.md, "Signed extensions").
func samePublisher(trusted *metadata.Root, f *metadata.File) error {
	a, b := trusted.Carnet, f.Root.Carnet
	if a != nil && (b == nil || a.ID != b.ID) {
		return fmt.Errorf("%w: root version %d changes the publisher id", ErrInvalid, f.Version)
	}
	return nil
}

// verifyOwn checks a root against the keys that it lists itself.
func verifyOwn(f *metadata.File) error {
	return VerifyThreshold(metadata.RoleRoot, f, f.Root.Keys, f.Root.Roles[metadata.RoleRoot])
}

// verifyTop checks a top-level file against the trusted root.
func (c *Client) verifyTop(role string, f *metadata.File) error {
	return VerifyThreshold(role, f, c.root.Root.Keys, c.root.Root.Roles[role])
}

// tooOld reports whether f is expired at t and the caller cares.
func (c *Client) tooOld(f *metadata.File, t time.Time) bool {
	return !c.opts.AllowExpired && f.ExpiredAt(t)
}

func expired(role string, f *metadata.File) error {
	return &ExpiredError{Role: role, Version: f.Version, Expires: f.Expires}
}

// transport marks an error of a source as none of the client's verdicts.
func transport(s Source, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, s, err)
}
