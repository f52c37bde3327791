package metadata_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// Canonical JSON writes control characters raw, which JSON forbids: a PEM key
// must survive both.
func TestKeysWithLineBreaksSurviveSealing(t *testing.T) {
	pem := metadata.Key{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n\x00\x1f\"\\"}
	parsed, err := metadata.ParseKey(pem.JSON())
	require.NoError(t, err)
	require.Equal(t, pem.Public, parsed.Public)
	require.Equal(t, pem.ID(), parsed.ID())

	role := metadata.RoleKeys{KeyIDs: []string{pem.ID()}, Threshold: 1}
	root := metadata.Root{
		Header: metadata.Header{Version: 1, Expires: time.Unix(2e9, 0).UTC()},
		Keys:   metadata.Keys{pem.ID(): pem},
		Roles:  map[string]metadata.RoleKeys{"root": role, "targets": role, "snapshot": role, "timestamp": role},
	}
	signed := root.Canonical()
	f, err := metadata.Decode(metadata.RoleRoot, metadata.Seal(signed, nil))
	require.NoError(t, err)
	require.Equal(t, string(signed), string(f.Signed), "signatures are over the canonical form")
	require.Equal(t, pem.Public, f.Root.Keys[pem.ID()].Public)
}
