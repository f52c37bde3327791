package promotion_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// A publisher that published nothing costs one request at each end.
func TestSyncOfAnUnchangedPublisherTakesTwoRequests(t *testing.T) {
	from, to := fixtures.Distribution(t), fixtures.Distribution(t)
	p := newPair(t, onRegistry(from), onRegistry(to))
	p.synced(t)
	from.Reset()
	to.Reset()
	p.synced(t)
	assert.Equal(t, []string{"GET /v2/trust/manifests/latest"}, from.Requests())
	assert.Equal(t, []string{"GET /v2/trust/manifests/latest"}, to.Requests())
}

// One new signature costs the same in a small and in a large repository.
func TestSyncOfOneSignatureTakesSixteenRequestsAtMost(t *testing.T) {
	for _, roles := range []int{1, 400} {
		t.Run(fmt.Sprint(roles, " roles"), func(t *testing.T) {
			from, to := fixtures.Distribution(t), fixtures.Distribution(t)
			p := newPair(t, onRegistry(from), onRegistry(to))
			large(t, p, roles)
			p.synced(t)
			p.sign(t, "1.0")
			from.Reset()
			to.Reset()
			out := p.synced(t)
			requests := append(from.SortedRequests(), to.SortedRequests()...)
			assert.LessOrEqual(t, len(requests), 16, "%v", requests)
			assert.Equal(t, 3, out.Files, "timestamp, snapshot and the role that signed")
			assert.True(t, p.has(t, p.to, "1.0"))
		})
	}
}

// Without a cache, and whatever the number of roots, the requests are these:
// at the source the state and its roots, which no manifest inlines; at the
// destination the state, the list before and after, and for each file that it
// lacks two to send it and one to see that it is there, but for timestamp and
// snapshot, which readers have from the manifest.
func TestSyncWithAColdCache(t *testing.T) {
	for _, roots := range []int{1, 3, tuf.MaxRootFiles + 2} {
		t.Run(fmt.Sprint(roots, " roots"), func(t *testing.T) {
			from, to := fixtures.Distribution(t), fixtures.Distribution(t)
			p := newPair(t, onRegistry(from), onRegistry(to))
			for range roots - 1 {
				_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
				require.NoError(t, err)
			}
			files := min(roots, tuf.MaxRootFiles) // and one for all older ones
			if roots > tuf.MaxRootFiles {
				files++
			}
			p.cache = nil
			from.Reset()
			to.Reset()
			p.synced(t)
			assert.Len(t, from.Requests(), 1+files, "%v", from.SortedRequests())
			empty, others, switching := 3, 2+2*2+3*3, 3 // latest and two lists; config, two inlined files, three roles; state, latest, list
			assert.Len(t, to.Requests(), empty+others+3*files+switching, "%v", to.SortedRequests())

			p.sign(t, "1.0")
			from.Reset()
			to.Reset()
			p.synced(t)
			assert.Len(t, from.Requests(), 1+files, "%v", from.SortedRequests())
			assert.Len(t, to.Requests(), 2+2*2+3+3, "%v", to.SortedRequests())
			assert.Len(t, uploads(to), 3, "only what is missing")
		})
	}
}

// What is sent is read back by its first byte, and a role's file crosses the
// wire to a mirror once.
func TestSyncSendsALargeFileOnce(t *testing.T) {
	from, to := fixtures.Distribution(t), fixtures.Distribution(t)
	p := newPair(t, onRegistry(from), onRegistry(to))
	large(t, p, 400)
	size := p.published(t).Targets.Length
	require.Greater(t, size, int64(metadata.MaxInlineFile))
	manifest := int64(len(p.manifest(t)))
	from.Reset()
	to.Reset()
	out := p.synced(t)
	sent, received := to.Bytes()
	assert.Less(t, received, int64(4096), "what was sent does not come back")
	assert.LessOrEqual(t, sent, out.Bytes+2*manifest+2, "the files, the empty config, and the manifest for its tag and for latest")
	_, read := from.Bytes()
	assert.LessOrEqual(t, read, out.Bytes+manifest)
}

// large delegates to many roles, in one publication.
func large(t *testing.T, p *pair, roles int) {
	t.Helper()
	key := p.publisher.Key("team").Key()
	_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error {
		for i := range roles {
			name := fmt.Sprintf("team-%d", i)
			r := metadata.Delegation{Name: name, Paths: []string{name + ":*"}, RoleKeys: metadata.RoleKeys{Threshold: 1, KeyIDs: []string{key.ID()}}}
			if err := d.Delegate(ctx, metadata.RoleTargets, r, metadata.Keys{key.ID(): key}); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
}
