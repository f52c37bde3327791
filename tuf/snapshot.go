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
		var err error
		if f, err = c.fetch(ctx, metadata.RoleSnapshot, want, c.checkSnapshot); err != nil { // 5.5.1
			return err
		}
	}
	if c.tooOld(f, c.opts.Now.Add(-c.opts.MaxStaleness)) { // 5.5.6
		return expired(metadata.RoleSnapshot, f)
	}
	c.current = true
	if f == c.snapshot {
		return nil
	}
	c.snapshot = f
	return c.put(metadata.RoleSnapshot, f) // 5.5.7
}

// checkSnapshot verifies a new snapshot and holds it against the trusted one.
func (c *Client) checkSnapshot(f *metadata.File) error {
	if err := c.verifyTop(metadata.RoleSnapshot, f); err != nil { // 5.5.3
		return err
	}
	if c.snapshot == nil {
		return nil
	}
	for role, was := range c.snapshot.Snapshot.Meta { // 5.5.5
		if now := f.Snapshot.Meta[role]; now.Version < was.Version {
			return &RollbackError{File: metadata.RoleSnapshot, Listed: role, Trusted: was.Version, Offered: now.Version}
		}
	}
	return nil
}

// fetch asks the sources in turn for a file that signed metadata describes,
// and returns the first that is that file and passes check. Where the author
// gave hashes it does not matter who gives it; where not, one source may have
// the right file and another not.
func (c *Client) fetch(ctx context.Context, role string, want metadata.MetaFile, check func(*metadata.File) error) (*metadata.File, error) {
	var failed []error
	for _, s := range c.ordered() {
		f, err := offeredFile(ctx, s, role, want)
		if err == nil {
			err = check(f)
		}
		if err == nil {
			return f, nil
		}
		c.note(s, err)
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("%w: %s version %d is not stored here", ErrUnreachable, role, want.Version)
	}
	return nil, verdict(failed)
}

// offeredFile asks one source for a file.
func offeredFile(ctx context.Context, s Source, role string, want metadata.MetaFile) (*metadata.File, error) {
	raw, err := s.File(ctx, role, want)
	if err != nil {
		return nil, transport(s, err)
	}
	return decodeChecked(role, raw, want)
}

// decodeChecked checks length and hashes before anything is parsed (TUF 5.5.2,
// 5.6.2), then the version (5.5.4, 5.6.4).
func decodeChecked(role string, raw []byte, want metadata.MetaFile) (*metadata.File, error) {
	if err := checkBytes(role, raw, want); err != nil {
		return nil, err
	}
	f, err := metadata.Decode(role, raw)
	if err != nil {
		return nil, err
	}
	return f, checkVersion(role, f, want)
}

// ordered returns the sources, the one that gave the timestamp first.
func (c *Client) ordered() []Source {
	out := make([]Source, 0, len(c.sources))
	for _, s := range c.sources {
		if s.String() == c.Source() { // sources need not be comparable
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
	if want.Length >= 0 && int64(len(raw)) != want.Length {
		return fmt.Errorf("%w: %s version %d: %d bytes where %d are signed for", ErrInvalid, role, want.Version, len(raw), want.Length)
	}
	if want.Hashes == nil {
		return nil
	}
	if err := want.Hashes.Verify(raw); err != nil {
		return fmt.Errorf("%w: %s version %d: %w", ErrInvalid, role, want.Version, err)
	}
	return nil
}

func checkVersion(role string, f *metadata.File, want metadata.MetaFile) error {
	if f.Version != want.Version {
		return fmt.Errorf("%w: %s: version %d where version %d is signed for", ErrInvalid, role, f.Version, want.Version)
	}
	return nil
}

// checkFile holds a decoded file against what signed metadata says of it.
func checkFile(role string, f *metadata.File, want metadata.MetaFile) error {
	if err := checkBytes(role, f.Raw, want); err != nil {
		return err
	}
	return checkVersion(role, f, want)
}
