package tuf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// MaxClockSkew is how far in the future a timestamp may say it was issued.
const MaxClockSkew = 5 * time.Minute

// offer is a timestamp that passed every check, and who offered it.
type offer struct {
	file   *metadata.File
	source Source
}

// updateTimestamp takes the newest timestamp that any source offers (TUF 5.4).
func (c *Client) updateTimestamp(ctx context.Context) error {
	best, err := c.bestTimestamp(ctx)
	if err != nil {
		return err
	}
	f := c.timestamp
	if best.file != nil {
		f = best.file
	}
	if f == nil {
		return fmt.Errorf("%w: nothing is known of this publisher yet", ErrUnreachable)
	}
	if err := c.checkIssued(f); err != nil {
		return err
	}
	if c.tooOld(f, c.opts.Now.Add(-c.opts.MaxStaleness)) { // 5.4.4
		return expired(metadata.RoleTimestamp, f)
	}
	if best.file == nil {
		return nil
	}
	c.timestamp, c.from = f, best.source
	return c.put(metadata.RoleTimestamp, f) // 5.4.5
}

// bestTimestamp asks every source. The zero offer says that the trusted
// timestamp is still the newest; an error that no source offers one as new.
func (c *Client) bestTimestamp(ctx context.Context) (offer, error) {
	var best offer
	var failed []error
	current := false // some source offers what is trusted already
	for _, s := range c.sources {
		f, err := c.offeredTimestamp(ctx, s)
		switch {
		case err != nil:
			c.note(s, err)
			failed = append(failed, err)
		case f == nil:
			current = true
		case best.file == nil || newer(f, best.file):
			best = offer{f, s}
		}
	}
	if best.file == nil && !current && len(c.opts.Sources) > 0 {
		return offer{}, verdict(failed)
	}
	return best, nil
}

// offeredTimestamp returns a source's timestamp, or nil if it is no newer
// than the trusted one.
func (c *Client) offeredTimestamp(ctx context.Context, s Source) (*metadata.File, error) {
	raw, err := s.Timestamp(ctx) // 5.4.1
	if err != nil {
		return nil, transport(s, err)
	}
	if c.timestamp != nil && bytes.Equal(raw, c.timestamp.Raw) {
		return nil, nil
	}
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	if err != nil {
		return nil, err
	}
	if err := c.verifyTop(metadata.RoleTimestamp, f); err != nil { // 5.4.2
		return nil, err
	}
	if err := c.checkIssued(f); err != nil {
		return nil, err
	}
	if c.timestamp == nil {
		return f, nil
	}
	if f.Version < c.timestamp.Version { // 5.4.3.1
		return nil, &RollbackError{File: metadata.RoleTimestamp, Trusted: c.timestamp.Version, Offered: f.Version}
	}
	if f.Version == c.timestamp.Version { // 5.4.3.1: keep what is trusted
		c.forked = true
		return nil, nil
	}
	if was, now := c.timestamp.Timestamp.Snapshot.Version, f.Timestamp.Snapshot.Version; now < was { // 5.4.3.2
		return nil, &RollbackError{File: metadata.RoleTimestamp, Listed: metadata.RoleSnapshot, Trusted: was, Offered: now}
	}
	return f, nil
}

// newer orders valid timestamps: by version, then by SHA-256. Several writers
// may commit one version each; their successor contains both.
func newer(a, b *metadata.File) bool {
	if a.Version != b.Version {
		return a.Version > b.Version
	}
	x, y := sha256.Sum256(a.Raw), sha256.Sum256(b.Raw)
	return bytes.Compare(x[:], y[:]) > 0
}

// checkIssued refuses a timestamp from the future: its age would be a lie.
func (c *Client) checkIssued(f *metadata.File) error {
	x, clock := f.Timestamp.Carnet, c.opts.Now
	if c.opts.Clock.After(clock) {
		clock = c.opts.Clock
	}
	if x != nil && x.Issued.After(clock.Add(MaxClockSkew)) {
		return fmt.Errorf("%w: timestamp version %d says it was issued at %s, and it is %s: one of the clocks is wrong",
			ErrInvalid, f.Version, metadata.FormatTime(x.Issued), metadata.FormatTime(clock))
	}
	return nil
}

// verdict picks the most telling of several sources' errors: what somebody
// signed or forged says more than a failure of transport.
func verdict(errs []error) error {
	for _, kind := range []error{ErrRollback, ErrThreshold, ErrInvalid} {
		for _, err := range errs {
			if errors.Is(err, kind) {
				return err
			}
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w: none is left to ask", ErrUnreachable)
	}
	return errors.Join(errs...)
}
