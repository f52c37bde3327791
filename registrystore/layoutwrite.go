package registrystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// lockName is a file beside the layout's own; image-spec lets others ignore it.
const lockName = ".carnet.lock"

// lock waits for the layout's lock, unless this backend holds it already, and
// makes the layout if there is none.
func (b *layoutBackend) lock(ctx context.Context) (func() error, error) {
	if b.held {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
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
	if err := b.create(); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l.Unlock, nil
}

// create makes what a layout needs (image-spec, "image-layout" version 1):
// index.json before blobs/, so that a writer that is killed leaves a layout
// that is whole. The caller holds the lock.
func (b *layoutBackend) create() error {
	idx, err := b.index()
	if err != nil {
		return err
	}
	raw, err := idx.encode()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{ocispec.ImageIndexFile: raw, ocispec.ImageLayoutFile: []byte(`{"imageLayoutVersion":"1.0.0"}`)} {
		path := filepath.Join(b.dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := WriteFile(path, content, 0o644); err != nil {
				return err
			}
		}
	}
	return os.MkdirAll(filepath.Join(b.dir, ocispec.ImageBlobsDir, "sha256"), 0o755)
}

// locked runs f under the lock.
func (b *layoutBackend) locked(ctx context.Context, op string, f func() error) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return b.wrap(op, err)
	}
	return b.wrap(op, errors.Join(f(), unlock()))
}

// pushBlob needs the lock only to make the layout: blobs are replaced whole,
// by themselves.
func (b *layoutBackend) pushBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	op := "write blob " + desc.Digest.String()
	path, err := b.blobPath(desc.Digest)
	if err != nil {
		return b.wrap(op, err)
	}
	if _, err := b.blob(ctx, desc); err == nil || ctx.Err() != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		if err := b.locked(ctx, op, func() error { return nil }); err != nil {
			return err
		}
	}
	return b.wrap(op, WriteFile(path, data, 0o644))
}

func (b *layoutBackend) pushManifest(ctx context.Context, tag string, desc ocispec.Descriptor, data []byte, _ bool) error {
	if desc.Size > metadata.MaxManifest {
		return b.wrap("write "+tag, fmt.Errorf("%w: a manifest of %d bytes", ErrTooLarge, desc.Size))
	}
	if err := b.pushBlob(ctx, desc, data); err != nil {
		return err
	}
	return b.change(ctx, "write "+tag, func(idx *layoutIndex) error { return idx.set(tag, desc) })
}

func (b *layoutBackend) remove(ctx context.Context, tags []string, _ func(string, []byte) bool) error {
	return b.change(ctx, "remove tags", func(idx *layoutIndex) error { idx.drop(tags); return nil })
}

// change reads index.json under the lock, edits and replaces it: what other
// processes wrote before is there.
func (b *layoutBackend) change(ctx context.Context, op string, edit func(*layoutIndex) error) error {
	return b.locked(ctx, op, func() error {
		idx, err := b.index()
		if err != nil {
			return err
		}
		if err := edit(idx); err != nil {
			return err
		}
		raw, err := idx.encode()
		if err != nil {
			return err
		}
		return WriteFile(filepath.Join(b.dir, ocispec.ImageIndexFile), raw, 0o644)
	})
}
