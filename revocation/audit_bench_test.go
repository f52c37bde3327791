package revocation_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// BenchmarkAudit reads a history in which a role of 100,000 entries changed in
// every state: one file of each state is decoded, once.
func BenchmarkAudit(b *testing.B) {
	const states, entries = 8, 100_000
	p := fixtures.NewLayoutPublisher(b)
	p.Delegate("releases", "net-monitor", "ann")
	for i := range states {
		n := 1
		if i == 0 {
			n = entries
		}
		_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
			e, err := d.Edge(ctx, "releases")
			for j := 0; err == nil && j < n; j++ {
				err = d.SetTarget(ctx, e, fmt.Sprintf("net-monitor:%d-%d", i, j), fixtures.Target("x"))
			}
			return err
		})
		require.NoError(b, err)
	}
	id, err := tuf.KeyIdentity(p.Key("ann").Key())
	require.NoError(b, err)
	for b.Loop() {
		past, err := tuf.NewRepository(p.Options()).Past(b.Context(), nil)
		require.NoError(b, err)
		a, err := revocation.MakeAudit(b.Context(), past, id, nil)
		require.NoError(b, err)
		require.Len(b, a.Vouched, entries+states-1)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/states, "ms/state")
}
