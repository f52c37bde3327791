package tuf

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/carnet-project/carnet/metadata"
)

// FolderStore is a [Store] in a folder of its own: root.json, timestamp.json,
// snapshot.json, targets.json and one file for each delegated role, named by
// the percent-encoded role, with the bytes as they were received (TUF 5.3.8,
// 5.4.5, 5.5.7, 5.6.6). A file is replaced whole and durably or not at all.
// Several goroutines may read; one client at a time may write.
type FolderStore struct{ dir string }

// NewFolderStore opens the folder, and makes it if it is not there.
func NewFolderStore(dir string) (*FolderStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &FolderStore{dir}, nil
}

// Get reads a file, at most one byte more than it may have.
func (s *FolderStore) Get(role string) ([]byte, error) {
	f, err := os.Open(filepath.Join(s.dir, storeName(role)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, metadata.Limit(role)+1))
}

// Put replaces a file.
func (s *FolderStore) Put(role string, raw []byte) error {
	return replaceFile(s.dir, storeName(role), func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}

// Delete removes a file, if it is there.
func (s *FolderStore) Delete(role string) error {
	err := os.Remove(filepath.Join(s.dir, storeName(role)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func storeName(role string) string { return safeFileName(role) + ".json" }
