package tuf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// Limits of one publication (docs/spec.md, "Publication").
const (
	maxRounds   = 8 // joins in one attempt
	maxRestarts = 8 // attempts, each from the newest state
	patience    = 4 // rounds in which a draft that is left to its writers may be committed
	// DraftLife is how long a draft that was not committed keeps others from
	// committing something that contradicts it. Its writer commits within half
	// of it or starts over.
	DraftLife = 10 * time.Minute
)

// ErrContended says that others kept publishing for as long as a writer
// tries. Nothing was committed.
var ErrContended = errors.New("others keep publishing: nothing was committed, to repeat the command is safe")

// Result is what a publication came to.
type Result struct {
	Changed   bool // false: all was there already, nothing was sent
	Root      int64
	Timestamp int64
	Identity  string
	Tag       string
	Expires   time.Time // of the timestamp
	Rounds    int       // joins with others
	// Proposal is what the change became if it needs others, or nil: then the
	// other fields are those of the state that stays as it is.
	Proposal *Review
}

// Publish reads the newest state, lets change edit a draft of it, and
// publishes that (docs/spec.md, "Publication"). When it returns nil, the
// publication is committed. Change may be called again, with another draft,
// if what was made cannot be joined with what others published meanwhile.
// Paths are the target paths that change will look up.
func (r *Repository) Publish(ctx context.Context, paths []string, change func(context.Context, *Draft) error) (*Result, error) {
	if l, ok := r.opts.Journal.(Locker); ok {
		unlock, err := l.Lock(ctx)
		if err != nil {
			return nil, err
		}
		res, err := r.publish(ctx, paths, change)
		return res, errors.Join(err, unlock())
	}
	return r.publish(ctx, paths, change)
}

func (r *Repository) publish(ctx context.Context, paths []string, change func(context.Context, *Draft) error) (*Result, error) {
	void := map[string]bool{}
	hidden := false
	var before dropped
	for attempt := 1; ; attempt++ {
		w := &writing{repo: r, seen: map[string]*revision{}, void: void, again: hidden, try: attempt}
		if hidden {
			w.dropped = before
		}
		res, err := w.attempt(ctx, paths, change)
		if err == nil {
			return res, nil
		}
		before = w.dropped
		for _, e := range w.drafts {
			void[e.Tag] = true
		}
		if hidden = hidden || errors.Is(err, errHidden); !errors.Is(err, errHidden) {
			w.abandon(ctx, err)
		}
		switch over := !errors.Is(err, errStartOver); {
		case hidden && (over || attempt == maxRestarts):
			return nil, fmt.Errorf("%w: it was committed, and what others committed hides it: %w", ErrOutcomeUnknown, err)
		case over:
			return nil, err
		case attempt == maxRestarts:
			return nil, fmt.Errorf("%w: %w", ErrContended, err)
		}
		r.report("%v: starting over from the newest state", err)
		if err := r.pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// pause waits for a random time that grows with n.
func (r *Repository) pause(ctx context.Context, n int) error {
	var b [8]byte
	if _, err := io.ReadFull(r.opts.Rand, b[:]); err != nil {
		return err
	}
	most := 40 * time.Millisecond << min(n, 6)
	return r.opts.Wait(ctx, time.Duration(binary.LittleEndian.Uint64(b[:])%uint64(most)))
}

// writing is one attempt to publish: the state of the protocol between the
// draft and the commit. It belongs to one goroutine.
type writing struct {
	repo   *Repository
	root   *metadata.File       // that of the publication: the one that was read or its successor
	base   *revision            // what was read
	own    *revision            // the change alone, on base
	drafts []Entry              // pushed by this attempt
	seen   map[string]*revision // listed publications by tag; nil: not to be joined
	listed []Entry              // the last list
	void   map[string]bool      // tags of drafts that earlier attempts gave up
	rounds int
	forced bool // a refresh: what was committed long ago is not enough
	try    int  // which attempt this is, from 1
	left   bool // the last round left a living draft to its writers
	dropped
	again bool // an earlier attempt was committed and is hidden: it must be joined
	taken bool // it has files of proposals, which the keys at hand need not be able to sign
}

func (w *writing) attempt(ctx context.Context, paths []string, change func(context.Context, *Draft) error) (*Result, error) {
	state, err := w.repo.Load(ctx, paths...)
	if err != nil {
		return nil, err
	}
	d := newDraft(state, w.repo.opts.Keys)
	if err := change(ctx, d); err != nil {
		return nil, err
	}
	w.root, w.base = state.Root(), state.rev
	if !d.changes() && !w.again {
		return w.result(w.base.pub, state.Timestamp(), false), nil
	}
	if err := w.repo.mend(ctx, w.base); err != nil {
		return nil, err
	}
	if w.forced = d.forced; d.forced {
		w.repo.repair(ctx, w.base.pub)
	}
	v, err := w.repo.propose(ctx, d)
	if err != nil {
		return nil, err
	}
	if v != nil {
		if !v.Complete() || w.repo.CanPublish(v.draft.Root()) != nil {
			res := w.result(w.base.pub, state.Timestamp(), false)
			res.Proposal = v
			return res, nil
		}
		d = v.draft // others signed it before
	}
	w.taken = len(d.finished) > 0
	if w.own, err = w.repo.draw(ctx, d); err != nil {
		return nil, err
	}
	if w.root = w.own.root; w.root.Version > state.Root().Version {
		w.dropped = dropped{former: state.Root(), early: map[string]bool{}}
	}
	if err := w.announce(ctx, w.own); err != nil {
		return nil, err
	}
	rev, err := w.settle(ctx)
	if err != nil {
		return nil, err
	}
	return w.commit(ctx, rev)
}

// repair stores again what the repository lost. A failure is told and keeps
// nobody from publishing.
func (r *Repository) repair(ctx context.Context, pub *Publication) {
	j, ok := r.opts.Journal.(Repairer)
	if !ok {
		return
	}
	gone, err := j.Repair(ctx, pub)
	if err != nil {
		r.report("whether the repository still has every file could not be asked: %v", err)
	}
	for _, f := range gone {
		r.report("the repository lost %s version %d, and its bytes are not at hand here: publish from a machine that has them in its cache", f.Role, f.Version)
	}
}

// announce makes a draft visible to others, unless a lock keeps them out.
func (w *writing) announce(ctx context.Context, rev *revision) error {
	if _, locked := w.repo.opts.Journal.(Locker); locked {
		return nil
	}
	e, err := w.repo.opts.Journal.PushDraft(ctx, rev.pub)
	if err == nil {
		w.drafts = append(w.drafts, e)
	}
	return err
}

// abandon takes the first draft of a failed attempt away, as far as the
// registry lets it, so that it stands in nobody's way. What was joined stays:
// others may have adopted it and commit it.
func (w *writing) abandon(ctx context.Context, cause error) {
	if len(w.drafts) == 0 || errors.Is(cause, ErrOutcomeUnknown) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.repo.opts.Journal.Delete(ctx, w.drafts[0]); err != nil {
		w.repo.report("the draft %s stays: %v", w.drafts[0].Tag, err)
	}
}

// settle lists and joins until nothing is there that is not in ours.
func (w *writing) settle(ctx context.Context) (*revision, error) {
	ours := w.own
	for ; ; w.rounds++ {
		others, more, err := w.others(ctx, ours)
		if err != nil {
			return nil, err
		}
		w.left, w.waits = w.waits, false
		rev, err := w.fold(ctx, ours, others)
		if err != nil || rev == ours && !more && (!w.left || w.rounds >= patience) {
			return rev, err
		}
		if w.rounds == maxRounds {
			return nil, w.tooMany(more)
		}
		if rev != ours && w.isNew(rev) {
			w.repo.report("joining what others publish: version %d", rev.version)
			if err := w.announce(ctx, rev); err != nil {
				return nil, err
			}
		}
		if ours = rev; w.rounds > 0 || w.left {
			if err := w.repo.pause(ctx, w.rounds+1); err != nil {
				return nil, err
			}
		}
	}
}

func (w *writing) tooMany(more bool) error {
	if more {
		return fmt.Errorf("%w: more than %d publications are listed that are not known here: take what is none, or was given up, away with `carnet prune`",
			ErrContended, maxReads*(maxRounds+1))
	}
	return fmt.Errorf("%w: %d joins were not enough", errStartOver, w.rounds)
}

// isNew reports whether rev was made here and not adopted.
func (w *writing) isNew(rev *revision) bool {
	for _, s := range w.seen {
		if s == rev {
			return false
		}
	}
	return true
}

// commit seals rev and stores it: the acknowledgement. What another writer
// committed already needs no second commit.
func (w *writing) commit(ctx context.Context, rev *revision) (*Result, error) {
	pub := rev.pub
	if !rev.committed {
		sealed, err := w.repo.seal(ctx, w.root, rev)
		if err != nil {
			return nil, err
		}
		pub = sealed
	}
	timestamp, err := w.repo.accept(ctx, w.base, pub)
	if err != nil {
		return nil, err
	}
	// Asked last: to sign may have taken as long as a person takes.
	if err := w.fresh(rev); err != nil {
		return nil, err
	}
	e := Entry{Root: w.root.Version, Version: rev.version, Digest: rev.id[:12]}
	if !rev.committed {
		if e, err = w.repo.opts.Journal.Commit(ctx, pub); err != nil {
			if err = w.occupied(ctx, e, rev, err); err != nil {
				return nil, err
			}
		}
	}
	if err := w.remember(rev, timestamp); err != nil {
		return nil, err
	}
	above := w.repo.advance(ctx, w.root, pub, e)
	res := w.result(pub, timestamp, true)
	res.Tag = e.Tag
	if above != nil && w.lacks(ctx, above, rev) {
		return nil, fmt.Errorf("%w: %s is committed, and readers take %s, which lacks it", errHidden, short(rev), short(above))
	}
	return res, w.late(ctx, rev)
}

// fresh refuses to commit a draft so old that others may pass it by.
func (w *writing) fresh(rev *revision) error {
	if _, locked := w.repo.opts.Journal.(Locker); locked || rev.committed {
		return nil
	}
	if w.isOld(rev) {
		return fmt.Errorf("%w: its draft took longer than %s", errStartOver, DraftLife/2)
	}
	return nil
}

// isOld reports whether rev is a draft that must not be committed any more.
func (w *writing) isOld(rev *revision) bool {
	return !rev.committed && w.repo.age(rev) > DraftLife/2
}

// age is how long ago rev was signed, as its snapshot's expiry tells.
func (r *Repository) age(rev *revision) time.Duration {
	return r.opts.Now().Sub(rev.snapshot.Expires.Add(-expiry(rev.root.Root, metadata.RoleSnapshot)))
}

// occupied settles a commit whose tag was taken: another writer that adopted
// the same draft sealed it, or somebody put garbage there.
func (w *writing) occupied(ctx context.Context, e Entry, rev *revision, cause error) error {
	if !errors.Is(cause, ErrOccupied) {
		return cause
	}
	there, err := w.repo.readRevision(ctx, w.root, e)
	if err == nil && there.id == rev.id {
		return nil
	}
	return errors.Join(cause, err)
}

// remember makes the publication this writer's own trusted state.
func (w *writing) remember(rev *revision, timestamp *metadata.File) error {
	store := w.repo.opts.Store
	err := errors.Join(store.Put(metadata.RoleRoot, w.root.Raw), store.Put(metadata.RoleTimestamp, timestamp.Raw), store.Put(metadata.RoleSnapshot, rev.snapshot.Raw))
	if err != nil {
		return fmt.Errorf("published, but the trusted state of this machine could not be kept: %w", err)
	}
	return nil
}

func (w *writing) result(pub *Publication, timestamp *metadata.File, changed bool) *Result {
	return &Result{
		Changed: changed, Root: w.root.Version, Timestamp: timestamp.Version, Identity: pub.Identity(),
		Expires: timestamp.Expires, Rounds: w.rounds,
	}
}
