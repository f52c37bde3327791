package registrystore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// Archive is a file that carries repositories over an air gap: an image layout
// in one uncompressed tar (docs/spec.md, "Archives"). Nothing of it is ever
// unpacked; every read is checked by its digest. It may be anybody's: what it
// holds is believed as little as what a registry has. It is safe for
// concurrent use.
type Archive struct {
	name    string
	file    io.ReaderAt
	close   func() error
	files   *tarFiles
	entries []Archived

	byRepository map[string][]Archived
}

// Archived is one manifest that an archive names.
type Archived struct {
	MediaType string
	Digest    digest.Digest
	Size      int64 // bytes
	// Repository is where it was saved: "host[:port]/path", or "oci:NAME" for
	// an image layout.
	Repository string
	Tag        string // "" for none
	// Publisher is, in a trust repository, the first 12 hexadecimal digits of
	// the SHA-256 of the publisher's id: a claim.
	Publisher string
}

// OpenArchive opens an archive and checks its form: every name in the tar,
// and index.json. What the files hold is checked as they are read, and by
// [Archive.Check]. The caller closes it.
func OpenArchive(path string) (*Archive, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is no regular file", ErrCorrupt)
	}
	if err != nil {
		return nil, wrap(path, "open", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, wrap(path, "open", err)
	}
	a, err := openedArchive(path, f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	a.close = f.Close
	return a, nil
}

func openedArchive(path string, f *os.File) (*Archive, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, wrap(path, "open", err)
	}
	return NewArchive(path, f, info.Size())
}

// NewArchive is OpenArchive for size bytes that the caller has opened, and will
// close. Errors call them name.
func NewArchive(name string, r io.ReaderAt, size int64) (*Archive, error) {
	a := &Archive{name: name, file: r, close: func() error { return nil }, byRepository: map[string][]Archived{}}
	var err error
	if a.files, err = indexTar(r, size); err == nil {
		err = a.readLayout()
	}
	if err == nil {
		err = a.readIndex()
	}
	if err != nil {
		return nil, wrap(name, "read the archive", err)
	}
	return a, nil
}

// Close ends the use of a and of all that was opened from it.
func (a *Archive) Close() error { return a.close() }

func (a *Archive) String() string { return a.name }

// Entries are the manifests that index.json names, in the file's order.
func (a *Archive) Entries() []Archived { return a.entries }

// Has reports whether the file holds a blob of that name.
func (a *Archive) Has(d digest.Digest) bool {
	_, ok := a.section(d)
	return ok
}

func (a *Archive) section(d digest.Digest) (section, bool) {
	if !isSHA256(d) {
		return section{}, false
	}
	raw, _ := hex.DecodeString(d.Encoded())
	s, ok := a.files.blobs[[sha256.Size]byte(raw)]
	return s, ok
}

func (a *Archive) read(s section) ([]byte, error) {
	return readSized(io.NewSectionReader(a.file, s.at, s.size), s.size, s.size)
}

// readLayout reads the file oci-layout.
func (a *Archive) readLayout() error {
	s := *a.files.layout
	if s.size > maxLayoutFile {
		return fmt.Errorf("%w: oci-layout has %d bytes", ErrTooLarge, s.size)
	}
	raw, err := a.read(s)
	if err != nil {
		return err
	}
	var l ocispec.ImageLayout
	if err := json.Unmarshal(raw, &l); err != nil || l.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("%w: oci-layout: want version %s, found %.40q", ErrCorrupt, ocispec.ImageLayoutVersion, l.Version)
	}
	return nil
}

// readIndex reads index.json.
func (a *Archive) readIndex() error {
	s := *a.files.index
	if s.size > maxIndex {
		return fmt.Errorf("%w: index.json has %d bytes where at most %d are allowed", ErrTooLarge, s.size, maxIndex)
	}
	raw, err := a.read(s)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	err = eachEntry(raw, func(e indexEntry) error {
		if len(a.entries) == maxArchived {
			return fmt.Errorf("%w: it names more than %d manifests", ErrTooLarge, maxArchived)
		}
		entry, err := a.entry(e)
		if err != nil {
			return err
		}
		for _, key := range entry.keys() {
			if seen[key] {
				return fmt.Errorf("%.300q is named twice", key)
			}
			seen[key] = true
		}
		a.entries = append(a.entries, entry)
		a.byRepository[entry.Repository] = append(a.byRepository[entry.Repository], entry)
		return nil
	})
	if err != nil && !errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	return nil
}

// keys are what no other entry may be called: here, and by other tools.
func (e Archived) keys() []string {
	if e.Tag == "" {
		return []string{e.Repository + "@" + e.Digest.String()}
	}
	out := []string{e.Repository + ":" + e.Tag}
	if name := e.refName(); name != out[0] {
		out = append(out, name)
	}
	return out
}

// entry reads one entry of index.json, whose manifest must be in the file.
func (a *Archive) entry(e indexEntry) (Archived, error) {
	out := Archived{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size, Publisher: e.Annotations[metadata.AnnotationPublisher]}
	s, ok := a.section(e.Digest)
	switch {
	case !isSHA256(e.Digest) || e.Size < 1 || e.Size > metadata.MaxManifest:
		return out, fmt.Errorf("%.100q of %d bytes is no manifest", e.Digest, e.Size)
	case !ok:
		return out, fmt.Errorf("the manifest %s is not in the file", e.Digest)
	case s.size != e.Size:
		return out, fmt.Errorf("the manifest %s has %d bytes where %d are said", e.Digest, s.size, e.Size)
	case out.Publisher != "" && !isHex12(out.Publisher):
		return out, fmt.Errorf("%.100q names no publisher", out.Publisher)
	}
	var err error
	out.Repository, out.Tag, err = archivedName(e.Annotations[metadata.AnnotationRepository], e.tag())
	return out, err
}

// archivedName takes apart what an entry is called: its repository by Carnet's
// annotation, and its full name, by OCI's, for other tools.
func archivedName(repository, name string) (repo, tag string, err error) {
	if repository == "" {
		ref, err := ParseReference(name, "")
		if err != nil || ref.IsLayout() || ref.Tag == "" || ref.Digest != "" {
			return "", "", fmt.Errorf("%.300q names no repository: this file was not made by carnet save", name)
		}
		return ref.Repository.String(), ref.Tag, nil
	}
	if err := checkArchivedRepository(repository); err != nil {
		return "", "", err
	}
	if name == "" {
		return repository, "", nil
	}
	tag, ok := strings.CutPrefix(name, strings.TrimPrefix(repository, layoutScheme)+":")
	if !ok || metadata.CheckTag(tag) != nil {
		return "", "", fmt.Errorf("%.300q is no tag of %.300q", name, repository)
	}
	return repository, tag, nil
}

// checkArchivedRepository refuses what names no repository.
func checkArchivedRepository(s string) error {
	if name, ok := strings.CutPrefix(s, layoutScheme); ok {
		return metadata.CheckName(name)
	}
	_, err := ParseRepository(s, "")
	return err
}

// ArchivedPath is the path of a repository's name in an archive, without its
// registry: what is put behind the place where it is loaded.
func ArchivedPath(repository string) string {
	if name, ok := strings.CutPrefix(repository, layoutScheme); ok {
		return name
	}
	_, name, _ := strings.Cut(repository, "/")
	return name
}

// ArchivedName is what a repository is called in an archive.
func (r Repository) ArchivedName() string { return r.Scope() }

// Check reads the whole file once and fails if a blob is not what its name
// says. Step is told how many bytes were read; it may be nil.
func (a *Archive) Check(ctx context.Context, step func(bytes int64)) error {
	type named struct {
		sum [sha256.Size]byte
		section
	}
	all := make([]named, 0, len(a.files.blobs))
	for sum, s := range a.files.blobs {
		all = append(all, named{sum, s})
	}
	slices.SortFunc(all, func(x, y named) int { return cmp.Compare(x.at, y.at) })
	buf := make([]byte, 1<<20)
	for _, b := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := sha256.New()
		if n, err := io.CopyBuffer(h, onlyReader{io.NewSectionReader(a.file, b.at, b.size)}, buf); err != nil || n != b.size {
			return wrap(a.name, fmt.Sprintf("read blob sha256:%x", b.sum), fmt.Errorf("%w: %d bytes of %d: %w", ErrCorrupt, n, b.size, cmp.Or(err, io.ErrUnexpectedEOF)))
		}
		if [sha256.Size]byte(h.Sum(nil)) != b.sum {
			return wrap(a.name, fmt.Sprintf("read blob sha256:%x", b.sum), fmt.Errorf("%w: the file is damaged", ErrCorrupt))
		}
		if step != nil {
			step(b.size)
		}
	}
	return nil
}

// onlyReader hides what else a reader can do, so that the buffer is used.
type onlyReader struct{ io.Reader }

// Size is how many bytes [Archive.Check] reads.
func (a *Archive) Size() int64 {
	var n int64
	for _, s := range a.files.blobs {
		n += s.size
	}
	return n
}
