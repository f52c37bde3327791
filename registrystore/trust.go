package registrystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// parallel is how many writes one repository is sent at once; ahead, how many
// reads: what an update needs must fit in one round.
const (
	parallel = 8
	ahead    = 40
)

// Trust is a trust repository: a publisher's publications in a registry or an
// image layout. It is a [tuf.Source], a [tuf.Prefetcher] and a [tuf.Journal];
// one that is a layout is a [tuf.Locker] too ([Trust.Journal]).
type Trust struct {
	backend backend
	name    string
	cache   *Cache
	remote  bool // a registry: it honours withKnown, and answers can be lost

	mu    sync.Mutex
	state *tuf.Publication         // what Open found
	raw   []byte                   // its manifest
	named []byte                   // the manifest that latest named
	bytes map[digest.Digest][]byte // fetched ahead
	there map[digest.Digest]bool   // known to be stored in this repository
	roots map[int64][]byte         // unpacked from the root pack

	// What Next goes through, by one goroutine: nil others: not listed yet.
	others  []tuf.Entry
	refused []string // identities of forged publications
}

// Trust opens a trust repository. It asks nothing yet.
func (r *Registries) Trust(repo Repository) (*Trust, error) {
	b, err := r.backend(repo)
	if err != nil {
		return nil, err
	}
	t := &Trust{backend: b, name: called(b, repo), bytes: map[digest.Digest][]byte{}, there: map[digest.Digest]bool{}}
	switch b.(type) {
	case *layoutBackend: // is no slower than a cache
	case *archiveBackend: // may be gone when it is needed again
		t.cache = r.cache
	default:
		t.cache, t.remote = r.cache, true
	}
	return t, nil
}

func (r *Registries) backend(repo Repository) (backend, error) {
	switch {
	case r.viewed != nil:
		return r.view(repo), nil
	case repo.IsLayout():
		return newLayout(repo), nil
	case r.opts.Offline:
		return &offlineBackend{name: repo.String(), cache: r.cache}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.remotes[repo]; b != nil {
		return b, nil
	}
	b, err := r.remote(repo)
	if err == nil {
		r.remotes[repo] = b
	}
	return b, err
}

// OpenTrust parses and opens a trust repository: "host/path" or "oci:DIR".
func (r *Registries) OpenTrust(s string) (*Trust, error) {
	repo, err := ParseRepository(s, r.opts.LayoutRoot)
	if err != nil {
		return nil, err
	}
	return r.Trust(repo)
}

func (t *Trust) String() string { return t.name }

// read reads and decodes the publication under a tag.
func (t *Trust) read(ctx context.Context, tag string) (*tuf.Publication, []byte, error) {
	_, raw, err := t.backend.manifest(ctx, tag)
	if err != nil {
		if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", tuf.ErrUnreadable, err)
		}
		return nil, nil, err
	}
	p, err := decodeState(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: tag %s: %w", t.name, tag, err)
	}
	t.remember(p)
	return p, raw, nil
}

// serve makes p, whose manifest is raw, what t serves from now on.
func (t *Trust) serve(p *tuf.Publication, raw []byte) { t.state, t.raw, t.roots = p, raw, nil }

// remember notes what a manifest that the registry serves proves to be there.
func (t *Trust) remember(p *tuf.Publication) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.there[ocispec.DescriptorEmptyJSON.Digest] = true
	for _, f := range p.Files() {
		t.there[f.Digest] = true
		if f.Data != nil {
			t.bytes[f.Digest] = f.Data
		}
	}
}

// file returns the bytes of f: inlined, fetched ahead, cached, or by request.
func (t *Trust) file(ctx context.Context, f tuf.File) ([]byte, error) {
	if raw := t.local(f.Digest); raw != nil {
		return raw, nil
	}
	raw, err := t.asked(ctx, f)
	if err == nil {
		t.keep(f.Digest, raw)
	}
	return raw, err
}

// asked asks the repository for f.
func (t *Trust) asked(ctx context.Context, f tuf.File) ([]byte, error) {
	if f.Length < 0 || f.Length > tuf.FileLimit(f.Role) {
		return nil, fmt.Errorf("%s: %w: %s of %d bytes", t.name, ErrTooLarge, f.Role, f.Length)
	}
	return t.backend.blob(ctx, ocispec.Descriptor{MediaType: metadata.MediaTypeFile, Digest: f.Digest, Size: f.Length})
}

func (t *Trust) local(d digest.Digest) []byte {
	t.mu.Lock()
	raw := t.bytes[d]
	t.mu.Unlock()
	if raw == nil {
		raw = t.cache.Get(d)
	}
	return raw
}

func (t *Trust) keep(d digest.Digest, raw []byte) {
	t.mu.Lock()
	t.bytes[d] = raw
	t.mu.Unlock()
	t.cache.Put(raw)
}

// fetchAll gets files in one parallel batch and forgets what fails: it is
// asked for again when it is needed.
func (t *Trust) fetchAll(ctx context.Context, files []tuf.File) {
	var g errgroup.Group
	g.SetLimit(ahead)
	for _, f := range files {
		if t.local(f.Digest) == nil {
			g.Go(func() error { _, _ = t.file(ctx, f); return nil })
		}
	}
	_ = g.Wait()
}

// List returns the states and drafts that the repository lists.
func (t *Trust) List(ctx context.Context) ([]tuf.Entry, error) {
	tags, err := t.backend.tags(ctx)
	if err != nil {
		return nil, err
	}
	var out []tuf.Entry
	seen := map[string]bool{}
	for _, tag := range tags {
		if e, ok := parseTag(tag); ok && !seen[tag] {
			seen[tag] = true
			out = append(out, e)
		}
	}
	return out, nil
}

// newestStates returns the listed states, the newest first.
func newestStates(entries []tuf.Entry) []tuf.Entry {
	states := slices.DeleteFunc(entries, func(e tuf.Entry) bool { return e.Draft })
	slices.SortFunc(states, func(a, b tuf.Entry) int { return tuf.CompareEntries(b, a) })
	return states
}
