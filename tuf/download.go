package tuf

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/carnet-project/carnet/metadata"
)

// ErrNotListed says that no role vouches for a target path.
var ErrNotListed = errors.New("no role vouches for it")

// Downloads fetches target files from a web server into a folder (TUF 5.7).
// In the folder a file has the name of its target path, percent-encoded, and
// is there only once its length and hashes were verified.
type Downloads struct {
	base httpBase
	dir  string
}

// NewDownloads fetches what is below base, an absolute URL that is taken as it
// is, into dir, which must exist. Client may be nil.
func NewDownloads(base string, client *http.Client, dir string) (*Downloads, error) {
	b, err := newHTTPBase(base, client)
	if err != nil {
		return nil, err
	}
	return &Downloads{b, dir}, nil
}

// Download searches for a target path, and puts the file that the publisher
// vouches for under that path into the folder, unless it is there already. It
// returns the file's name. It fails with ErrNotListed or ErrWithdrawn where
// there is no such file. Refresh must have succeeded.
func (c *Client) Download(ctx context.Context, target string, to *Downloads) (string, error) {
	f, err := c.Lookup(ctx, target)
	if err != nil {
		return "", err
	}
	if f.Disagreement != nil {
		return "", fmt.Errorf("%w: %s: %s", ErrNotListed, target, f.Disagreement)
	}
	if !f.Listed { // 5.7.2
		return "", fmt.Errorf("%w: %s", ErrNotListed, target)
	}
	if d := f.Target.Hashes.Digest(); d != "" {
		notice, err := c.Withdrawn(ctx, d)
		if err != nil {
			return "", err
		}
		if notice != nil {
			return "", fmt.Errorf("%w: %s: %s", ErrWithdrawn, target, notice.Reason)
		}
	}
	return to.fetch(ctx, target, f.Target, c.root.Root.ConsistentSnapshot)
}

func (d *Downloads) fetch(ctx context.Context, target string, t metadata.Target, consistent bool) (string, error) {
	name := safeFileName(target)
	file := filepath.Join(d.dir, name)
	if d.has(file, t) {
		return file, nil
	}
	remote := target
	if consistent {
		dir, base := path.Split(target)
		remote = dir + fileHash(t.Hashes) + "." + base
	}
	escaped := (&url.URL{Path: remote}).EscapedPath()
	return file, d.base.open(ctx, remote, escaped, t.Length, func(body io.Reader) error { // 5.7.3
		return replaceFile(d.dir, name, func(w io.Writer) error { return copyVerified(w, body, t) })
	})
}

func (d *Downloads) has(file string, t metadata.Target) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	return copyVerified(io.Discard, &bounded{f, t.Length}, t) == nil
}

// fileHash returns the hash by which a target file is asked for: any that
// metadata lists would do.
func fileHash(h metadata.Hashes) string {
	if sum := h.Get("sha256"); sum != "" {
		return sum
	}
	return h[0].Hex // the format demands one
}

// copyVerified copies a target file and fails unless it is the one that t
// describes. What it wrote is not to be used before it returned nil.
func copyVerified(w io.Writer, r io.Reader, t metadata.Target) error {
	sums := map[string]hash.Hash{"sha256": sha256.New(), "sha512": sha512.New()}
	n, err := io.Copy(io.MultiWriter(w, sums["sha256"], sums["sha512"]), r)
	if err != nil {
		return err
	}
	if n != t.Length {
		return fmt.Errorf("%w: %d bytes where %d are signed for", ErrInvalid, n, t.Length)
	}
	known := false
	for _, h := range t.Hashes {
		sum := sums[h.Algorithm]
		if sum == nil {
			continue
		}
		known = true
		if found := hex.EncodeToString(sum.Sum(nil)); found != h.Hex {
			return fmt.Errorf("%w: want %s:%s, found %s", ErrInvalid, h.Algorithm, h.Hex, found)
		}
	}
	if !known {
		return fmt.Errorf("%w: no hash by an algorithm that is known (sha256, sha512)", ErrInvalid)
	}
	return nil
}
