package promotion_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/tuf"
)

// The manifest itself is unsigned: what it lists must be what the snapshot
// says, or the mirror would hold less than the origin, or a stranger's files.
func TestSyncRefusesAManifestThatIsNotItsSnapshots(t *testing.T) {
	for name, edit := range map[string]func([]ocispec.Descriptor) []ocispec.Descriptor{
		"a role is missing": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			return slices.DeleteFunc(l, named("1.revocations.json"))
		},
		"a role more": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			more := l[slices.IndexFunc(l, named("1.revocations.json"))]
			more.Annotations = map[string]string{metadata.AnnotationFilename: "1.stranger.json"}
			return append(l, more)
		},
		"a role's other file": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			i, j := slices.IndexFunc(l, named("1.revocations.json")), slices.IndexFunc(l, named("1.root.json"))
			l[i].Digest, l[i].Size, l[i].Data = l[j].Digest, l[j].Size, nil
			return l
		},
		"the first root is missing": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			return slices.DeleteFunc(l, named("1.root.json"))
		},
		"the first root is another": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			i, j := slices.IndexFunc(l, named("1.root.json")), slices.IndexFunc(l, named("2.root.json"))
			l[i].Digest, l[i].Size = l[j].Digest, l[j].Size
			return l
		},
	} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Registry11(t)
			p := newPair(t, onRegistry(reg), onLayout(t))
			_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
			require.NoError(t, err)
			p.synced(t)
			last := p.sign(t, "1.0")
			trust := p.from.trust(t, nil)
			require.NoError(t, trust.Open(t.Context()))
			var m ocispec.Manifest
			require.NoError(t, json.Unmarshal(trust.Manifest(), &m))
			m.Layers = edit(m.Layers)
			raw, err := json.Marshal(m)
			require.NoError(t, err)
			for _, tag := range []string{metadata.TagLatest, last.Tag} {
				reg.Repository(t, "trust").PushManifest(t, tag, ocispec.MediaTypeImageManifest, raw)
			}
			before := snapshotOf(t, p.to)
			_, err = p.sync(t)
			require.ErrorIs(t, err, tuf.ErrInvalid)
			assertSide(t, promotion.Source, err)
			assert.Equal(t, before, snapshotOf(t, p.to))
		})
	}
}
