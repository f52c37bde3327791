package tuf

import (
	"context"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// updateSnapshot takes the snapshot that the trusted timestamp names (TUF 5.5).
func (c *Client) updateSnapshot(ctx context.Context) error {
	want := c.timestamp.Timestamp.Snapshot
	f := c.snapshot
	if f == nil || checkFile(metadata.RoleSnapshot, f, want) != nil {
		raw, err := c.fetch(ctx, metadata.RoleSnapshot, want) // 5.5.1
		if err != nil {
			return err
		}
		if f, err = c.newSnapshot(raw, want); err != nil {
			return err
		}
	}
	if c.tooOld(f, c.opts.Now.Add(-c.opts.MaxStaleness)) { // 5.5.6
		return expired(metadata.RoleSnapshot, f)
	}
	if f == c.snapshot {
		return nil
	}
	c.snapshot = f
	return c.put(metadata.RoleSnapshot, f) // 5.5.7
}

func (c *Client) newSnapshot(raw []byte, want metadata.MetaFile) (*metadata.File, error) {
	f, err := decodeChecked(metadata.RoleSnapshot, raw, want) // 5.5.2, 5.5.4
	if err != nil {
		return nil, err
	}
	if err := c.verifyTop(metadata.RoleSnapshot, f); err != nil { // 5.5.3
		return nil, err
	}
	if c.snapshot == nil {
		return f, nil
	}
	for role, was := range c.snapshot.Snapshot.Meta { // 5.5.5
		if now := f.Snapshot.Meta[role]; now.Version < was.Version {
			return nil, &RollbackError{File: metadata.RoleSnapshot, Listed: role, Trusted: was.Version, Offered: now.Version}
		}
	}
	return f, nil
}

// fetch asks the sources in turn for a file that signed metadata describes,
// and returns the first that is that file as far as its length and hashes
// tell. With hashes it does not matter who gives it.
func (c *Client) fetch(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	var failed []error
	for _, s := range c.ordered() {
		raw, err := s.File(ctx, role, want)
		if err != nil {
			err = transport(s, err)
		} else if err = checkBytes(role, raw, want); err == nil {
			return raw, nil
		}
		c.note(s, err)
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("%w: %s version %d is not stored here", ErrUnreachable, role, want.Version)
	}
	return nil, verdict(failed)
}

// ordered returns the sources, the one that gave the timestamp first.
func (c *Client) ordered() []Source {
	out := make([]Source, 0, len(c.sources))
	for _, s := range c.sources {
		if s.String() == c.from {
			out = append([]Source{s}, out...)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// checkBytes holds bytes against the length and hashes that signed metadata
// gives, where it gives any (TUF 5.5.2, 5.6.2).
func checkBytes(role string, raw []byte, want metadata.MetaFile) error {
	if want.Length >= 0 && int64(len(raw)) > want.Length {
		return fmt.Errorf("%w: %s version %d: longer than the %d bytes that are signed for it", ErrInvalid, role, want.Version, want.Length)
	}
	if want.Hashes == nil {
		return nil
	}
	if err := want.Hashes.Verify(raw); err != nil {
		return fmt.Errorf("%w: %s version %d: %w", ErrInvalid, role, want.Version, err)
	}
	return nil
}

// checkFile holds a decoded file against what signed metadata says of it.
func checkFile(role string, f *metadata.File, want metadata.MetaFile) error {
	if err := checkBytes(role, f.Raw, want); err != nil {
		return err
	}
	if f.Version != want.Version {
		return fmt.Errorf("%w: %s: version %d where version %d is signed for", ErrInvalid, role, f.Version, want.Version)
	}
	return nil
}

func decodeChecked(role string, raw []byte, want metadata.MetaFile) (*metadata.File, error) {
	f, err := metadata.Decode(role, raw)
	if err != nil {
		return nil, err
	}
	return f, checkFile(role, f, want)
}
