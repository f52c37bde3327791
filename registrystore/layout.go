package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// layoutBackend is a repository in an OCI image layout folder. Writers of
// several processes keep each other out by a file lock; readers need none,
// since every file is replaced whole.
type layoutBackend struct {
	name string
	dir  string
	held bool // this backend holds the lock for a whole publication
	// checked is set once oci-layout was found to have a known version.
	checked atomic.Bool
}

func newLayout(repo Repository) *layoutBackend {
	return &layoutBackend{name: repo.String(), dir: repo.Dir}
}

func (b *layoutBackend) wrap(op string, err error) error { return wrap(b.name, op, err) }

// blobPath returns where a digest's bytes are. Only a SHA-256 in lower-case
// hexadecimal becomes a path, and only in a layout of a version that is known.
func (b *layoutBackend) blobPath(d digest.Digest) (string, error) {
	if err := b.checkVersion(); err != nil {
		return "", err
	}
	if !isSHA256(d) {
		return "", fmt.Errorf("%w: digest %.100q", ErrCorrupt, d)
	}
	return filepath.Join(b.dir, ocispec.ImageBlobsDir, "sha256", d.Encoded()), nil
}

func isSHA256(d digest.Digest) bool {
	return d.Validate() == nil && d.Algorithm() == digest.SHA256
}

func (b *layoutBackend) find(ref string) (ocispec.Descriptor, error) {
	if d, err := digest.Parse(ref); err == nil {
		return b.findDigest(d)
	}
	idx, err := b.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var found ocispec.Descriptor
	for _, e := range idx.entries {
		if e.tag() != ref {
			continue
		}
		if found.Digest != "" && found.Digest != e.Digest {
			return found, fmt.Errorf("%w: tag %q stands for several manifests", ErrCorrupt, ref)
		}
		found = ocispec.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size}
	}
	if found.Digest == "" {
		return found, fmt.Errorf("%w: no tag %q", ErrNotFound, ref)
	}
	return found, nil
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
	if err == nil && !isSHA256(desc.Digest) {
		err = fmt.Errorf("%w: digest %.100q", ErrCorrupt, desc.Digest)
	}
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

// only reads the manifest of a layout that holds just one, without a tag.
func (b *layoutBackend) only(ctx context.Context) ([]byte, error) {
	idx, err := b.index()
	if err != nil {
		return nil, b.wrap("read", err)
	}
	if len(idx.entries) != 1 || idx.entries[0].tag() != "" {
		return nil, b.wrap("read", fmt.Errorf("%w: no manifest without a tag, alone in its layout", ErrNotFound))
	}
	_, raw, err := b.manifest(ctx, idx.entries[0].Digest.String())
	return raw, err
}

func (b *layoutBackend) blob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	op := "read blob " + desc.Digest.String()
	path, err := b.blobPath(desc.Digest)
	if err != nil {
		return nil, b.wrap(op, err)
	}
	raw, err := readFile(path, desc.Size)
	if errors.Is(err, ErrTooLarge) || err == nil && (int64(len(raw)) != desc.Size || digest.FromBytes(raw) != desc.Digest) {
		err = fmt.Errorf("%w: the layout is damaged or half written", ErrCorrupt)
	}
	return raw, b.wrap(op, errors.Join(err, ctx.Err()))
}

// readFile reads a regular file, or a link to one, of at most limit bytes. It
// opens nothing else: a pipe would never end.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrCorrupt, filepath.Base(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSized(f, limit, info.Size())
}

func (b *layoutBackend) hasBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	there, err := b.findDigest(desc.Digest)
	if errors.Is(err, os.ErrNotExist) {
		return false, ctx.Err()
	}
	return err == nil && there.Size == desc.Size, b.wrap("look for blob "+desc.Digest.String(), errors.Join(err, ctx.Err()))
}

func (b *layoutBackend) tags(ctx context.Context) ([]string, error) {
	idx, err := b.index()
	if err != nil {
		return nil, b.wrap("list tags", err)
	}
	var out []string
	for _, e := range idx.entries {
		if tag := e.tag(); tag != "" {
			out = append(out, tag)
		}
	}
	return out, ctx.Err()
}

// referrers reads every manifest in the index: a layout has no other list.
func (b *layoutBackend) referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	out, failed := b.readable(ctx, subject)
	return out, errors.Join(failed...)
}

// readable returns the referrers that can be read, and why others could not:
// any of them may be one.
func (b *layoutBackend) readable(ctx context.Context, subject ocispec.Descriptor) (out []ocispec.Descriptor, failed []error) {
	idx, err := b.index()
	if err != nil {
		return nil, []error{b.wrap("list referrers", err)}
	}
	seen := map[digest.Digest]bool{}
	for _, e := range idx.entries {
		if seen[e.Digest] || e.Size > metadata.MaxManifest || !isSHA256(e.Digest) {
			continue
		}
		seen[e.Digest] = true
		raw, err := b.blob(ctx, e.Descriptor)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if r, ok := referrerOf(subject.Digest, e.Descriptor, raw); ok {
			out = append(out, r)
		}
	}
	return out, failed
}

// referrerOf describes raw as a referrer if its subject is the one asked for.
func referrerOf(subject digest.Digest, desc ocispec.Descriptor, raw []byte) (ocispec.Descriptor, bool) {
	a, err := decodeArtifact(desc, raw)
	if err != nil || a.Subject != subject {
		return desc, false
	}
	return ocispec.Descriptor{MediaType: a.MediaType, ArtifactType: a.ArtifactType, Digest: desc.Digest, Size: desc.Size, Annotations: a.Annotations}, true
}

// claimed passes by what cannot be read: it may be anything.
func (b *layoutBackend) claimed(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	out, failed := b.readable(ctx, subject)
	failed = slices.DeleteFunc(failed, isAbsent)
	if n := len(failed); n > 1 {
		return out, fmt.Errorf("%w, and %d more", failed[0], n-1)
	}
	return out, errors.Join(failed...)
}

// link has nothing to do: in a layout referrers are found by their subject.
func (b *layoutBackend) link(context.Context, digest.Digest, []ocispec.Descriptor, digest.Digest) error {
	return nil
}
