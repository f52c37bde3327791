package tuf

import (
	"context"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// updateRoot walks the chain of roots to its end (TUF 5.3), each step from
// whichever source offers it validly. A source that offers an invalid root
// takes no further part.
func (c *Client) updateRoot(ctx context.Context) error {
	for step := 0; ; step++ {
		if step == metadata.MaxRootSteps {
			return fmt.Errorf("%w: more than %d roots after version %d: pin a newer root", ErrInvalid, metadata.MaxRootSteps, c.root.Version)
		}
		next, err := c.nextRoot(ctx)
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		c.root = next
		c.rememberFloorRoot()
		if err := c.put(metadata.RoleRoot, next); err != nil { // 5.3.8
			return err
		}
	}
	// 5.3.10: the newest root must not be expired.
	if c.tooOld(c.root, c.opts.Now) {
		return expired(metadata.RoleRoot, c.root)
	}
	if c.opts.Floor.Root > c.root.Version {
		return fmt.Errorf("%w: root version %d, at least %d is demanded", ErrBelowFloor, c.root.Version, c.opts.Floor.Root)
	}
	return c.dropUntrusted()
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
		return nil, errors.Join(failed...)
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
	return NextRoot(c.root, raw)
}

// NextRoot verifies raw as the successor of trusted: signed by a threshold of
// both roots' keys (TUF 5.3.4), its version the next one (5.3.5).
func NextRoot(trusted *metadata.File, raw []byte) (*metadata.File, error) {
	f, err := metadata.Decode(metadata.RoleRoot, raw)
	if err != nil {
		return nil, err
	}
	for _, r := range []*metadata.Root{trusted.Root, f.Root} {
		if err := VerifyThreshold(metadata.RoleRoot, f, r.Keys, r.Roles[metadata.RoleRoot]); err != nil {
			return nil, err
		}
	}
	if f.Version != trusted.Version+1 {
		return nil, fmt.Errorf("%w: root version %d follows version %d", ErrInvalid, f.Version, trusted.Version)
	}
	if a, b := trusted.Root.Carnet, f.Root.Carnet; a != nil && (b == nil || a.ID != b.ID) {
		return nil, fmt.Errorf("%w: root version %d changes the publisher id", ErrInvalid, f.Version)
	}
	return f, nil
}

// dropUntrusted forgets a timestamp or snapshot that the newest root's keys
// do not vouch for: after a rotation versions may start again, so that a
// thief's leap to a high version does not lock anybody out (TUF 5.3.11). A
// key that was only added takes nothing away. Without its snapshot a
// timestamp goes too: it repeats the version that may have leapt.
func (c *Client) dropUntrusted() error {
	if c.snapshot != nil && c.verifyTop(metadata.RoleSnapshot, c.snapshot) != nil {
		c.snapshot, c.timestamp = nil, nil
		if err := errors.Join(c.forget(metadata.RoleTimestamp), c.forget(metadata.RoleSnapshot)); err != nil {
			return err
		}
	}
	if c.timestamp != nil && c.verifyTop(metadata.RoleTimestamp, c.timestamp) != nil {
		c.timestamp = nil
		return c.forget(metadata.RoleTimestamp)
	}
	return nil
}

// verifyTop checks a top-level file against the trusted root.
func (c *Client) verifyTop(role string, f *metadata.File) error {
	return VerifyThreshold(role, f, c.root.Root.Keys, c.root.Root.Roles[role])
}

func (c *Client) rememberFloorRoot() {
	if c.root.Version == c.opts.Floor.Root {
		c.floorRoot = c.root.Root
	}
}

// checkFloor refuses a timestamp below the floor (docs/spec.md, "Freshness").
func (c *Client) checkFloor(f *metadata.File) error {
	if f.Version >= c.opts.Floor.Timestamp || c.floorVoid() {
		return nil
	}
	return fmt.Errorf("%w: timestamp version %d, at least %d is demanded", ErrBelowFloor, f.Version, c.opts.Floor.Timestamp)
}

func (c *Client) floorVoid() bool {
	if c.floorRoot == nil {
		return false
	}
	listed := map[string]bool{}
	for _, id := range c.root.Root.Roles[metadata.RoleTimestamp].KeyIDs {
		listed[id] = true
	}
	for _, id := range c.floorRoot.Roles[metadata.RoleTimestamp].KeyIDs {
		if !listed[id] {
			return true
		}
	}
	return false
}

func expired(role string, f *metadata.File) error {
	return &ExpiredError{Role: role, Version: f.Version, Expires: f.Expires}
}

// transport marks an error of a source as none of the client's verdicts.
func transport(s Source, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, s, err)
}
