package registrystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
)

const (
	// maxNested is how deep indexes may stand in indexes.
	maxNested = 8
	// maxBuffered is up to which size, in bytes, a blob is held in memory while
	// it is copied, so that sending it can be repeated without reading it again.
	maxBuffered = 1 << 20
)

// Copy copies manifests with all that they list from one repository to
// another, each once, and nothing that is there. Everything is read by digest:
// what comes out is what was asked for. A manifest is written after what it
// lists, so that one that is there is whole. It is safe for concurrent use.
type Copy struct {
	From, To *Artifacts
	// Step, if not nil, is told of every blob and manifest that is done, by
	// several goroutines.
	Step func()

	*under

	mu   sync.Mutex
	sent int // how much was written; guarded by mu
}

// under is what is under way between two repositories.
type under struct {
	blobs chan struct{} // one for each blob under way
	begin sync.Mutex
	begun map[digest.Digest]*copied // guarded by begin
	there map[digest.Digest]bool    // what was asked about manifests ahead; guarded by begin
}

// copied is one blob or manifest on its way: what lists it waits for it.
type copied struct {
	done chan struct{} // closed when err is set
	err  error
}

// NewCopy prepares for copying. It asks nothing.
func NewCopy(from, to *Artifacts) *Copy {
	return &Copy{From: from, To: to, under: &under{blobs: make(chan struct{}, parallel), begun: map[digest.Digest]*copied{}, there: map[digest.Digest]bool{}}}
}

// Another returns a copy between the same repositories that counts for itself.
// What both need is copied once, also at the same time.
func (c *Copy) Another() *Copy { return &Copy{From: c.From, To: c.To, under: c.under} }

// Sent returns how many blobs and manifests had to be written.
func (c *Copy) Sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// once lets d be copied by the first who wants it; all others wait for the end
// of that. Who waited for what failed tries for itself: the other may have been
// called off.
func (c *Copy) once(ctx context.Context, d digest.Digest, send func() error) error {
	for {
		c.begin.Lock()
		w, ok := c.begun[d]
		if !ok {
			w = &copied{done: make(chan struct{})}
			c.begun[d] = w
		}
		c.begin.Unlock()
		if !ok {
			return c.end(d, w, send())
		}
		select {
		case <-w.done:
			if w.err == nil {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// end tells those who wait what became of d. What failed can begin anew.
func (c *Copy) end(d digest.Digest, w *copied, err error) error {
	if err != nil {
		c.begin.Lock()
		delete(c.begun, d)
		c.begin.Unlock()
	}
	w.err = err
	close(w.done)
	return err
}

func (c *Copy) finished(wrote bool) {
	c.mu.Lock()
	if wrote {
		c.sent++
	}
	c.mu.Unlock()
	if c.Step != nil {
		c.Step()
	}
}

// Manifest copies a manifest that was read, under its digest and without a tag.
func (c *Copy) Manifest(ctx context.Context, a *Artifact) error { return c.manifest(ctx, a, 0) }

func (c *Copy) manifest(ctx context.Context, a *Artifact, depth int) error {
	// An index cannot list itself, not even by way of others: waiting ends.
	return c.once(ctx, a.Digest, func() error { return c.sendManifest(ctx, a, depth) })
}

func (c *Copy) sendManifest(ctx context.Context, a *Artifact, depth int) error {
	there, err := c.isThere(ctx, a.Digest)
	if err != nil {
		return err
	}
	if there {
		c.finished(false)
		return nil
	}
	if depth > maxNested {
		return &Error{Repository: c.From.name, Op: "read " + a.Digest.String(), Kind: ErrTooLarge, Err: fmt.Errorf("indexes in indexes, more than %d deep", maxNested)}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, m := range a.Manifests {
		g.Go(func() error { return c.child(gctx, m, depth+1) })
	}
	for _, b := range a.Blobs {
		g.Go(func() error { return c.blob(gctx, b) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := c.To.put(ctx, "", a); err != nil {
		return err
	}
	c.finished(true)
	return nil
}

// child copies a manifest that an index lists. One that is listed as no index
// is none: whoever looked for what is withdrawn did not look into it.
func (c *Copy) child(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	return c.once(ctx, desc.Digest, func() error {
		m, err := c.From.Read(ctx, Reference{Digest: desc.Digest})
		if err != nil {
			return err
		}
		if m.Manifests != nil && !isIndex(desc.MediaType) {
			return &Error{Repository: c.From.name, Op: "read " + m.Digest.String(), Kind: ErrCorrupt, Err: fmt.Errorf("an index that is listed as %.100q", desc.MediaType)}
		}
		return c.sendManifest(ctx, m, depth)
	})
}

// Ahead copies the blobs of manifests that are not there, and no manifest: what
// lists the blobs, or refers to what is not there yet, is for later calls.
func (c *Copy) Ahead(ctx context.Context, list []*Artifact) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, a := range list {
		g.Go(func() error {
			there, err := c.isThere(gctx, a.Digest)
			if err != nil {
				return err
			}
			c.begin.Lock()
			c.there[a.Digest] = there
			c.begin.Unlock()
			if there {
				return nil
			}
			blobs, bctx := errgroup.WithContext(gctx)
			for _, b := range a.Blobs {
				blobs.Go(func() error { return c.blob(bctx, b) })
			}
			return blobs.Wait()
		})
	}
	return g.Wait()
}

// isThere reports whether the destination has a manifest, which is asked once.
func (c *Copy) isThere(ctx context.Context, d digest.Digest) (bool, error) {
	c.begin.Lock()
	there, known := c.there[d]
	c.begin.Unlock()
	if known {
		return there, nil
	}
	_, err := c.To.backend.resolve(ctx, d.String())
	if isAbsent(err) {
		return false, nil
	}
	return err == nil, err
}

// put stores a manifest under a tag, or under its digest.
func (a *Artifacts) put(ctx context.Context, tag string, m *Artifact) error {
	return a.backend.pushManifest(ctx, tag, ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}, m.Raw, false)
}

func (c *Copy) blob(ctx context.Context, desc ocispec.Descriptor) error {
	desc = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, URLs: desc.URLs}
	if !isSHA256(desc.Digest) || desc.Size < 0 {
		return &Error{Repository: c.From.name, Op: "copy blob", Kind: ErrCorrupt, Err: fmt.Errorf("digest %.100q of %d bytes", desc.Digest, desc.Size)}
	}
	return c.once(ctx, desc.Digest, func() error { return c.transfer(ctx, desc) })
}

// transfer is sendBlob when it is its turn.
func (c *Copy) transfer(ctx context.Context, desc ocispec.Descriptor) error {
	select {
	case c.blobs <- struct{}{}:
		defer func() { <-c.blobs }()
	case <-ctx.Done():
		return ctx.Err()
	}
	wrote, err := c.sendBlob(ctx, desc)
	if isAbsent(err) && len(desc.URLs) > 0 {
		return nil // a layer that is kept elsewhere, and may not be here
	}
	if err == nil {
		c.finished(wrote)
	}
	return err
}

func (c *Copy) sendBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	there, err := c.To.backend.hasBlob(ctx, desc)
	if there || err != nil {
		return false, err
	}
	from := c.mountable()
	if from == "" && desc.Size <= maxBuffered {
		raw, err := c.From.backend.blob(ctx, desc)
		if err != nil {
			return false, err
		}
		return true, c.To.backend.pushBlob(ctx, desc, raw)
	}
	return true, c.To.backend.pushStream(ctx, desc, from, func() (io.ReadCloser, error) { return c.From.backend.open(ctx, desc) })
}

// mountable returns the source repository's name if both are in one registry.
func (c *Copy) mountable() string {
	from, ok := c.From.backend.(*remoteBackend)
	to, isRemote := c.To.backend.(*remoteBackend)
	if !ok || !isRemote || from.repo.Reference.Registry != to.repo.Reference.Registry {
		return ""
	}
	return from.repo.Reference.Repository
}

// Referrers copies what refers to artifacts that are there, and lets each be
// found by its subject. Trust attachments get the tag that they need to
// survive, unless another has it.
func (c *Copy) Referrers(ctx context.Context, list []*Artifact) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, a := range list {
		g.Go(func() error {
			if err := c.manifest(gctx, a, 0); err != nil || !a.IsAttachment {
				return err
			}
			return c.To.tagAttachment(gctx, a)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	bySubject := map[digest.Digest][]ocispec.Descriptor{}
	for _, a := range list {
		bySubject[a.Subject] = append(bySubject[a.Subject], a.listed())
	}
	return c.link(ctx, bySubject)
}

// link lets referrers be listed by their subjects, each of which has a list of
// its own.
func (c *Copy) link(ctx context.Context, bySubject map[digest.Digest][]ocispec.Descriptor) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for subject, refs := range bySubject {
		g.Go(func() error { return c.To.backend.link(gctx, subject, refs, "") })
	}
	return g.Wait()
}

func (a *Artifacts) tagAttachment(ctx context.Context, m *Artifact) error {
	hash := m.Annotations[metadata.AnnotationPublisher]
	if !isHex12(hash) {
		return nil
	}
	tag := trustTags(m.Subject) + hash
	if _, err := a.backend.resolve(ctx, tag); !isAbsent(err) {
		return err
	}
	return a.put(ctx, tag, m)
}

// ErrTagTaken says that a tag is at another artifact.
var ErrTagTaken = errors.New("the tag is taken")

// Free fails with ErrTagTaken if the tag names something else than d, and
// reports whether it names d already.
func (a *Artifacts) Free(ctx context.Context, tag string, d digest.Digest) (bool, error) {
	desc, err := a.backend.resolve(ctx, tag)
	switch {
	case isAbsent(err):
		return false, nil
	case err == nil && desc.Digest != d:
		return false, fmt.Errorf("%w: %s:%s is at %s", ErrTagTaken, a.name, tag, desc.Digest)
	}
	return err == nil, err
}

// Tag lets a tag name a manifest that is there.
func (a *Artifacts) Tag(ctx context.Context, tag string, m *Artifact) error {
	return a.put(ctx, tag, m)
}

// Tags returns all tags of the repository, sorted.
func (a *Artifacts) Tags(ctx context.Context) ([]string, error) {
	tags, err := a.backend.tags(ctx)
	slices.Sort(tags)
	return slices.Compact(tags), err
}
