package tuf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile bounds what is read of a key file, in bytes.
const maxKeyFile = 64 << 10

func (s *Keystore) path(name, file string) string { return filepath.Join(s.dir, name, file) }

func (s *Keystore) read(name, file string) ([]byte, error) {
	f, err := os.Open(s.path(name, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(raw) > maxKeyFile {
		err = fmt.Errorf("%s: more than %d bytes", f.Name(), maxKeyFile)
	}
	return raw, err
}

// Free fails with ErrKeyExists if a name is taken, and with ErrUnknownName if
// it cannot be one.
func (s *Keystore) Free(name string) error {
	if err := checkKeyName(name); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(s.dir, name)); err == nil {
		return fmt.Errorf("%w: %s", ErrKeyExists, name)
	}
	return nil
}

// create writes a key's folder beside its place and moves it there: a rename
// never replaces a folder that holds something.
func (s *Keystore) create(name string, files map[string][]byte) error {
	if err := s.Free(name); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.dir, ".new-*") // mode 0700
	if err != nil {
		return err
	}
	for file, data := range files {
		if err == nil {
			err = writeNew(filepath.Join(tmp, file), data)
		}
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(s.dir, name))
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: %s", ErrKeyExists, name)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

// writeNew writes a file that only the owner can read, and waits for the disk.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// checkKeyName refuses what is no name of a key. A name becomes a folder.
func checkKeyName(name string) error {
	ok := len(name) >= 1 && len(name) <= 128
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (letter || i > 0 && (c == '-' || c == '_' || c == '.'))
	}
	if !ok {
		return fmt.Errorf("%.140q cannot be the name of a key: want 1 to 128 letters, digits, and after the first '-', '_', '.': %w", name, ErrUnknownName)
	}
	return nil
}
