package registrystore

import (
	"context"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Repair asks for every file of p, one request without a body each and one for
// all that have the same bytes, and stores again what a collector or an
// accident took and what is still at hand: inlined in the manifest or in the
// cache. It returns the files that are gone for good.
func (t *Trust) Repair(ctx context.Context, p *tuf.Publication) ([]tuf.File, error) {
	var mu sync.Mutex
	var gone []tuf.File
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, f := range distinct(p.Files()) {
		g.Go(func() error {
			ok, err := t.repairFile(ctx, f)
			if err == nil && !ok {
				mu.Lock()
				defer mu.Unlock()
				gone = append(gone, f)
			}
			return err
		})
	}
	return gone, g.Wait()
}

func (t *Trust) repairFile(ctx context.Context, f tuf.File) (bool, error) {
	desc := ocispec.Descriptor{MediaType: metadata.MediaTypeFile, Digest: f.Digest, Size: f.Length}
	there, err := t.backend.hasBlob(ctx, desc)
	if there || err != nil {
		return there, err
	}
	raw := f.Data
	if raw == nil {
		raw = t.local(f.Digest)
	}
	if raw == nil {
		t.forget(f)
		return false, nil
	}
	return true, t.store(ctx, desc, raw, false)
}

// forget says that a file is not stored here, whatever manifests list.
func (t *Trust) forget(f tuf.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.there, f.Digest)
}

// StoreFile stores a file, whose bytes are at hand, unless it is there. It may
// be called by several goroutines.
func (t *Trust) StoreFile(ctx context.Context, f tuf.File) error {
	return t.pushFiles(ctx, []tuf.File{f})
}

// An import writes to a trust repository, with a lock and without.
var (
	_ tuf.Destination = (*Trust)(nil)
	_ tuf.Destination = (*lockedTrust)(nil)
)
