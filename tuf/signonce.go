package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// recorded returns what this signer signed of a role in a version, nil for
// nothing.
func (r *Repository) recorded(role string, version int64) (*SignedFile, error) {
	if r.opts.Record == nil {
		return nil, nil
	}
	f, err := r.opts.Record.Signed(role, version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what this machine signed: %w", err)
	}
	return f, nil
}

// record notes that a file is about to leave this machine with its signature.
func (r *Repository) record(role string, version int64, proposal string, signed []byte) error {
	if r.opts.Record == nil {
		return nil
	}
	return r.opts.Record.Add(SignedFile{Role: role, Version: version, Proposal: proposal, Signed: signed})
}

// mustRecord reports whether a file that is published at once is recorded:
// where several people sign, each relies on the others to sign once.
func mustRecord(role string, demands []demand) bool {
	several := role == metadata.RoleRoot
	for _, d := range demands {
		several = several || d.Threshold > 1
	}
	return several
}

// signOnce signs a file with the keys at hand, as many as are demanded. Of one
// that several people sign this signer signs one only: a command that is run
// again makes the same change at another time, and signs what it signed before.
func (r *Repository) signOnce(ctx context.Context, u unsigned) (*metadata.File, error) {
	if !mustRecord(u.role, u.demands()) {
		return r.sign(ctx, u.role, u.signed, u.demands()...)
	}
	signed, err := r.recall(u)
	if err != nil {
		return nil, err
	}
	f, err := r.sign(ctx, u.role, signed, u.demands()...)
	if err != nil {
		return nil, err
	}
	return f, r.record(u.role, f.Version, idOf(map[string]*metadata.File{u.role: f}), f.Signed)
}

// recall returns the bytes to sign for a file: those that were signed before,
// if they say the same, else its own. It fails with ErrSignedOther if what was
// signed says something else.
func (r *Repository) recall(u unsigned) ([]byte, error) {
	was, err := r.recorded(u.role, u.version)
	if was == nil || err != nil {
		return u.signed, err
	}
	f, err := metadata.Decode(u.role, metadata.Seal(was.Signed, nil))
	if err != nil {
		return nil, fmt.Errorf("what this machine signed of %s version %d is damaged: %w", u.role, u.version, err)
	}
	if !u.saysTheSame(f) || !u.lives(f, r.opts.Now()) {
		return nil, signedOther(was)
	}
	return was.Signed, nil
}

// unsigned is a file that a draft makes, before anybody signed it.
type unsigned struct {
	role    string
	version int64
	expires time.Time
	signed  []byte // the canonical form
	root    *metadata.Root
	targets *metadata.Targets
	quorums []quorum
}

func (u unsigned) demands() []demand {
	out := make([]demand, len(u.quorums))
	for i, q := range u.quorums {
		out[i] = q.demand
	}
	return out
}

// saysTheSame reports whether f is what u would be if it had been made at
// another time: all but expiry, and when statements and notices say they were
// made.
func (u unsigned) saysTheSame(f *metadata.File) bool {
	if f.Version != u.version {
		return false
	}
	if u.root != nil {
		return f.Root != nil && u.root.SameContent(f.Root)
	}
	if f.Targets == nil || len(f.Targets.Targets) != len(u.targets.Targets) {
		return false
	}
	mine, theirs := *u.targets, *f.Targets
	mine.Targets, theirs.Targets = nil, nil
	if !mine.SameContent(&theirs) {
		return false
	}
	for path, a := range u.targets.Targets {
		if b, ok := f.Targets.Targets[path]; !ok || !sameButTime(a, b) {
			return false
		}
	}
	return true
}

// sameButTime compares entries but for the time of signing or withdrawing.
func sameButTime(a, b metadata.Target) bool {
	if a.Equal(b) {
		return true
	}
	mine, errA := a.Statement()
	theirs, errB := b.Statement()
	if errA != nil || errB != nil {
		return false
	}
	if mine.Notice != nil && theirs.Notice != nil {
		at := *mine.Notice
		at.At = theirs.Notice.At
		same := a.WithStatement(mine)
		if was := mine.Notice.Entry(); was.Length == same.Length && was.Hashes.Equal(same.Hashes) {
			now := at.Entry()
			a.Length, a.Hashes = now.Length, now.Hashes
		}
		mine.Notice = &at
	}
	mine.Signed = theirs.Signed
	return a.WithStatement(mine).Equal(b)
}

// lives reports whether f may stand for u, which is made now: it expires no
// later than u would, and has at least half of its life before it.
func (u unsigned) lives(f *metadata.File, now time.Time) bool {
	half := now.Add(u.expires.Sub(now) / 2)
	return f.Expires.After(half) && !f.Expires.After(u.expires.Add(MaxClockSkew))
}
