package tuf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/carnet-project/carnet/metadata"
)

// loadStore takes up the state of the last update. A stored file that is
// damaged is dropped, as if it had never been seen, and noted: with it goes
// the protection that it gave against rollback.
func (c *Client) loadStore() error {
	if err := errors.Join(c.loadRoot(), c.loadMarks()); err != nil {
		return err
	}
	var err error
	if c.known.timestamp, err = c.stored(metadata.RoleTimestamp); err != nil {
		return err
	}
	c.known.snapshot, err = c.stored(metadata.RoleSnapshot)
	return err
}

// loadRoot prefers the stored root to the pinned one if it is newer: a root
// pinned later than the stored one was pinned to recover.
func (c *Client) loadRoot() error {
	f, err := c.stored(metadata.RoleRoot)
	if f == nil {
		return err
	}
	if err := c.checkStoredRoot(f); err != nil {
		c.noteState(err)
		return nil
	}
	if f.Version > c.root.Version {
		c.root = f
	}
	c.saved = bytes.Equal(f.Raw, c.root.Raw)
	return nil
}

// checkStoredRoot tells a root that was accepted once from one that damage or
// a mistake put in its place. The keys that vouched for it when it was
// accepted are not at hand any more; its own must.
func (c *Client) checkStoredRoot(f *metadata.File) error {
	if err := verifyOwn(f); err != nil {
		return err
	}
	if f.Version > c.root.Version {
		return samePublisher(c.root.Root, f)
	}
	return nil
}

// stored decodes a file of the store, or returns nil if there is none.
func (c *Client) stored(role string) (*metadata.File, error) {
	raw, err := c.opts.Store.Get(role)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("trusted state: %w", err)
	}
	f, err := metadata.Decode(role, raw)
	if err != nil {
		c.noteState(err)
		return nil, nil
	}
	return f, nil
}

func (c *Client) noteState(err error) {
	c.notes = append(c.notes, Note{Source: "trusted state", Err: fmt.Errorf("dropped as damaged: %w", err)})
}

// confirmKnown trusts the timestamp and the snapshot of the last update if the
// newest root's keys vouch for them, and else forgets them: after a rotation
// versions may start again, so that a thief's leap to a high version locks
// nobody out (TUF 5.3.11). A key that was only added takes nothing away.
// Without its snapshot a timestamp goes too: it repeats the version that may
// have leapt.
func (c *Client) confirmKnown() error {
	timestamp, snapshot := c.known.timestamp, c.known.snapshot
	if snapshot != nil && c.verifyTop(metadata.RoleSnapshot, snapshot) != nil {
		timestamp, snapshot = nil, nil
	}
	if timestamp != nil && c.verifyTop(metadata.RoleTimestamp, timestamp) != nil {
		timestamp = nil
	}
	c.timestamp, c.snapshot = timestamp, snapshot
	// Without a source the newest root may be older than the one that the
	// state was accepted under.
	if len(c.opts.Sources) == 0 {
		return nil
	}
	return errors.Join(
		c.forgetUnless(metadata.RoleTimestamp, c.known.timestamp == timestamp),
		c.forgetUnless(metadata.RoleSnapshot, c.known.snapshot == snapshot))
}

func (c *Client) put(role string, f *metadata.File) error { return c.putRaw(role, f.Raw) }

func (c *Client) putRaw(name string, raw []byte) error {
	if err := c.opts.Store.Put(name, raw); err != nil {
		return fmt.Errorf("trusted state: %s: %w", name, err)
	}
	return nil
}

func (c *Client) forgetUnless(role string, kept bool) error {
	if kept {
		return nil
	}
	if err := c.opts.Store.Delete(role); err != nil {
		return fmt.Errorf("trusted state: %s: %w", role, err)
	}
	return nil
}
