package tuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// lockName is the file that writers of a folder lock; it is empty.
const lockName = ".carnet.lock"

// partial begins the names of files that are not in their place yet.
const partial = ".partial-"

// lock keeps other writers out, of this process and others, until unlock:
// between a look at the timestamp and its replacement nobody may put a newer
// one there.
func (f *Folder) lock(ctx context.Context) (unlock func() error, err error) {
	info, err := f.root.Lstat(lockName)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is no regular file", lockName, f.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := flock.New(filepath.Join(f.dir, lockName))
	if _, err := l.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return nil, fmt.Errorf("%s: another process is writing there: %w", f.dir, err)
	}
	return l.Unlock, nil
}

// removePartial removes what killed writers left. The caller holds the lock.
func (f *Folder) removePartial() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), partial) {
				continue
			}
			if err := f.root.Remove(e.Name()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
