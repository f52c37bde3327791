package registrystore

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"crypto/sha256"
	"encoding/hex"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// checked is a stream that fails at its end, before its last bytes are given,
// if they are not what a descriptor says.
type checked struct {
	io.ReadCloser
	desc ocispec.Descriptor
	sum  hash.Hash
	n    int64
}

func newChecked(rc io.ReadCloser, desc ocispec.Descriptor) *checked {
	return &checked{ReadCloser: rc, desc: desc, sum: sha256.New()}
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	switch {
	case c.n > c.desc.Size:
		return 0, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, c.desc.Size)
	case c.n == c.desc.Size && hex.EncodeToString(c.sum.Sum(nil)) != c.desc.Digest.Encoded():
		return 0, fmt.Errorf("%w: want %s", ErrCorrupt, c.desc.Digest)
	case err == io.EOF && c.n < c.desc.Size:
		return 0, fmt.Errorf("%w: %d bytes of %d", errBroken, c.n, c.desc.Size)
	}
	return n, err
}

// named is a stream whose errors name the repository that it comes from.
type named struct {
	io.ReadCloser
	wrap func(error) error
}

func (s *named) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = s.wrap(err)
	}
	return n, err
}

func (b *remoteBackend) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	op := "read blob " + desc.Digest.String()
	if !isSHA256(desc.Digest) {
		return nil, b.wrap(op, fmt.Errorf("%w: digest %.100q", ErrCorrupt, desc.Digest))
	}
	rc, err := b.repo.Blobs().Fetch(ctx, desc)
	if err != nil {
		return nil, b.wrap(op, err)
	}
	return &named{newChecked(rc, desc), func(err error) error { return b.wrap(op, err) }}, nil
}

// pushStream mounts the blob if it can, and begins anew when the outcome of an
// upload is not clear, or its source broke off.
func (b *remoteBackend) pushStream(ctx context.Context, desc ocispec.Descriptor, from string, get func() (io.ReadCloser, error)) error {
	op := "push blob " + desc.Digest.String()
	for attempt := 1; ; attempt++ {
		err := b.upload(ctx, desc, from, get)
		if err == nil {
			return nil
		}
		if there, aerr := b.repo.Blobs().Exists(ctx, desc); aerr == nil && there {
			return nil
		}
		if attempt == maxReads || ctx.Err() != nil || from == "" && refused(err) || errors.Is(err, ErrCorrupt) || isAbsent(err) {
			return b.wrap(op, err)
		}
		from = "" // a registry may refuse to mount and take an upload
		if serr := sleep(ctx, time.Duration(attempt)*50*time.Millisecond); serr != nil {
			return b.wrap(op, err)
		}
	}
}

func (b *remoteBackend) upload(ctx context.Context, desc ocispec.Descriptor, from string, get func() (io.ReadCloser, error)) error {
	if from != "" {
		return b.repo.Mount(ctx, desc, from, get)
	}
	rc, err := get()
	if err != nil {
		return err
	}
	defer rc.Close()
	return b.repo.Blobs().Push(ctx, desc, rc)
}

func (b *layoutBackend) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	op := "read blob " + desc.Digest.String()
	path, err := b.blobPath(desc.Digest)
	if err != nil {
		return nil, b.wrap(op, err)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, b.wrap(op, errors.Join(err, ctx.Err()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, b.wrap(op, err)
	}
	return &named{newChecked(f, desc), func(err error) error { return b.wrap(op, err) }}, nil
}

func (b *layoutBackend) pushStream(ctx context.Context, desc ocispec.Descriptor, _ string, get func() (io.ReadCloser, error)) error {
	op := "write blob " + desc.Digest.String()
	path, err := b.blobPath(desc.Digest)
	if err != nil {
		return b.wrap(op, err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		if err := b.locked(ctx, op, func() error { return nil }); err != nil {
			return err
		}
	}
	rc, err := get()
	if err != nil {
		return err
	}
	defer rc.Close()
	return b.wrap(op, writeStream(path, rc))
}

// writeStream replaces a file whole by what r gives, durably.
func writeStream(path string, r io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, r); err != nil {
		return err
	}
	if err = errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
