package tuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/carnet-project/carnet/metadata"
)

// Folder is a plain TUF repository in a folder, as a web server serves it to
// TUF clients: VERSION.root.json, timestamp.json, VERSION.ROLE.json, or
// ROLE.json where root says that there are no consistent snapshots (TUF 6.2).
// It is a [Source], and written by [Folder.Publish]. Nothing in it leads out
// of the folder: no name, no link. Its methods, but Publish and
// SetConsistentSnapshot, may be called by several goroutines.
type Folder struct {
	root       *os.Root
	dir        string
	consistent bool
}

// OpenFolder opens a folder that exists. Close it after use.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{root: root, dir: dir, consistent: true}, nil
}

// Close gives the folder back.
func (f *Folder) Close() error { return f.root.Close() }

func (f *Folder) String() string { return f.dir }

// SetConsistentSnapshot says whether names carry versions.
func (f *Folder) SetConsistentSnapshot(on bool) { f.consistent = on }

// errTooLong says that a file in a folder cannot be what it is called.
var errTooLong = errors.New("too long")

// Root returns root file version.
func (f *Folder) Root(_ context.Context, version int64) ([]byte, error) {
	return f.read(versioned(version, metadata.RoleRoot), metadata.MaxRoot)
}

// Timestamp returns the newest timestamp file.
func (f *Folder) Timestamp(context.Context) ([]byte, error) {
	return f.read(metadata.RoleTimestamp+".json", metadata.MaxTimestamp)
}

// File returns the file of role that want describes, under any of the names
// that its role's name can have here.
func (f *Folder) File(_ context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	limit := metadata.Limit(role)
	if want.Length >= 0 {
		limit = min(limit, want.Length)
	}
	var err error
	for _, name := range fileNames(role, want.Version, f.consistent) {
		var raw []byte
		if raw, err = f.read(name, limit); !errors.Is(err, ErrNotFound) {
			return raw, err
		}
	}
	return nil, err
}

// read reads a regular file of at most limit bytes. A pipe keeps nobody
// waiting.
func (f *Folder) read(name string, limit int64) ([]byte, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: %s in %s", ErrNotFound, name, f.dir)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is no regular file", name, f.dir)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s in %s: %w: %d bytes where at most %d are allowed", name, f.dir, errTooLong, info.Size(), limit)
	}
	raw, err := io.ReadAll(&bounded{file, limit})
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", name, f.dir, err)
	}
	return raw, nil
}
