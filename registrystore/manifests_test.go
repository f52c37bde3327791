package registrystore_test

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
)

func manifests(t *testing.T, p *place, tag string) ([]registrystore.Child, error) {
	t.Helper()
	a := p.artifacts(t)
	top, err := a.Read(ctx, p.ref(t, ":"+tag))
	require.NoError(t, err)
	return a.Manifests(ctx, top)
}

func TestManifestsOfIndexesInAnIndex(t *testing.T) {
	p := onLayout(t)
	raw := p.raw(t)
	one, two := raw.PushImage(t, "", "one"), raw.PushImage(t, "", "two")
	inner := raw.PushIndexOf(t, "", one, two)
	outer := raw.PushIndexOf(t, "nested", one, inner)
	got, err := manifests(t, p, "nested")
	require.NoError(t, err)
	var digests, in []digest.Digest
	for _, c := range got {
		digests, in = append(digests, c.Digest), append(in, c.In)
	}
	require.Equal(t, []digest.Digest{one.Digest, inner.Digest, two.Digest}, digests, "each once, the nearest first")
	require.Equal(t, []digest.Digest{outer.Digest, outer.Digest, inner.Digest}, in)

	raw.PushImage(t, "image", "one")
	got, err = manifests(t, p, "image")
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestManifestsAreBounded(t *testing.T) {
	p := onLayout(t)
	raw := p.raw(t)
	chain := raw.PushImage(t, "", "leaf")
	for depth := 1; depth <= 9; depth++ {
		chain = raw.PushIndexOf(t, fmt.Sprint("deep", depth), chain)
	}
	got, err := manifests(t, p, "deep8")
	require.NoError(t, err)
	require.Len(t, got, 8)
	_, err = manifests(t, p, "deep9")
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.ErrorContains(t, err, "more than 8 deep")

	var halves []ocispec.Descriptor
	for half := range 2 {
		var many []ocispec.Descriptor
		for i := range 499 + half {
			many = append(many, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(half, i)), Size: 1})
		}
		halves = append(halves, raw.PushIndexOf(t, "", many...))
	}
	raw.PushIndexOf(t, "wide", halves[0], halves[1])
	_, err = manifests(t, p, "wide")
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	raw.PushIndexOf(t, "fits", halves[0], halves[0])
	got, err = manifests(t, p, "fits")
	require.NoError(t, err)
	require.Len(t, got, 500)
}
