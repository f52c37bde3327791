package tuf_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

func requireListed(t testing.TB, p *fixtures.Publisher, path, content string) {
	t.Helper()
	f, err := p.Client().Lookup(t.Context(), path)
	require.NoError(t, err)
	require.True(t, f.Listed, path)
	require.True(t, f.Target.Hashes.Equal(fixtures.Target(content).Hashes), path)
}

func TestPublishOnLayout(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	res, err := p.Sign("releases", "net-monitor:1.0", "one")
	require.NoError(t, err)
	require.True(t, res.Changed)
	require.EqualValues(t, 3, res.Timestamp)
	requireListed(t, p, "net-monitor:1.0", "one")

	res, err = p.Sign("releases", "net-monitor:1.0", "one")
	require.NoError(t, err)
	require.False(t, res.Changed, "the same again is no change")
}

func TestConcurrentWritersOnLayout(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	concurrently(t, p, 16)
}

func concurrently(t *testing.T, p *fixtures.Publisher, n int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, err := p.Sign("releases", fmt.Sprintf("app:%d", i), fmt.Sprint(i))
			require.NoError(t, err)
		})
	}
	wg.Wait()
	for i := range n {
		requireListed(t, p, fmt.Sprintf("app:%d", i), fmt.Sprint(i))
	}
}
