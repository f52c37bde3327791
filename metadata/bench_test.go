package metadata_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	tufmeta "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/carnet-project/carnet/metadata"
)

// role returns the file of a role with n entries as Carnet signs them, unsigned.
func role(n int) []byte {
	t := &metadata.Targets{Targets: make(map[string]metadata.Target, n)}
	t.Version, t.Expires = 1, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range n {
		d := digest.FromString(fmt.Sprint(i))
		s := metadata.Statement{
			MediaType: "application/vnd.oci.image.manifest.v1+json", ArtifactType: "application/vnd.oci.image.config.v1+json",
			Signed: t.Expires, Claims: map[string]string{"stage": "prod"},
		}
		entry := metadata.Target{Length: int64(i), Hashes: metadata.SHA256(d.Encoded())}.WithStatement(s)
		t.Targets[fmt.Sprintf("networking/net-monitor:1.0.%d", i)] = entry
	}
	return metadata.Seal(t.Canonical(), []metadata.Signature{{KeyID: "k", Sig: make([]byte, 64)}})
}

// BenchmarkDecode measures Carnet's decoding of a role file next to go-tuf's.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		raw := role(n)
		b.Run(fmt.Sprintf("carnet/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := metadata.Decode("releases", raw); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("go-tuf/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (&tufmeta.Metadata[tufmeta.TargetsType]{}).FromBytes(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
