package promotion_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// Twenty promotions of one artifact at once, each from a place of its own with
// a bill of materials of its own, to a registry without the referrers API: what
// each brought is listed, evidence and all else.
func TestConcurrentPromotionsLoseNoReferrer(t *testing.T) {
	const crowd = 20
	base := newCrossing(t, "1.1", "1.0")
	image := base.from.raw(t).PushImage(t, "1.0", "one")
	var wg sync.WaitGroup
	errs, sboms := make([]error, crowd), make([]digest.Digest, crowd)
	for i := range crowd {
		c := *base
		c.from = places["1.1"](t)
		require.Equal(t, image.Digest, c.from.raw(t).PushImage(t, "1.0", "one").Digest)
		sboms[i] = c.from.raw(t).PushReferrer(t, image, "application/vnd.cyclonedx+json", fmt.Sprint("sbom ", i)).Digest
		c.wabbit = fixtures.NewPublisher(t, fmt.Sprintf("%s/trust%d", c.trust.Host, i), registrystore.Options{})
		c.wabbit.Delegate("releases", "**", "releases")
		_, err := c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: image.Digest, Size: image.Size})
		require.NoError(t, err)
		c.pins = verify.OpenPins(filepath.Join(t.TempDir(), "pins"))
		require.NoError(t, c.pins.Add(verify.Pin{Name: "wabbit", Root: c.wabbit.Root, Repositories: []string{c.wabbit.Trust}}))
		p, src, dst := c.promoter(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0")
		p.Note = nil
		wg.Go(func() { _, errs[i] = p.Promote(t.Context(), src, dst) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	list, err := base.destination().Referrers(t.Context(), image.Digest)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, r := range list {
		if r.ArtifactType == metadata.ArtifactTypeTrust {
			seen[r.Annotations[metadata.AnnotationPublisher]] = true
		}
	}
	require.Len(t, seen, crowd)
	for i, d := range sboms {
		require.True(t, slices.ContainsFunc(list, func(r ocispec.Descriptor) bool { return r.Digest == d }), "sbom %d", i)
	}
}

// A slow writer's index comes late and takes out what was copied: attaching
// evidence puts it in again.
func TestReferrerThatAnotherWriterTookOutIsBack(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	image := c.release("1.0", "one")
	fallback := "sha256-" + image.Digest.Encoded()
	var once atomic.Bool
	f := c.to.reg.Inject(fixtures.Fault{On: fixtures.Head("/manifests/trust." + image.Digest.Encoded()), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if once.CompareAndSwap(false, true) {
			c.to.raw(t).PushManifest(t, fallback, ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
		}
		next.ServeHTTP(w, r)
	}})
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	require.Positive(t, f.Hits())
	_, raw, err := oras.FetchBytes(context.Background(), c.to.raw(t).Target, fallback, oras.DefaultFetchBytesOptions)
	require.NoError(t, err)
	var index ocispec.Index
	require.NoError(t, json.Unmarshal(raw, &index))
	require.Len(t, index.Manifests, 2, "the bill of materials, and the evidence")
}
