package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// maxIndex bounds a layout's index.json, in bytes.
const maxIndex = 64 << 20

// layoutBackend is a repository in an OCI image layout folder. Writers of
// several processes keep each other out by a file lock; readers need none,
// since every file is replaced whole.
type layoutBackend struct {
	name string
	dir  string
	held bool // this process holds the lock for a whole publication
}

func newLayout(repo Repository) *layoutBackend {
	return &layoutBackend{name: repo.String(), dir: repo.Dir}
}

func (b *layoutBackend) wrap(op string, err error) error { return wrap(b.name, op, err) }

// blobPath returns where a digest's bytes are. Only a SHA-256 in lower-case
// hexadecimal becomes a path.
func (b *layoutBackend) blobPath(d digest.Digest) (string, error) {
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("%w: digest %q", ErrCorrupt, d)
	}
	return filepath.Join(b.dir, ocispec.ImageBlobsDir, "sha256", d.Encoded()), nil
}

// index reads index.json. A folder that does not exist, or is empty, is a
// layout without content.
func (b *layoutBackend) index() (*ocispec.Index, error) {
	raw, err := readFile(filepath.Join(b.dir, ocispec.ImageIndexFile), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return b.empty()
	}
	if err != nil {
		return nil, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(raw, &idx); err != nil {
		return nil, fmt.Errorf("%w: index.json: %w", ErrCorrupt, err)
	}
	return &idx, nil
}

func (b *layoutBackend) empty() (*ocispec.Index, error) {
	if _, err := os.Stat(filepath.Join(b.dir, ocispec.ImageBlobsDir)); err == nil {
		return nil, fmt.Errorf("%w: blobs/ without index.json: the layout is half written", ErrCorrupt)
	}
	idx := &ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	idx.Versioned = specs.Versioned{SchemaVersion: 2}
	return idx, nil
}

func (b *layoutBackend) find(ref string) (ocispec.Descriptor, error) {
	if d, err := digest.Parse(ref); err == nil {
		return b.findDigest(d)
	}
	idx, err := b.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, m := range idx.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] == ref {
			return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}, nil
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("%w: no tag %q", ErrNotFound, ref)
}

func (b *layoutBackend) findDigest(d digest.Digest) (ocispec.Descriptor, error) {
	path, err := b.blobPath(d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{Digest: d, Size: info.Size()}, nil
}

func (b *layoutBackend) resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	desc, err := b.find(ref)
	return desc, b.wrap("resolve "+ref, errors.Join(err, ctx.Err()))
}

func (b *layoutBackend) manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	desc, err := b.resolve(ctx, ref)
	if err != nil {
		return desc, nil, err
	}
	if desc.Size > metadata.MaxManifest {
		return desc, nil, b.wrap("read "+ref, fmt.Errorf("%w: a manifest of %d bytes", ErrTooLarge, desc.Size))
	}
	raw, err := b.blob(ctx, desc)
	if err != nil {
		return desc, nil, err
	}
	var head struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(raw, &head) == nil && desc.MediaType == "" {
		desc.MediaType = head.MediaType
	}
	return desc, raw, nil
}

func (b *layoutBackend) blob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	op := "read blob " + desc.Digest.String()
	path, err := b.blobPath(desc.Digest)
	if err != nil {
		return nil, b.wrap(op, err)
	}
	raw, err := readFile(path, desc.Size)
	if err == nil && (int64(len(raw)) != desc.Size || digest.FromBytes(raw) != desc.Digest) {
		err = fmt.Errorf("%w: the layout is damaged or half written", ErrCorrupt)
	}
	return raw, b.wrap(op, errors.Join(err, ctx.Err()))
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%w: %s is no regular file", ErrCorrupt, filepath.Base(path)))
	}
	return readBounded(f, limit)
}

func (b *layoutBackend) tags(ctx context.Context) ([]string, error) {
	idx, err := b.index()
	if err != nil {
		return nil, b.wrap("list tags", err)
	}
	var out []string
	for _, m := range idx.Manifests {
		if tag := m.Annotations[ocispec.AnnotationRefName]; tag != "" {
			out = append(out, tag)
		}
	}
	return out, ctx.Err()
}

func (b *layoutBackend) pushBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	op := "write blob " + desc.Digest.String()
	path, err := b.blobPath(desc.Digest)
	if err != nil {
		return b.wrap(op, err)
	}
	if _, err := b.blob(ctx, desc); err == nil {
		return nil
	}
	if err := b.create(); err != nil {
		return b.wrap(op, err)
	}
	return b.wrap(op, WriteFile(path, data, 0o644))
}

// create makes the folders and oci-layout, the marker of image-spec's
// "image-layout" version 1.
func (b *layoutBackend) create() error {
	if err := os.MkdirAll(filepath.Join(b.dir, ocispec.ImageBlobsDir, "sha256"), 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{
		ocispec.ImageLayoutFile: `{"imageLayoutVersion":"1.0.0"}`,
		ocispec.ImageIndexFile:  `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
	} {
		f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.WriteString(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (b *layoutBackend) pushManifest(ctx context.Context, tag string, desc ocispec.Descriptor, data []byte, _ bool) error {
	if desc.Size > metadata.MaxManifest {
		return b.wrap("write "+tag, fmt.Errorf("%w: a manifest of %d bytes", ErrTooLarge, desc.Size))
	}
	if err := b.pushBlob(ctx, desc, data); err != nil {
		return err
	}
	return b.change(ctx, "write "+tag, func(idx *ocispec.Index) {
		idx.Manifests = slices.DeleteFunc(idx.Manifests, func(m ocispec.Descriptor) bool {
			same := m.Digest == desc.Digest && m.Annotations[ocispec.AnnotationRefName] == ""
			return same || tag != "" && m.Annotations[ocispec.AnnotationRefName] == tag
		})
		entry := desc
		if tag != "" {
			entry.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
		}
		idx.Manifests = append(idx.Manifests, entry)
	})
}

// change rewrites index.json under the lock.
func (b *layoutBackend) change(ctx context.Context, op string, edit func(*ocispec.Index)) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return b.wrap(op, err)
	}
	err = b.rewrite(edit)
	return b.wrap(op, errors.Join(err, unlock()))
}

func (b *layoutBackend) rewrite(edit func(*ocispec.Index)) error {
	idx, err := b.index()
	if err != nil {
		return err
	}
	edit(idx)
	raw, err := json.Marshal(idx)
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(b.dir, ocispec.ImageIndexFile), raw, 0o644)
}

// lockName is a file beside the layout's own; image-spec lets others ignore it.
const lockName = ".carnet.lock"

// lock waits for the layout's lock, unless this process holds it already.
func (b *layoutBackend) lock(ctx context.Context) (func() error, error) {
	if b.held {
		return func() error { return nil }, nil
	}
	if err := b.create(); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(b.dir, lockName))
	ok, err := l.TryLockContext(ctx, 10*time.Millisecond)
	if errors.Is(err, context.DeadlineExceeded) || err == nil && !ok {
		return nil, fmt.Errorf("%w: %s", ErrLocked, filepath.Join(b.dir, lockName))
	}
	if err != nil {
		return nil, err
	}
	return l.Unlock, nil
}

func (b *layoutBackend) remove(ctx context.Context, tags []string) error {
	return b.change(ctx, "remove tags", func(idx *ocispec.Index) {
		idx.Manifests = slices.DeleteFunc(idx.Manifests, func(m ocispec.Descriptor) bool {
			return slices.Contains(tags, m.Annotations[ocispec.AnnotationRefName])
		})
	})
}

// referrers reads every manifest in the index: a layout has no other list.
func (b *layoutBackend) referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	idx, err := b.index()
	if err != nil {
		return nil, b.wrap("list referrers", err)
	}
	var out []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, m := range idx.Manifests {
		if seen[m.Digest] || m.Size > metadata.MaxManifest {
			continue
		}
		seen[m.Digest] = true
		raw, err := b.blob(ctx, m)
		if err != nil {
			return nil, err
		}
		if r, ok := referrerOf(subject.Digest, m, raw); ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// referrerOf describes raw as a referrer if its subject is the one asked for.
func referrerOf(subject digest.Digest, desc ocispec.Descriptor, raw []byte) (ocispec.Descriptor, bool) {
	var m struct {
		MediaType    string              `json:"mediaType"`
		ArtifactType string              `json:"artifactType"`
		Config       *ocispec.Descriptor `json:"config"`
		Subject      *ocispec.Descriptor `json:"subject"`
		Annotations  map[string]string   `json:"annotations"`
	}
	if json.Unmarshal(raw, &m) != nil || m.Subject == nil || m.Subject.Digest != subject {
		return desc, false
	}
	if m.ArtifactType == "" && m.Config != nil {
		m.ArtifactType = m.Config.MediaType
	}
	return ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Digest: desc.Digest, Size: desc.Size, Annotations: m.Annotations}, true
}
