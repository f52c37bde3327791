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
