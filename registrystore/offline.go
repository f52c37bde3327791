package registrystore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// ErrOffline says that a registry would have to be asked.
var ErrOffline = errors.New("not known here, and no registry is asked when offline")

// offlineBackend is a registry's repository as the cache remembers it: the
// state manifest that it had last. Files come from the cache before a backend
// is asked. It opens no socket.
type offlineBackend struct {
	name  string
	cache *Cache
}

func (b *offlineBackend) hasBlob(_ context.Context, desc ocispec.Descriptor) (bool, error) {
	return b.cache.Get(desc.Digest) != nil, nil
}

func (b *offlineBackend) refuse(op string) error {
	return &Error{Repository: b.name, Op: op, Kind: ErrOffline, Err: ErrOffline}
}

func (b *offlineBackend) manifest(_ context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	if k := b.cache.latest(b.name); k != nil && ref == metadata.TagLatest {
		return ocispec.Descriptor{MediaType: k.mediaType, Digest: k.digest, Size: int64(len(k.body))}, k.body, nil
	}
	return ocispec.Descriptor{}, nil, b.refuse("read " + ref)
}

func (b *offlineBackend) resolve(_ context.Context, ref string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, b.refuse("resolve " + ref)
}

func (b *offlineBackend) blob(_ context.Context, desc ocispec.Descriptor) ([]byte, error) {
	return nil, b.refuse("read blob " + desc.Digest.String())
}

func (b *offlineBackend) tags(context.Context) ([]string, error) { return nil, b.refuse("list tags") }

func (b *offlineBackend) pushBlob(_ context.Context, desc ocispec.Descriptor, _ []byte) error {
	return b.refuse("push blob " + desc.Digest.String())
}

func (b *offlineBackend) pushManifest(_ context.Context, tag string, _ ocispec.Descriptor, _ []byte, _ bool) error {
	return b.refuse("push " + tag)
}

func (b *offlineBackend) remove(_ context.Context, tags []string, _ func(string, []byte) bool) error {
	return b.refuse(fmt.Sprintf("delete %d tags", len(tags)))
}

func (b *offlineBackend) referrers(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, b.refuse("list referrers of " + desc.Digest.String())
}

func (b *offlineBackend) claimed(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return b.referrers(ctx, desc)
}

func (b *offlineBackend) link(_ context.Context, subject digest.Digest, _ []ocispec.Descriptor, _ digest.Digest) error {
	return b.refuse("link referrers of " + subject.String())
}

func (b *offlineBackend) open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return nil, b.refuse("read blob " + desc.Digest.String())
}

func (b *offlineBackend) pushStream(_ context.Context, desc ocispec.Descriptor, _ string, _ func() (io.ReadCloser, error)) error {
	return b.refuse("push blob " + desc.Digest.String())
}
