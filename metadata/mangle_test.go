package metadata_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// Whatever byte of a file changes, and however: it is refused, or the bytes
// that the signatures are over change, or only a signature does. Nothing
// that was decoded from the signed part differs while they stay the same.
func TestMangledFilesDoNotPass(t *testing.T) {
	by := signers(t)
	files := map[string][]byte{}
	for role, signed := range ours(by) {
		files[role] = seal(t, signed, by...)
	}
	for role, raw := range theirs(t, by) {
		files[role+" "] = raw // pretty, not canonical; the space keeps the names apart
	}
	for name, raw := range files {
		role := string(bytes.TrimSpace([]byte(name)))
		want, err := metadata.Decode(role, raw)
		require.NoError(t, err)
		for at := range raw {
			for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
				mangled := bytes.Clone(raw)
				mangled[at] ^= flip
				got, err := metadata.Decode(role, mangled)
				if err != nil || !bytes.Equal(got.Signed, want.Signed) {
					continue
				}
				require.Equal(t, string(want.Signed), string(canonical(got)), "%s: byte %d ^ %#x: another meaning under the same signature", name, at, flip)
				assert.True(t, !equalSignatures(want, got) || onlySpace(raw[at], mangled[at]), "%s: byte %d ^ %#x changes nothing", name, at, flip)
			}
		}
	}
}

func equalSignatures(a, b *metadata.File) bool {
	for i := range a.Signatures {
		if len(b.Signatures) != len(a.Signatures) || a.Signatures[i].KeyID != b.Signatures[i].KeyID || !bytes.Equal(a.Signatures[i].Sig, b.Signatures[i].Sig) {
			return false
		}
	}
	return true
}

// onlySpace reports whether a change says nothing: white space for white
// space, or a hexadecimal letter of a signature in the other case.
func onlySpace(a, b byte) bool {
	isSpace := func(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
	return isSpace(a) && isSpace(b) || a^b == 0x20 && (a|0x20 >= 'a' && a|0x20 <= 'f')
}
