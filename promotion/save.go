package promotion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// ErrNoState says that a state that was named is not listed.
var ErrNoState = errors.New("no such state")

// ErrSameName says that two repositories would be one in an archive, or where
// it is loaded.
var ErrSameName = errors.New("two repositories would become one")

// Saver writes archives: repositories in one file. It is for one goroutine.
type Saver struct {
	From *registrystore.Registries
	// Since are archives that the other side has: what they brought is left out.
	Since []*registrystore.Archive
	// Now is the clock.
	Now func() time.Time
	// Step, if not nil, is told of each blob and manifest that is written, and
	// of how many there are; Note, of what decided nothing.
	Step func(done, of int)
	Note func(text string)
}

// TrustSource is a trust repository that is saved.
type TrustSource struct {
	Repository registrystore.Repository
	// Publisher is the pinned publisher whose it must be.
	Publisher verify.Pin
	// Store is this machine's durable rollback state of it. The caller commits
	// it, also after a failure.
	Store tuf.Store
	// Since, if not nil, is a state that the other side has.
	Since *verify.Floor
}

// Saved says what an archive holds.
type Saved struct {
	Artifacts int // references that were new
	Unchanged int // references and trust repositories that were not
	Referrers int // that were new
	Trust     []SavedTrust
	Blobs     int   // manifests included
	Bytes     int64 // of the file
}

// SavedTrust is a trust repository in an archive.
type SavedTrust struct {
	Repository      string
	Publisher       string // this machine's name for it
	Root, Timestamp int64  // versions
	Expires         time.Time
}

// saving is one call of Save.
type saving struct {
	*Saver
	plan  *registrystore.ArchivePlan
	known *known

	mu       sync.Mutex
	out      Saved             // guarded by mu
	attached int               // trust attachments; guarded by mu
	places   map[string]string // by path in the archive; guarded by mu
}

// Save writes to path what the references name, with all that refers to it,
// and the newest states of trust repositories, which are verified as a client
// does. Nothing is decided about artifacts: who loads the file does that. A
// file that is there is replaced once the new one is whole.
func (s *Saver) Save(ctx context.Context, path string, refs []registrystore.Reference, trusts []TrustSource) (*Saved, error) {
	k, err := readKnown(ctx, s.Since)
	if err != nil {
		return nil, at(Source, err)
	}
	w := &saving{Saver: s, plan: registrystore.NewArchivePlan(), known: k, places: map[string]string{}}
	for _, t := range trusts {
		if err := w.trust(ctx, t); err != nil {
			return nil, at(Source, err)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, ref := range refs {
		g.Go(func() error { return w.artifact(gctx, ref) })
	}
	if err := g.Wait(); err != nil {
		return nil, at(Source, err)
	}
	if w.out.Artifacts > 0 && len(trusts)+len(s.Since)+w.attached == 0 {
		s.note("nothing in the file vouches for what it holds: save the publisher's trust repository too")
	}
	return w.write(ctx, path)
}

func (s *Saver) note(text string) {
	if s.Note != nil {
		s.Note(text)
	}
}

func (w *saving) write(ctx context.Context, path string) (*Saved, error) {
	w.out.Blobs = w.plan.Blobs()
	done := 0
	size, err := w.plan.Save(ctx, path, func() {
		if done++; w.Step != nil {
			w.Step(done, w.out.Blobs)
		}
	})
	if err != nil {
		return nil, at(writingSide(err, path), err)
	}
	w.out.Bytes = size
	return &w.out, nil
}

// writingSide tells whether what is read failed, or the file.
func writingSide(err error, path string) Side {
	var e *registrystore.Error
	if errors.As(err, &e) && e.Repository != path {
		return Source
	}
	return Destination
}

// place notes that a repository is part of the archive.
func (w *saving) place(repo registrystore.Repository, kind string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := registrystore.ArchivedPath(repo.ArchivedName())
	was, ok := w.places[path]
	if ok && was != kind+repo.Absolute() {
		return fmt.Errorf("%w: %s and another one are both called %s: save them in two files", ErrSameName, repo, path)
	}
	w.places[path] = kind + repo.Absolute()
	return nil
}

// artifact plans a reference with all that refers to it.
func (w *saving) artifact(ctx context.Context, ref registrystore.Reference) error {
	if err := w.place(ref.Repository, "artifacts "); err != nil {
		return err
	}
	if registrystore.IsOwnTag(ref.Tag) {
		return fmt.Errorf("%w: %s stands for no artifact", registrystore.ErrReference, ref)
	}
	from, err := w.From.Artifacts(ref.Repository)
	if err != nil {
		return err
	}
	top, err := from.Read(ctx, ref)
	if err != nil {
		return err
	}
	repository := ref.Repository.ArchivedName()
	isNew := !w.known.names(repository, ref.Tag, top.Digest)
	if isNew {
		if err := w.plan.Name(repository, ref.Tag, "", top); err != nil {
			return err
		}
	}
	below, err := w.whole(ctx, repository, from, top)
	if err != nil {
		return err
	}
	return w.referrers(ctx, repository, from, below, isNew)
}

// whole plans a manifest with all that it lists, and returns it and the
// manifests below.
func (w *saving) whole(ctx context.Context, repository string, from *registrystore.Artifacts, top *registrystore.Artifact) ([]*registrystore.Artifact, error) {
	all, err := from.Below(ctx, top)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if !w.known.has(repository, m.Digest) {
			if err := w.plan.Manifest(m); err != nil {
				return nil, err
			}
		}
		for _, b := range m.Blobs {
			if w.known.has(repository, b.Digest) {
				continue
			}
			if err := w.plan.Blob(b, from); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (w *saving) referrers(ctx context.Context, repository string, from *registrystore.Artifacts, below []*registrystore.Artifact, isNew bool) error {
	list, err := from.ReferrerGraph(ctx, digests(below)...)
	if err != nil {
		return err
	}
	fresh, attached := 0, 0
	for _, r := range list {
		if r.IsAttachment {
			attached++
		}
		if w.known.has(repository, r.Digest) {
			continue
		}
		fresh++
		if err := w.plan.Name(repository, "", "", r); err != nil {
			return err
		}
		if _, err := w.whole(ctx, repository, from, r); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.Referrers += fresh
	w.attached += attached
	if isNew {
		w.out.Artifacts++
	} else {
		w.out.Unchanged++
	}
	return nil
}

// trust plans a publisher's newest state.
func (w *saving) trust(ctx context.Context, t TrustSource) error {
	if err := w.place(t.Repository, "trust "); err != nil {
		return err
	}
	from, err := w.From.Trust(t.Repository)
	if err != nil {
		return err
	}
	s, err := w.verifiedState(ctx, t, from)
	if err != nil {
		return err
	}
	repository := t.Repository.ArchivedName()
	if t.Since != nil {
		if err := w.known.state(ctx, from, repository, *t.Since); err != nil {
			return err
		}
		if t.Since.Root == s.root.Version && t.Since.Timestamp == s.timestamp.Version {
			w.out.Unchanged++
			return nil
		}
	}
	return w.state(ctx, t, repository, s)
}

func (w *saving) verifiedState(ctx context.Context, t TrustSource, from *registrystore.Trust) (*state, error) {
	m := Mirror{Root: t.Publisher.Root, Store: t.Store, From: from, Now: w.Now, Report: w.Note}
	if err := from.Open(ctx); err != nil {
		return nil, err
	}
	s, err := m.source(ctx)
	if err != nil {
		return nil, err
	}
	return s, m.whole(ctx, s, math.MaxInt64)
}

func (w *saving) state(ctx context.Context, t TrustSource, repository string, s *state) error {
	m, err := registrystore.DecodeManifest(s.manifest)
	if err != nil {
		return err
	}
	own, err := registrystore.StateTag(s.manifest)
	if err != nil {
		return err
	}
	id, err := t.Publisher.ID()
	if err != nil {
		return err
	}
	if w.known.names(repository, own, m.Digest) { // tags of states do not move
		w.out.Unchanged++
		return nil
	}
	for _, tag := range []string{metadata.TagLatest, own} {
		if err := w.plan.Name(repository, tag, registrystore.PublisherHash(id), m); err != nil {
			return err
		}
	}
	files, err := w.From.Artifacts(t.Repository)
	if err != nil {
		return err
	}
	w.out.Trust = append(w.out.Trust, SavedTrust{
		Repository: t.Repository.String(), Publisher: t.Publisher.Name, Root: s.root.Version, Timestamp: s.timestamp.Version, Expires: s.timestamp.Expires,
	})
	_, err = w.whole(ctx, repository, files, m)
	return err
}
