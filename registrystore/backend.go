package registrystore

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// backend is one OCI repository: in a registry or an image layout. It moves
// bytes and checks that they are what descriptors say; every read is bounded
// before it is made. Its errors are *Error.
type backend interface {
	// resolve returns what a tag or digest names: its media type, digest, size.
	resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
	// manifest returns the manifest that a tag or digest names, at most
	// metadata.MaxManifest bytes.
	manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error)
	// blob returns the bytes of desc, whose size the caller has bounded.
	blob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)
	// hasBlob reports whether desc is said to be there.
	hasBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error)
	// confirm fails unless desc can be read, as far as its length and its first
	// byte say.
	confirm(ctx context.Context, desc ocispec.Descriptor) error
	// tags returns all tags in no order, none for a repository without any.
	tags(ctx context.Context) ([]string, error)
	// pushBlob stores data. It does not ask first whether it is there.
	pushBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error
	// open reads the blob desc as a stream, which fails at its end if it is not
	// what desc says.
	open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
	// pushStream stores a blob that get opens, once or more; the memory that it
	// takes does not depend on the blob's size. From, if not "", is a repository
	// of the same registry that has it.
	pushStream(ctx context.Context, desc ocispec.Descriptor, from string, get func() (io.ReadCloser, error)) error
	// pushManifest stores a manifest under a tag, or without one under its
	// digest. A tag that may move is sent once and never repeated.
	pushManifest(ctx context.Context, tag string, desc ocispec.Descriptor, data []byte, moves bool) error
	// remove takes the tags away, with the manifests that had no other. Where
	// it would have to delete a manifest with all its tags, it asks may.
	remove(ctx context.Context, tags []string, may func(tag string, manifest []byte) bool) error
	// referrers returns the manifests whose subject is desc.
	referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error)
	// claimed returns, in one round, all that any list of referrers names.
	claimed(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error)
	// link makes pushed manifests be listed as referrers of subject, and gone
	// ("" for none) no more, where nobody else does it.
	link(ctx context.Context, subject digest.Digest, refs []ocispec.Descriptor, gone digest.Digest) error
}
