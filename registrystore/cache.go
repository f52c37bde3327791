package registrystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// Cache keeps blobs by digest, and the last state manifest of each
// repository, in a folder that may be deleted at any time. It is never
// trusted: what comes out was hashed again. That it cannot be written, or
// lost something, costs a request and is no error. Its methods may be called
// on a nil Cache, which keeps nothing.
type Cache struct{ dir string }

// OpenCache returns a cache in dir, which is made when it is first needed.
func OpenCache(dir string) *Cache { return &Cache{dir: dir} }

func (c *Cache) blobPath(d digest.Digest) string {
	return filepath.Join(c.dir, "sha256", d.Encoded())
}

// Get returns the blob with digest d, or nil.
func (c *Cache) Get(d digest.Digest) []byte {
	if c == nil || d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return nil
	}
	raw, err := readFile(c.blobPath(d), metadata.MaxTargets)
	if err != nil || digest.FromBytes(raw) != d {
		return nil
	}
	return raw
}

// Put keeps a blob.
func (c *Cache) Put(raw []byte) {
	if c == nil {
		return
	}
	path := c.blobPath(digest.FromBytes(raw))
	if _, err := os.Stat(path); err == nil {
		return
	}
	c.write(path, raw)
}

// write leaves no half file behind, and does not wait for the disk: what a
// crash spoils is found out by its hash.
func (c *Cache) write(path string, raw []byte) {
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return
	}
	_, err = f.Write(raw)
	if cerr := f.Close(); err != nil || cerr != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name())
	}
}

func (c *Cache) latestPath(repo string) string {
	sum := sha256.Sum256([]byte(repo))
	return filepath.Join(c.dir, "latest", hex.EncodeToString(sum[:]))
}

// latest returns the state manifest that a repository had when it was last
// read, or nil.
func (c *Cache) latest(repo string) *known {
	if c == nil {
		return nil
	}
	raw, err := readFile(c.latestPath(repo), metadata.MaxManifest)
	if err != nil {
		return nil
	}
	return &known{digest: digest.FromBytes(raw), mediaType: mediaTypeManifest, body: raw}
}

func (c *Cache) putLatest(repo string, raw []byte) {
	if k := c.latest(repo); c == nil || k != nil && bytes.Equal(k.body, raw) {
		return
	}
	c.write(c.latestPath(repo), raw)
}
