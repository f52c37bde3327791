package verify

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Pin is a publisher as this verifier knows it.
type Pin struct {
	// Name is this verifier's own name for the publisher ([CheckPinName]).
	Name string
	// Root is the pinned root file as received, got out of band.
	Root []byte
	// Repositories are the trust repositories that are asked, together:
	// "host[:port]/path" or "oci:DIR".
	Repositories []string
}

// ErrRoot says that bytes offered as a pinned root are none: malformed, or
// not signed by their own keys.
var ErrRoot = errors.New("no usable root file")

// OpenRoot decodes a root file that is to be pinned and checks that it is
// signed by a threshold of its own keys. It may be expired: newer roots may
// follow it.
func OpenRoot(raw []byte) (*metadata.File, error) {
	f, err := metadata.Decode(metadata.RoleRoot, raw)
	if err == nil {
		err = tuf.VerifyThreshold(metadata.RoleRoot, f, f.Root.Keys, f.Root.Roles[metadata.RoleRoot])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return f, nil
}

// PublisherID returns what tells one publisher from all others: the random id
// that its root carries, 32 hexadecimal digits, or for a publisher made by
// another tool "sha256:" and the digest of the pinned root file. The id is a
// claim of that root: it tells pins apart and proves nothing.
func PublisherID(root *metadata.File) string {
	if x := root.Root.Carnet; x != nil && x.ID != "" {
		return x.ID
	}
	return digest.FromBytes(root.Raw).String()
}

// ID returns the publisher id of the pinned root.
func (p Pin) ID() (string, error) {
	root, err := OpenRoot(p.Root)
	if err != nil {
		return "", fmt.Errorf("publisher %s: %w", p.Name, err)
	}
	return PublisherID(root), nil
}

// Digest returns the SHA-256 of the pinned root file: what a publisher hands
// out and a verifier compares.
func (p Pin) Digest() digest.Digest { return digest.FromBytes(p.Root) }

// CheckPinName refuses what is no local name of a publisher: 1 to 64 letters,
// digits, and after the first '-', '_', '.'. A name becomes a file name.
func CheckPinName(name string) error {
	if len(name) == 0 || len(name) > 64 {
		return fmt.Errorf("a publisher's name has 1 to 64 characters, found %d", len(name))
	}
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return fmt.Errorf("%q is no name of a publisher: letters, digits, and after the first '-', '_', '.'", name)
		}
	}
	return nil
}
