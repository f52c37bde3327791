package promotion_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"

	"github.com/carnet-project/carnet/tuf"
)

// counted is what was asked of the two ends, each by the registry's own count.
type counted struct{ from, to int }

func (n counted) sum() int { return n.from + n.to }

// count resets both ends, with an empty destination of the kind to, and counts
// what f asks.
func (c *crossing) count(to string, f func()) counted {
	c.Helper()
	c.to = places[to](c.T)
	c.from.reg.Reset()
	c.trust.Reset()
	f()
	return counted{len(c.from.reg.Requests()), len(c.to.reg.Requests())}
}

// promoted counts a promotion into an empty place.
func (c *crossing) promoted(to string, attach bool) counted {
	c.Helper()
	return c.count(to, func() {
		p := c.promoter()
		p.Attach = attach
		_, err := p.Promote(c.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
		require.NoError(c, err)
		require.Equal(c, []string{"GET /v2/trust/manifests/latest"}, c.trust.Requests())
	})
}

// copied counts oras-go's ExtendedCopy, which is what `oras cp -r` calls.
func (c *crossing) copied(to string) counted {
	c.Helper()
	return c.count(to, func() {
		src, ok := c.from.raw(c).Target.(oras.ReadOnlyGraphTarget)
		require.True(c, ok)
		_, err := oras.ExtendedCopy(c.Context(), src, "1.0", c.to.raw(c).Target, "1.0", oras.DefaultExtendedCopyOptions)
		require.NoError(c, err)
	})
}

// withReferrers is a source with one vouched-for image and as many referrers,
// each a manifest with one blob of its own.
func withReferrers(t *testing.T, kind string, n int) *crossing {
	c := newCrossing(t, kind, kind)
	repo := c.from.raw(t)
	image := repo.PushImage(t, "1.0", "1.0")
	for i := range n {
		repo.PushReferrer(t, image, "application/vnd.example.note", fmt.Sprint("note ", i))
	}
	_, err := c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: image.Digest, Size: image.Size})
	require.NoError(t, err)
	return c
}

// What trust adds to a copy does not depend on what is copied, and the copy
// itself takes no more than oras does.
func TestPromoteTakesFewRequests(t *testing.T) {
	for _, x := range []struct {
		from, to string
		graph    counted // of an image with ten referrers
		trust    int     // at the destination
	}{
		{"1.0", "1.0", counted{37, 70}, 28},
		{"1.0", "1.1", counted{37, 65}, 22},
		{"1.1", "1.0", counted{36, 70}, 28},
		{"1.1", "1.1", counted{36, 65}, 22},
	} {
		t.Run(x.from+" to "+x.to, func(t *testing.T) {
			c := withReferrers(t, x.from, 10)
			oras, graph, whole := c.copied(x.to), c.promoted(x.to, false), c.promoted(x.to, true)
			t.Logf("oras-go: %+v; the graph: %+v; with trust: %+v", oras, graph, whole)
			assert.Equal(t, x.graph, graph)
			assert.Equal(t, counted{graph.from, graph.to + x.trust}, whole)
			assert.LessOrEqual(t, 10*graph.sum(), 13*oras.sum())

			few := withReferrers(t, x.from, 1)
			assert.Equal(t, x.trust, few.promoted(x.to, true).to-few.promoted(x.to, false).to, "the fixed cost of trust grows with the graph")
		})
	}
}
