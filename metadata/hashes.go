package metadata

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Hash is one digest in lower-case hexadecimal.
type Hash struct{ Algorithm, Hex string }

// wellFormed reports whether the digest is lower-case hexadecimal, of the
// length that its algorithm has where that is known.
func (h Hash) wellFormed() bool {
	switch h.Algorithm {
	case "sha256":
		return isHex(h.Hex, 64)
	case "sha512":
		return isHex(h.Hex, 128)
	}
	return h.Hex != "" && len(h.Hex)%2 == 0 && isHex(h.Hex, len(h.Hex))
}

// Hashes are the digests of one file, sorted by algorithm.
type Hashes []Hash

// SHA256 returns hashes of that one digest. Hex must be lower case.
func SHA256(hex string) Hashes { return Hashes{{"sha256", hex}} }

// Get returns the digest by one algorithm, or "".
func (h Hashes) Get(algorithm string) string {
	for _, e := range h {
		if e.Algorithm == algorithm {
			return e.Hex
		}
	}
	return ""
}

// Digest returns the SHA-256 in OCI's form, or "" if there is none.
func (h Hashes) Digest() digest.Digest {
	if s := h.Get("sha256"); s != "" {
		return digest.NewDigestFromEncoded(digest.SHA256, s)
	}
	return ""
}

// Equal reports whether h and other list the same digests.
func (h Hashes) Equal(other Hashes) bool {
	if len(h) != len(other) {
		return false
	}
	for _, e := range h {
		if other.Get(e.Algorithm) != e.Hex {
			return false
		}
	}
	return true
}

// Verify checks data against every digest whose algorithm is known, and
// fails if none is (TUF 5.5.2, 5.6.2: the hashes must match).
func (h Hashes) Verify(data []byte) error {
	known := false
	for _, e := range h {
		var sum string
		switch e.Algorithm {
		case "sha256":
			s := sha256.Sum256(data)
			sum = hex.EncodeToString(s[:])
		case "sha512":
			s := sha512.Sum512(data)
			sum = hex.EncodeToString(s[:])
		default:
			continue
		}
		known = true
		if sum != e.Hex {
			return fmt.Errorf("want %s:%s, found %s", e.Algorithm, e.Hex, sum)
		}
	}
	if !known {
		return fmt.Errorf("no hash by an algorithm that is known (sha256, sha512)")
	}
	return nil
}

func (h Hashes) value() Value {
	members := make([]Member, len(h))
	for i, e := range h {
		members[i] = Member{e.Algorithm, Text(e.Hex)}
	}
	return Struct(members...)
}
