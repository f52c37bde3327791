package registrystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/carnet-project/carnet/metadata"
)

// maxTags and maxReferrers bound what a repository may list.
const (
	maxTags      = 200_000
	maxReferrers = 1_000
	maxTagPages  = 2_000
)

// remoteBackend is a repository in a registry.
type remoteBackend struct {
	name string
	repo *remote.Repository
}

func (r *Registries) remote(repo Repository) (*remoteBackend, error) {
	ref := registry.Reference{Registry: repo.Host, Repository: repo.Name}
	if err := ref.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return &remoteBackend{name: repo.String(), repo: &remote.Repository{
		Client: r.client, Reference: ref, PlainHTTP: r.opts.plainHTTP(repo.Host),
		MaxMetadataBytes: metadata.MaxManifest, TagListMaxPages: maxTagPages, SkipReferrersGC: true,
		HandleWarning: func(remote.Warning) {},
	}}, nil
}

func (b *remoteBackend) resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	desc, err := b.repo.Manifests().Resolve(ctx, ref)
	if err == nil && desc.Digest.Validate() != nil {
		err = fmt.Errorf("%w: the registry names no digest", ErrCorrupt)
	}
	return desc, b.wrap("resolve "+ref, err)
}

func (b *remoteBackend) manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	desc, rc, err := b.repo.Manifests().FetchReference(ctx, ref)
	if err != nil {
		return desc, nil, b.wrap("read "+ref, err)
	}
	defer rc.Close()
	raw, err := readBounded(rc, metadata.MaxManifest)
	if err == nil {
		desc, err = describe(desc, raw)
	}
	return desc, raw, b.wrap("read "+ref, err)
}

// describe returns the descriptor of what was read, and fails if the answer's
// headers, or the digest asked for, said otherwise.
func describe(said ocispec.Descriptor, raw []byte) (ocispec.Descriptor, error) {
	d := digest.FromBytes(raw)
	if said.Digest.Algorithm() == digest.SHA256 && said.Digest != d {
		return said, fmt.Errorf("%w: want %s, found %s", ErrCorrupt, said.Digest, d)
	}
	return ocispec.Descriptor{MediaType: said.MediaType, Digest: d, Size: int64(len(raw))}, nil
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return raw, nil
}

func (b *remoteBackend) blob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	op := "read blob " + desc.Digest.String()
	rc, err := b.repo.Blobs().Fetch(ctx, desc)
	if err != nil {
		if errors.Is(err, content.ErrMismatchedDigest) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return nil, b.wrap(op, err)
	}
	defer rc.Close()
	raw, err := content.ReadAll(rc, desc)
	if errors.Is(err, content.ErrMismatchedDigest) || errors.Is(err, content.ErrTrailingData) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return raw, b.wrap(op, err)
}

func (b *remoteBackend) tags(ctx context.Context) ([]string, error) {
	var out []string
	err := b.repo.Tags(ctx, "", func(page []string) error {
		if out = append(out, page...); len(out) > maxTags {
			return fmt.Errorf("%w: more than %d tags", ErrTooLarge, maxTags)
		}
		return nil
	})
	if errors.Is(b.wrap("", err), ErrNotFound) {
		return nil, nil // an empty repository
	}
	return out, b.wrap("list tags", err)
}

func (b *remoteBackend) pushBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	err := b.repo.Blobs().Push(ctx, desc, bytes.NewReader(data))
	return b.wrap("push blob "+desc.Digest.String(), err)
}

func (b *remoteBackend) pushManifest(ctx context.Context, tag string, desc ocispec.Descriptor, data []byte, moves bool) error {
	if desc.Size > metadata.MaxManifest {
		return b.wrap("push "+tag, fmt.Errorf("%w: a manifest of %d bytes where registries accept %d", ErrTooLarge, desc.Size, metadata.MaxManifest))
	}
	if moves {
		ctx = context.WithValue(ctx, noRetryKey, true)
	}
	if tag == "" {
		return b.wrap("push manifest", b.repo.Manifests().Push(ctx, desc, bytes.NewReader(data)))
	}
	return b.wrap("push "+tag, b.repo.Manifests().PushReference(ctx, desc, bytes.NewReader(data), tag))
}

// remove deletes by digest: distribution-spec 1.1 lets registries refuse to
// delete a tag, and some do. Other tags of the same manifest go with it.
func (b *remoteBackend) remove(ctx context.Context, tags []string) error {
	for _, tag := range tags {
		desc, err := b.resolve(ctx, tag)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			err = b.wrap("delete "+tag, b.repo.Manifests().Delete(ctx, desc))
		}
		if err == nil {
			err = b.gone(ctx, tag)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// gone makes sure that a tag went with its manifest: not everywhere it does.
func (b *remoteBackend) gone(ctx context.Context, tag string) error {
	if _, err := b.resolve(ctx, tag); !errors.Is(err, ErrNotFound) {
		return errors.Join(err, b.wrap("delete "+tag, fmt.Errorf("%w: the registry deletes manifests and keeps their tags", ErrReadOnly)))
	}
	return nil
}

func (b *remoteBackend) referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	err := b.repo.Referrers(ctx, desc, "", func(page []ocispec.Descriptor) error {
		if out = append(out, page...); len(out) > maxReferrers {
			return fmt.Errorf("%w: more than %d referrers", ErrTooLarge, maxReferrers)
		}
		return nil
	})
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	return out, b.wrap("list referrers of "+desc.Digest.String(), err)
}
