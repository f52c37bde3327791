package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// TUFMirror is a plain TUF repository as mirrors keep it in an OCI repository
// (docs/spec.md, "Exchange with other TUF repositories"): one image manifest
// under a tag with roots, timestamp, snapshot and targets, and one for each
// delegated role under the role's name as tag. Each layer is a file, and its
// annotation tuf.io/filename the name. In image layouts that such tools write
// no manifest has a tag: the folder of each holds one, and that of a delegated
// role lies in the top level's, under the role's name. It is a [tuf.Source];
// its methods, but SetConsistentSnapshot, may be called by several goroutines.
// Each manifest is read once: a TUFMirror is for one update.
type TUFMirror struct {
	backend    backend
	untagged   *layoutBackend // a layout that was named without a tag, or nil
	name, tag  string
	consistent bool

	mu   sync.Mutex
	tags map[string]*mirrored
}

// mirrored are the files of one manifest, by name.
type mirrored struct {
	once  sync.Once
	from  backend
	files map[string]ocispec.Descriptor
	err   error
}

// TUFMirror opens "host/path[:tag]" or "oci:DIR[:tag]"; the tag is latest if
// none is given. It asks nothing yet.
func (r *Registries) TUFMirror(s string) (*TUFMirror, error) {
	ref, err := ParseReference(s, r.opts.LayoutRoot)
	bare := err != nil
	if bare {
		repo, rerr := ParseRepository(s, r.opts.LayoutRoot)
		if rerr != nil {
			return nil, rerr
		}
		ref = Reference{Repository: repo, Tag: metadata.TagLatest}
	}
	if ref.Digest != "" {
		return nil, fmt.Errorf("%w: %q: a mirror is followed by its tag: write it without a digest", ErrReference, s)
	}
	b, err := r.backend(ref.Repository)
	if err != nil {
		return nil, err
	}
	m := &TUFMirror{backend: b, name: ref.Repository.String(), tag: ref.Tag, consistent: true, tags: map[string]*mirrored{}}
	if l, ok := b.(*layoutBackend); ok && bare {
		m.untagged = l
	}
	return m, nil
}

func (m *TUFMirror) String() string { return m.name + ":" + m.tag }

// SetConsistentSnapshot says whether names carry versions.
func (m *TUFMirror) SetConsistentSnapshot(on bool) { m.consistent = on }

// Root returns root file version.
func (m *TUFMirror) Root(ctx context.Context, version int64) ([]byte, error) {
	return m.read(ctx, m.tag, metadata.MaxRoot, strconv.FormatInt(version, 10)+".root.json")
}

// Timestamp returns the newest timestamp file.
func (m *TUFMirror) Timestamp(ctx context.Context) ([]byte, error) {
	return m.read(ctx, m.tag, metadata.MaxTimestamp, "timestamp.json")
}

// File returns the file of role that want describes: from the manifest of the
// top level, or the one that has the role's name as tag. What cannot be a tag
// has none.
func (m *TUFMirror) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	prefix := ""
	if m.consistent {
		prefix = strconv.FormatInt(want.Version, 10) + "."
	}
	limit := metadata.Limit(role)
	if want.Length >= 0 {
		limit = min(limit, want.Length)
	}
	names := []string{prefix + role + ".json", prefix + url.PathEscape(role) + ".json"}
	raw, err := m.read(ctx, m.tag, limit, names...)
	if !errors.Is(err, tuf.ErrNotFound) || metadata.IsTopLevel(role) || role == m.tag || metadata.CheckTag(role) != nil {
		return raw, err
	}
	return m.read(ctx, role, limit, names...)
}

// read returns the first file of that name in the manifest under a tag.
func (m *TUFMirror) read(ctx context.Context, tag string, limit int64, names ...string) ([]byte, error) {
	got := m.manifest(ctx, tag)
	if got.err != nil {
		return nil, got.err
	}
	for _, name := range names {
		layer, ok := got.files[name]
		if !ok {
			continue
		}
		if layer.Size < 1 || layer.Size > limit {
			return nil, fmt.Errorf("%s: %w: %s of %d bytes where at most %d are allowed", m.name, ErrTooLarge, name, layer.Size, limit)
		}
		return got.from.blob(ctx, layer)
	}
	return nil, fmt.Errorf("%s:%s: %w: %s", m.name, tag, tuf.ErrNotFound, names[0])
}

// manifest reads the manifest under a tag, once.
func (m *TUFMirror) manifest(ctx context.Context, tag string) *mirrored {
	m.mu.Lock()
	got := m.tags[tag]
	if got == nil {
		got = &mirrored{}
		m.tags[tag] = got
	}
	m.mu.Unlock()
	got.once.Do(func() { got.from, got.files, got.err = m.readManifest(ctx, tag) })
	return got
}

func (m *TUFMirror) readManifest(ctx context.Context, tag string) (backend, map[string]ocispec.Descriptor, error) {
	from := m.backend
	_, raw, err := from.manifest(ctx, tag)
	if errors.Is(err, ErrNotFound) && m.untagged != nil {
		from, raw, err = m.readUntagged(ctx, tag)
	}
	if errors.Is(err, ErrNotFound) && tag != m.tag {
		return from, nil, nil // a role that the mirror does not have
	}
	if err != nil {
		return from, nil, err
	}
	files, err := mirroredFiles(raw)
	if err != nil {
		return from, nil, fmt.Errorf("%s:%s: %w", m.name, tag, err)
	}
	return from, files, nil
}

// readUntagged reads the manifest that no tag names: that of the top level in
// the layout, of a role in a layout below it. A tag is one safe folder name.
func (m *TUFMirror) readUntagged(ctx context.Context, tag string) (backend, []byte, error) {
	from := m.untagged
	if tag != m.tag {
		from = newLayout(Repository{Dir: filepath.Join(from.dir, tag)})
	}
	raw, err := from.only(ctx)
	return from, raw, err
}

// mirroredFiles returns the layers that have a TUF file's name, the first of
// each name.
func mirroredFiles(raw []byte) (map[string]ocispec.Descriptor, error) {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if t := manifest.ArtifactType; t == metadata.ArtifactTypeState || t == metadata.ArtifactTypeDraft {
		return nil, fmt.Errorf("%w: this is a trust repository of Carnet and no plain TUF repository: copy it with `carnet sync`", ErrReference)
	}
	if len(manifest.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: %d layers", ErrTooLarge, len(manifest.Layers))
	}
	files := map[string]ocispec.Descriptor{}
	for _, l := range manifest.Layers {
		name := l.Annotations[metadata.AnnotationFilename]
		if _, twice := files[name]; twice || name == "" || l.MediaType != metadata.MediaTypeFile {
			continue
		}
		if !isSHA256(l.Digest) {
			return nil, fmt.Errorf("%w: digest %.100q", ErrCorrupt, l.Digest)
		}
		files[name] = ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
	}
	return files, nil
}
