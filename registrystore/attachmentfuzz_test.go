package registrystore

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Whatever bytes claim to be an attachment: they are read within the limits, or
// refused as unreadable, and nothing panics.
func FuzzAttachment(f *testing.F) {
	subject := ocispec.Descriptor{MediaType: mediaTypeManifest, Digest: digest.FromString("subject"), Size: 7}
	p := &tuf.Publication{
		Roots:     []tuf.File{tuf.NewFile(metadata.RoleRoot, 1, []byte("root"))},
		Timestamp: tuf.NewFile(metadata.RoleTimestamp, 0, []byte("timestamp")), Snapshot: tuf.NewFile(metadata.RoleSnapshot, 2, []byte("snapshot")),
		Targets: tuf.NewFile(metadata.RoleTargets, 2, []byte("targets")),
	}
	p.Add(tuf.NewFile("releases", 2, []byte("role")))
	raw, err := encodeAttachment(subject, "id", p)
	require.NoError(f, err)
	f.Add(raw)
	p.RootPack = tuf.File{Role: tuf.RootPack, Length: 2, Digest: digest.FromString("[]"), Data: []byte("[]")}
	raw, err = encodeAttachment(subject, "id", p)
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte(`{"layers":[{"annotations":null}],"subject":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodeAttachment(subject.Digest, raw)
		if err != nil {
			require.ErrorIs(t, err, tuf.ErrUnreadable)
			return
		}
		require.NotEmpty(t, p.Roots)
		require.LessOrEqual(t, len(p.Roots), tuf.MaxRootFiles)
		require.LessOrEqual(t, len(p.Files()), maxEvidenceFiles)
		for _, file := range p.Files() {
			require.True(t, isSHA256(file.Digest))
			require.GreaterOrEqual(t, file.Length, int64(0))
			require.LessOrEqual(t, file.Length, tuf.FileLimit(file.Role))
		}
		_, err = json.Marshal(p)
		require.NoError(t, err)
	})
}
