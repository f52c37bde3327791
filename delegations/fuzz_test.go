package delegations_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	tufmeta "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/carnet-project/carnet/delegations"
)

// FuzzMatch: never panics; says what go-tuf says; nothing but a slash matches
// a slash.
func FuzzMatch(f *testing.F) {
	require.Greater(f, len(patternCases), 30, "the seed corpus is there")
	for _, c := range patternCases {
		f.Add(c.pattern, c.target)
	}
	f.Fuzz(func(t *testing.T, pattern, target string) {
		ours := delegations.MatchAny([]string{pattern}, target)
		other := tufmeta.DelegatedRole{Paths: []string{pattern}}
		theirs, err := other.IsDelegatedPath(target)
		require.NoError(t, err)
		require.Equal(t, theirs, ours)
		if ours {
			require.Equal(t, strings.Count(pattern, "/"), strings.Count(target, "/"))
		}
	})
}
