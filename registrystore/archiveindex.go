package registrystore

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds on an archive. They keep memory and time in proportion to what an
// honest one needs.
const (
	maxMembers    = 1_000_000 // files in the tar
	maxArchived   = 200_000   // manifests that its index.json names
	maxLayoutFile = 4 << 10   // bytes of oci-layout
	maxPadding    = 1 << 20   // zero bytes after the last file
	tarBlock      = 512
	maxPlainSize  = 8<<30 - 1 // bytes that a file's header can say by itself
)

// section is where the bytes of a file are.
type section struct{ at, size int64 }

// tarFiles is what a tar of an image layout holds, and where. Nothing of it is
// read yet but the names.
type tarFiles struct {
	layout, index *section
	blobs         map[[sha256.Size]byte]section
	end           int64 // of the last file
}

// indexTar finds the files of an image layout in a tar. It takes the names
// that a layout has and no other, each once: no link, no device, no other way
// to say a name or a size than a plain header has, nothing between or after.
// Every error wraps ErrCorrupt or ErrTooLarge.
func indexTar(r io.ReaderAt, size int64) (*tarFiles, error) {
	if err := notCompressed(r); err != nil {
		return nil, err
	}
	src := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(src)
	files := &tarFiles{blobs: map[[sha256.Size]byte]section{}}
	for n := 0; ; n++ {
		hdr, err := tr.Next()
		if err == io.EOF {
			return files, errors.Join(files.ends(r, size), files.complete())
		}
		if err != nil {
			return nil, fmt.Errorf("%w: file %d of the tar: %w", ErrCorrupt, n+1, err)
		}
		if n == maxMembers {
			return nil, fmt.Errorf("%w: more than %d files in the tar", ErrTooLarge, maxMembers)
		}
		at, err := src.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if hdr.Size > size-at {
			return nil, fmt.Errorf("%w: %.100q has %d bytes and the tar ends after %d: it is cut off", ErrCorrupt, hdr.Name, hdr.Size, size-at)
		}
		if err = files.add(hdr, section{at, hdr.Size}); err == nil {
			err = checkBlocks(r, files.end, at, hdr)
		}
		if err != nil {
			return nil, err
		}
		files.end = at + (hdr.Size+tarBlock-1)/tarBlock*tarBlock
	}
}

// compressions are how compressed files begin, and what undoes it.
var compressions = map[string]string{"\x1f\x8b": "gunzip", "\x28\xb5\x2f\xfd": "unzstd", "\xfd7zXZ": "unxz", "BZh": "bunzip2"}

func notCompressed(r io.ReaderAt) error {
	head := make([]byte, 8)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	for magic, tool := range compressions {
		if bytes.HasPrefix(head[:n], []byte(magic)) {
			return fmt.Errorf("%w: the file is compressed: run %s on it first", ErrCorrupt, tool)
		}
	}
	return nil
}

// add takes one entry of the tar.
func (f *tarFiles) add(hdr *tar.Header, s section) error {
	if err := checkHeader(hdr); err != nil {
		return err
	}
	name := strings.TrimPrefix(hdr.Name, "./")
	if hdr.Typeflag == tar.TypeDir {
		return checkFolder(hdr, strings.TrimSuffix(name, "/"))
	}
	switch name {
	case ocispec.ImageLayoutFile:
		return once(&f.layout, name, s)
	case ocispec.ImageIndexFile:
		return once(&f.index, name, s)
	}
	return f.addBlob(hdr.Name, name, s)
}

// checkHeader refuses what is no plain file or folder, and headers that say a
// second time, elsewhere, what the file's name or size is: other readers would
// see another file.
func checkHeader(hdr *tar.Header) error {
	if hdr.Typeflag != tar.TypeReg && hdr.Typeflag != tar.TypeDir {
		return fmt.Errorf("%w: %.100q is no plain file (type %q)", ErrCorrupt, hdr.Name, hdr.Typeflag)
	}
	for key := range hdr.PAXRecords {
		switch {
		case key == "size" && hdr.Size > maxPlainSize:
		case key == "path" || key == "linkpath" || key == "size" || strings.HasPrefix(key, "GNU.sparse."):
			return fmt.Errorf("%w: %.100q: its header is overridden by a record %.40q", ErrCorrupt, hdr.Name, key)
		}
	}
	return nil
}

// checkBlocks refuses a file whose own header does not say by itself, in the
// old way that all readers know, what it is called and how long it is, and
// whatever stands between it and the file before, which ends at end: GNU's
// records of long names, parts of names, numbers that are not octal. Records of
// the POSIX kind, which [checkHeader] looks at, may stand there once.
func checkBlocks(r io.ReaderAt, end, at int64, hdr *tar.Header) error {
	var own [tarBlock]byte
	if _, err := r.ReadAt(own[:], end); err != nil {
		return err
	}
	want := end + tarBlock
	if own[typeAt] == tar.TypeXHeader {
		n, err := strconv.ParseInt(string(bytes.Trim(own[sizeAt:sizeAt+12], " \x00")), 8, 64)
		if err != nil {
			return fmt.Errorf("%w: %.100q: the size of its records: %w", ErrCorrupt, hdr.Name, err)
		}
		want += tarBlock + (n+tarBlock-1)/tarBlock*tarBlock
		if _, err := r.ReadAt(own[:], at-tarBlock); err != nil {
			return err
		}
	}
	switch {
	case at != want:
		return fmt.Errorf("%w: %.100q does not follow the file before it", ErrCorrupt, hdr.Name)
	case len(bytes.Trim(own[prefixAt:], "\x00")) > 0:
		return fmt.Errorf("%w: %.100q: a part of its name stands elsewhere", ErrCorrupt, hdr.Name)
	case own[sizeAt]&0x80 != 0 && hdr.Size <= maxPlainSize:
		return fmt.Errorf("%w: %.100q: its size is no octal number", ErrCorrupt, hdr.Name)
	}
	return nil
}

// Where a header says what.
const (
	sizeAt   = 124
	typeAt   = 156
	prefixAt = 345
)

func checkFolder(hdr *tar.Header, name string) error {
	switch name {
	case "", ".", ocispec.ImageBlobsDir, ocispec.ImageBlobsDir + "/sha256":
		if hdr.Size == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: %.100q is no folder of an image layout", ErrCorrupt, hdr.Name)
}

func once(to **section, name string, s section) error {
	if *to != nil {
		return fmt.Errorf("%w: %s stands twice in the tar", ErrCorrupt, name)
	}
	*to = &s
	return nil
}

func (f *tarFiles) addBlob(said, name string, s section) error {
	digits, ok := strings.CutPrefix(name, ocispec.ImageBlobsDir+"/sha256/")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != sha256.Size || strings.ToLower(digits) != digits {
		return fmt.Errorf("%w: %.100q is no file of an image layout: oci-layout, index.json and blobs/sha256/… are", ErrCorrupt, said)
	}
	key := [sha256.Size]byte(raw)
	if _, twice := f.blobs[key]; twice {
		return fmt.Errorf("%w: %s stands twice in the tar", ErrCorrupt, name)
	}
	f.blobs[key] = s
	return nil
}

// ends checks that the tar ends as tars end, and that nothing follows: bytes
// that nobody looks at have no business in what is carried to another net.
func (f *tarFiles) ends(r io.ReaderAt, size int64) error {
	left := size - f.end
	if left < 2*tarBlock {
		return fmt.Errorf("%w: the tar has no end: it is cut off", ErrCorrupt)
	}
	if left > maxPadding {
		return fmt.Errorf("%w: %d bytes follow the last file of the tar", ErrCorrupt, left)
	}
	tail := make([]byte, left)
	if _, err := r.ReadAt(tail, f.end); err != nil && err != io.EOF {
		return err
	}
	if len(bytes.Trim(tail, "\x00")) > 0 {
		return fmt.Errorf("%w: something follows the end of the tar", ErrCorrupt)
	}
	return nil
}

func (f *tarFiles) complete() error {
	for name, s := range map[string]*section{ocispec.ImageLayoutFile: f.layout, ocispec.ImageIndexFile: f.index} {
		if s == nil {
			return fmt.Errorf("%w: the tar has no %s: it is no image layout", ErrCorrupt, name)
		}
	}
	return nil
}
