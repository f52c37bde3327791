package registrystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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
	// A page may be empty and name a next one for ever.
	maxReferrerPages = 100
	maxEvidencePages = 8 // of a list in which evidence is looked for
)

// remoteBackend is a repository in a registry.
type remoteBackend struct {
	name string
	repo *remote.Repository
	// plain is repo without oras-go's own index of referrers, which loses what
	// others write at the same time (see link).
	plain *remote.Repository
	// pages is plain, and reads so many pages of a list of referrers.
	pages func(most int) *remote.Repository

	mu  sync.Mutex
	api *bool // whether there is a referrers API, nil: not known; guarded by mu
}

func (r *Registries) remote(repo Repository) (*remoteBackend, error) {
	ref := registry.Reference{Registry: repo.Host, Repository: repo.Name}
	if err := ref.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	client := func(pages int) *remote.Repository {
		return &remote.Repository{
			Client: r.client, Reference: ref, PlainHTTP: r.opts.plainHTTP(repo.Host),
			MaxMetadataBytes: metadata.MaxManifest, TagListMaxPages: maxTagPages, ReferrerListMaxPages: pages, SkipReferrersGC: true,
			HandleWarning: func(remote.Warning) {},
		}
	}
	byAPI := func(pages int) *remote.Repository {
		repo := client(pages)
		_ = repo.SetReferrersCapability(true) // fails only where it was set before
		return repo
	}
	return &remoteBackend{name: repo.String(), repo: client(maxReferrerPages), plain: byAPI(maxReferrerPages), pages: byAPI}, nil
}

// resolve asks by HEAD, and where that names no digest by GET.
func (b *remoteBackend) resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	desc, err := b.repo.Manifests().Resolve(ctx, ref)
	if isMalformed(err) {
		desc, _, err = b.manifest(ctx, ref)
	}
	if err == nil && !isSHA256(desc.Digest) {
		err = fmt.Errorf("%w: digest %.100q", ErrCorrupt, desc.Digest)
	}
	return desc, b.wrap("resolve "+ref, err)
}

func (b *remoteBackend) manifest(ctx context.Context, ref string) (desc ocispec.Descriptor, raw []byte, err error) {
	err = b.reading(ctx, func() error {
		var rc io.ReadCloser
		desc, rc, err = b.repo.Manifests().FetchReference(ctx, ref)
		if err != nil {
			return err
		}
		defer rc.Close()
		if raw, err = readBounded(rc, metadata.MaxManifest); err != nil {
			return err
		}
		desc, err = describe(desc, raw)
		return err
	})
	return desc, raw, b.wrap("read "+ref, err)
}

// errBroken says that an answer ended before its end.
var errBroken = errors.New("the answer broke off")

// maxReads is how often what breaks off is read.
const maxReads = 3

// reading reads again what broke off in the middle, which the transport
// cannot see.
func (b *remoteBackend) reading(ctx context.Context, read func() error) error {
	for attempt := 1; ; attempt++ {
		err := read()
		if !errors.Is(err, errBroken) || attempt == maxReads || ctx.Err() != nil {
			return err
		}
		if err := sleep(ctx, time.Duration(attempt)*50*time.Millisecond); err != nil {
			return err
		}
	}
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

func readBounded(r io.Reader, limit int64) ([]byte, error) { return readSized(r, limit, 0) }

// readSized is readBounded with memory for a size that is likely, which must
// be one that nobody can lie about, or small.
func readSized(r io.Reader, limit, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(max(min(size, limit), 0)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return b.Bytes(), nil
}

// maxAhead is how much memory is taken, in bytes, because a descriptor says
// so: whoever wrote it may have lied, and many are read at once.
const maxAhead = 1 << 20

func (b *remoteBackend) blob(ctx context.Context, desc ocispec.Descriptor) (raw []byte, err error) {
	err = b.reading(ctx, func() error {
		rc, err := b.repo.Blobs().Fetch(ctx, desc)
		if err != nil {
			return err
		}
		defer rc.Close()
		if raw, err = readSized(rc, desc.Size, min(desc.Size, maxAhead)); errors.Is(err, ErrTooLarge) {
			return fmt.Errorf("%w: more than %d bytes", ErrCorrupt, desc.Size)
		} else if err != nil {
			return err
		}
		if int64(len(raw)) != desc.Size || digest.FromBytes(raw) != desc.Digest {
			return fmt.Errorf("%w: want %d bytes with %s, found %d with %s", ErrCorrupt, desc.Size, desc.Digest, len(raw), digest.FromBytes(raw))
		}
		return nil
	})
	return raw, b.wrap("read blob "+desc.Digest.String(), err)
}

func (b *remoteBackend) hasBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	there, err := b.repo.Blobs().Exists(ctx, desc)
	return there, b.wrap("look for blob "+desc.Digest.String(), err)
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

// pushBlob begins anew, with a new upload session, when the outcome of an
// upload is not clear and the blob is not there.
func (b *remoteBackend) pushBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	for attempt := 1; ; attempt++ {
		err := b.repo.Blobs().Push(ctx, desc, bytes.NewReader(data))
		if err == nil || refused(err) || attempt == maxReads || ctx.Err() != nil {
			return b.wrap("push blob "+desc.Digest.String(), err)
		}
		if there, aerr := b.repo.Blobs().Exists(ctx, desc); aerr == nil && there {
			return nil
		}
		if serr := sleep(ctx, time.Duration(attempt)*50*time.Millisecond); serr != nil {
			return b.wrap("push blob "+desc.Digest.String(), err)
		}
	}
}

func (b *remoteBackend) pushManifest(ctx context.Context, tag string, desc ocispec.Descriptor, data []byte, moves bool) error {
	if desc.Size > metadata.MaxManifest {
		return b.wrap("push "+tag, fmt.Errorf("%w: a manifest of %d bytes where registries accept %d", ErrTooLarge, desc.Size, metadata.MaxManifest))
	}
	if moves {
		ctx = context.WithValue(ctx, onceKey, true)
	}
	if tag == "" {
		return b.wrap("push manifest", b.plain.Manifests().Push(ctx, desc, bytes.NewReader(data)))
	}
	return b.wrap("push "+tag, b.plain.Manifests().PushReference(ctx, desc, bytes.NewReader(data), tag))
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
