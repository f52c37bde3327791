package promotion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// Mirror copies a publisher's trust repository: all roots, the newest state,
// and as many older ones as are wanted. It is for one goroutine.
type Mirror struct {
	// Root is the publisher's pinned root file.
	Root []byte
	// Store is this machine's durable rollback state of the publisher: a source
	// cannot pass off as new what is older. The caller commits it, also after a
	// failure.
	Store tuf.Store
	// From is where the publisher's states are read, To where they are kept.
	From, To *registrystore.Trust
	// Now is the clock.
	Now func() time.Time
	// History is how many states before the newest are copied too.
	History int
	// Repair asks the destination for every file of the newest state, and of
	// those of the history, whole, and sends again what it lost.
	Repair bool
	// Report is told, in a sentence, what decided nothing. It may be nil.
	Report func(string)

	mu    sync.Mutex // guards files and bytes
	files int        // sent
	bytes int64      // of files
	wrote bool       // a manifest
}

// Synced says what a mirror has now.
type Synced struct {
	// Changed reports that the destination got a newer state, an older one for
	// its history, a file that it had lost, or its tag latest back.
	Changed bool
	// Behind reports that the destination had a newer state than the source.
	Behind bool
	// The state that the destination has.
	Root, Timestamp int64
	Identity        string
	Issued          time.Time // zero if the timestamp does not say
	Expires         time.Time
	// History is how many older states were copied.
	History int
	// Repaired is how many files the destination listed and did not have.
	Repaired int
	// Files and Bytes were sent: what the destination lacked, without manifests.
	Files int
	Bytes int64
}

// Sync makes To hold what From holds. Two requests if it does already.
//
// The source is verified as a client verifies it, except that expired files
// are taken: a mirror of a publisher that does not refresh is as honest as the
// publisher, and verifiers see the same. Never is an older state published than
// the destination has (docs/spec.md, "Mirrors").
func (m *Mirror) Sync(ctx context.Context) (*Synced, error) {
	ours, theirs, err := m.both(ctx)
	if err != nil {
		return nil, err
	}
	has, err := m.bring(ctx, ours, theirs)
	if err != nil {
		return nil, err
	}
	out := m.result(ours, has)
	if m.Repair {
		if out.Repaired, err = m.repair(ctx, has); err != nil {
			return nil, err
		}
	}
	if m.History > 0 && !out.Behind {
		if err := m.history(ctx, ours, out); err != nil {
			return nil, err
		}
	}
	out.Changed = m.wrote || out.Repaired > 0
	out.Files, out.Bytes = m.files, m.bytes
	return out, nil
}

// bring makes the destination's latest name the greatest state that either
// side has, and returns that.
func (m *Mirror) bring(ctx context.Context, ours, theirs *state) (*state, error) {
	if theirs != nil && !theirs.before(ours) && m.To.AtLatest() {
		return theirs, nil
	}
	has, err := m.greatest(ctx, ours)
	if err != nil {
		return nil, at(Destination, err)
	}
	if has != nil {
		return m.commit(ctx, has, true)
	}
	if err := m.complete(ctx, ours, theirs); err != nil {
		return nil, err
	}
	if err := m.copyMissing(ctx, ours); err != nil {
		return nil, err
	}
	return m.commit(ctx, ours, false)
}

// Check verifies both sides as Sync does, and tells what Sync would do. It
// writes nothing.
func (m *Mirror) Check(ctx context.Context) (*Synced, error) {
	ours, theirs, err := m.both(ctx)
	if err != nil {
		return nil, err
	}
	if theirs != nil && !theirs.before(ours) {
		return m.result(ours, theirs), nil
	}
	out := m.result(ours, ours)
	out.Changed = true
	return out, m.complete(ctx, ours, theirs)
}

// both reads and verifies what both sides have.
func (m *Mirror) both(ctx context.Context) (ours, theirs *state, err error) {
	if err := m.open(ctx); err != nil {
		return nil, nil, err
	}
	if ours, err = m.source(ctx); err != nil {
		return nil, nil, at(Source, err)
	}
	if theirs, err = m.destination(ctx, ours); err != nil {
		return nil, nil, at(Destination, err)
	}
	return ours, theirs, nil
}

func (m *Mirror) result(ours, has *state) *Synced {
	out := &Synced{Behind: ours.before(has)}
	out.Root, out.Timestamp, out.Identity = has.root.Version, has.timestamp.Version, has.pub.Identity()
	out.Expires = has.timestamp.Expires
	if x := has.timestamp.Timestamp.Carnet; x != nil {
		out.Issued = x.Issued
	}
	return out
}

// open reads what both sides offer, together. A destination that has nothing
// is none yet.
func (m *Mirror) open(ctx context.Context) error {
	errs := make(chan error, 1)
	go func() { errs <- m.From.Open(ctx) }()
	to := m.To.Open(ctx)
	from := <-errs
	if errors.Is(to, registrystore.ErrNotFound) {
		to = nil
	}
	if errors.Is(to, tuf.ErrUnreadable) {
		to = foreign(to)
	}
	return errors.Join(at(Source, from), at(Destination, to))
}

// destination verifies what the destination has, under the root that its state
// names. It returns nil if it has nothing. What is there and was not published
// by this publisher is never replaced: it may be somebody's image.
func (m *Mirror) destination(ctx context.Context, ours *state) (*state, error) {
	if m.To.Publication() == nil {
		return nil, nil
	}
	if bytes.Equal(ours.manifest, m.To.Manifest()) {
		return ours, nil
	}
	s, err := m.verified(ctx, helped{opened{m.To}, m.From}, tuf.MemoryStore{})
	if passed(err) {
		return nil, foreign(err)
	}
	if err != nil {
		return nil, err
	}
	m.To.Holding(s.pub)
	return s, nil
}

func foreign(err error) error {
	return fmt.Errorf("it holds no state that this publisher signed, and is left as it is: name another repository, or take its tag latest away: %w", err)
}

// source verifies what the source offers, with what is known of the publisher.
// Of two states of one version both are the publisher's word: the other one is
// verified by itself.
func (m *Mirror) source(ctx context.Context) (*state, error) {
	s, err := m.verified(ctx, opened{m.From}, m.Store)
	if !errors.Is(err, errOther) {
		return s, err
	}
	other, err := m.verified(ctx, opened{m.From}, tuf.MemoryStore{})
	if err != nil {
		return nil, err
	}
	if other.root.Version < s.root.Version || other.timestamp.Version < s.timestamp.Version {
		return nil, &tuf.RollbackError{File: metadata.RoleTimestamp, Trusted: s.timestamp.Version, Offered: other.timestamp.Version}
	}
	return other, nil
}

func (m *Mirror) report(format string, args ...any) {
	if m.Report != nil {
		m.Report(fmt.Sprintf(format, args...))
	}
}
