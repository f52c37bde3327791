package registrystore

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// archiveWriter writes a tar into a temporary file.
type archiveWriter struct {
	file *os.File
	buf  *bufio.Writer
	tar  *tar.Writer
}

func newArchiveWriter(path string) (*archiveWriter, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file, and is not replaced by one", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return nil, err
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	return &archiveWriter{file: f, buf: buf, tar: tar.NewWriter(buf)}, nil
}

// abandon leaves nothing behind.
func (w *archiveWriter) abandon() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// finish puts the file in its place.
func (w *archiveWriter) finish(path string) (int64, error) {
	err := errors.Join(w.tar.Close(), w.buf.Flush())
	info, serr := w.file.Stat()
	if err = errors.Join(err, serr, w.file.Chmod(0o644), w.file.Sync()); err != nil {
		w.abandon()
		return 0, err
	}
	if err := errors.Join(w.file.Close(), os.Rename(w.file.Name(), path)); err != nil {
		return 0, errors.Join(err, os.Remove(w.file.Name()))
	}
	return info.Size(), syncDir(filepath.Dir(path))
}

// header begins a file. It says nothing that two machines could say
// differently: no time, no owner.
func (w *archiveWriter) header(name string, kind byte, size int64) error {
	mode := int64(0o644)
	if kind == tar.TypeDir {
		mode = 0o755
	}
	return w.tar.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Size: size, Mode: mode, ModTime: time.Unix(0, 0)})
}

func (w *archiveWriter) add(name string, raw []byte) error {
	if err := w.header(name, tar.TypeReg, int64(len(raw))); err != nil {
		return err
	}
	_, err := w.tar.Write(raw)
	return err
}

func (w *archiveWriter) write(ctx context.Context, index []byte, contents []archivedContent, step func()) error {
	if err := w.add(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`)); err != nil {
		return err
	}
	if err := w.add(ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	for _, dir := range []string{ocispec.ImageBlobsDir + "/", ocispec.ImageBlobsDir + "/sha256/"} {
		if err := w.header(dir, tar.TypeDir, 0); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	fetched := fetchInOrder(gctx, g, contents)
	g.Go(func() error {
		for c := range fetched {
			if err := w.content(gctx, c); err != nil {
				return err
			}
			step()
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// fetching is a content whose bytes come.
type fetching struct {
	archivedContent
	done chan error // nil: they are at hand, or too many to be held
}

// fetchInOrder gives contents in their order, while small ones that come next
// are fetched already.
func fetchInOrder(ctx context.Context, g *errgroup.Group, contents []archivedContent) <-chan *fetching {
	out := make(chan *fetching, parallel)
	g.Go(func() error {
		defer close(out)
		for _, c := range contents {
			f := &fetching{archivedContent: c}
			if c.raw == nil && c.desc.Size <= maxBuffered {
				f.done = make(chan error, 1)
				g.Go(func() (err error) {
					f.raw, err = c.from.backend.blob(ctx, c.desc)
					f.done <- err
					return nil // whoever waits for it judges
				})
			}
			select {
			case out <- f:
			case <-ctx.Done():
				return nil // somebody else says why
			}
		}
		return nil
	})
	return out
}

// content writes one blob.
func (w *archiveWriter) content(ctx context.Context, f *fetching) error {
	if f.done != nil {
		select {
		case err := <-f.done:
			if err != nil {
				return f.missing(err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	name := ocispec.ImageBlobsDir + "/sha256/" + f.desc.Digest.Encoded()
	if f.raw != nil || f.desc.Size == 0 {
		return w.add(name, f.raw)
	}
	rc, err := f.from.backend.open(ctx, f.desc)
	if err != nil {
		return f.missing(err)
	}
	if err := w.header(name, tar.TypeReg, f.desc.Size); err != nil {
		_ = rc.Close()
		return err
	}
	return w.stream(ctx, f.archivedContent, rc)
}

// missing forgives a blob that is kept elsewhere.
func (c archivedContent) missing(err error) error {
	if isAbsent(err) && c.optional {
		return nil
	}
	return err
}

// stream copies a large blob. A stream that breaks off is opened again and
// what was written of it is passed by; what counts in the end is what was
// written.
func (w *archiveWriter) stream(ctx context.Context, c archivedContent, rc io.ReadCloser) error {
	sum := sha256.New()
	to := io.MultiWriter(w.tar, sum)
	n := int64(0)
	for attempt := 1; ; attempt++ {
		more, err := copyTo(to, rc)
		n += more
		_ = rc.Close()
		if err == nil {
			break
		}
		if attempt == maxReads || errors.Is(err, ErrCorrupt) || ctx.Err() != nil || errors.Is(err, errWriting) {
			return err
		}
		if rc, err = c.from.backend.open(ctx, c.desc); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, rc, n); err != nil {
			_ = rc.Close()
			return err
		}
	}
	if fmt.Sprintf("%x", sum.Sum(nil)) != c.desc.Digest.Encoded() {
		return c.from.backendError("read blob "+c.desc.Digest.String(), fmt.Errorf("%w: want %s", ErrCorrupt, c.desc.Digest))
	}
	return nil
}

func (a *Artifacts) backendError(op string, err error) error { return wrap(a.name, op, err) }

// errWriting marks an error of the side that is written.
var errWriting = errors.New("the file could not be written")

// copyTo is io.Copy that tells which side failed.
func copyTo(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(marking{w}, onlyReader{r}, make([]byte, 256<<10))
}

// marking marks the errors of a writer.
type marking struct{ w io.Writer }

func (f marking) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errWriting, err)
	}
	return n, err
}
