package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// percentEncode writes every byte but the unreserved ones of RFC 3986 (letters,
// digits, '-', '.', '_', '~') as %XX: what comes out is one path segment of a
// URL, and in a file system one name.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// maxFileName is how long, in bytes, a name may become: with a suffix it still
// fits where 255 bytes are the limit.
const maxFileName = 240

// safeFileName turns what somebody else named into a file name that stays in
// its folder, is not hidden and is no other's: a dot in front is encoded too,
// and a long name is replaced by its hash, behind a '%' that no encoding makes.
func safeFileName(s string) string {
	name := percentEncode(s)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	if len(name) > maxFileName || name == "" {
		return hashedName(s)
	}
	return name
}

// hashedName is a name that no other name becomes.
func hashedName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "%sha256-" + hex.EncodeToString(sum[:])
}

// replaceFile writes a file through fill. It is seen, whole and durable, only
// if fill succeeds; else what was there before stays.
func replaceFile(dir, name string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(dir, ".partial-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes a rename in dir durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
