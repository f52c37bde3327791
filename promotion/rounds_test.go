package promotion_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/verify"
)

// Over a distance it is the rounds that take time, requests that wait for
// another's answer: what does not depend on each other is asked at once.
func TestPromoteTakesFewRounds(t *testing.T) {
	for _, x := range []struct {
		kind             string
		referrers        int
		promotes, checks int
	}{
		{"1.0", 0, 20, 2},
		{"1.0", 10, 34, 2},
		{"1.1", 0, 15, 2},
		{"1.1", 10, 26, 3},
	} {
		t.Run(fmt.Sprint(x.kind, " with ", x.referrers), func(t *testing.T) {
			t.Parallel()
			c := withReferrers(t, x.kind, x.referrers)
			p, src, dst := c.promoter(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0")
			rounds := fixtures.CountRounds(t, c.from.reg, c.to.reg, c.trust)
			_, err := p.Promote(t.Context(), src, dst)
			require.NoError(t, err)
			assert.Equal(t, x.promotes, rounds.Count())
			rounds.Reset()
			decision, alone, err := p.Check(t.Context(), dst, verify.Options{Policy: p.Policy, Now: c.wabbit.Now})
			require.NoError(t, err)
			require.True(t, decision.Allowed() && alone.Allowed())
			assert.Equal(t, x.checks, rounds.Count())
		})
	}
}
