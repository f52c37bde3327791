package delegations_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

func names(edges []delegations.Edge) []string {
	var out []string
	for _, e := range edges {
		out = append(out, e.Role)
	}
	return out
}

func TestCandidates(t *testing.T) {
	g := graph{
		"targets": role(nil, withdrawal(to("revocations", "*")), to("a", "*"), to("other", "y:*"), terminating(to("b", "*")), to("c", "*")),
		"a":       role(lists, to("a1", "*")), "a1": role(nil), "b": role(nil), "c": role(nil), "revocations": role(lists),
	}
	edges, err := delegations.Candidates("x:1", g.open)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "a1", "b"}, names(edges), "c stands behind a terminating delegation")

	delete(g, "a1")
	_, err = delegations.Candidates("x:1", g.open)
	assert.ErrorContains(t, err, `no role "a1"`)
}

func TestWalk(t *testing.T) {
	g := graph{
		"targets":     role(nil, withdrawal(to("revocations", "*")), to("a", "y:*"), terminating(to("b", "*"))),
		"a":           role(nil, to("b", "*"), to("c", "*")),
		"b":           role(nil, to("a", "*")),
		"c":           {Delegations: &metadata.Delegations{Succinct: &metadata.SuccinctRoles{BitLength: 1, NamePrefix: "bin"}}},
		"revocations": role(nil, to("hidden", "*")), "hidden": role(nil),
	}
	var seen []string
	err := delegations.Walk(g.open, func(e delegations.Edge, d metadata.Delegation) error {
		assert.Equal(t, e.Role, d.Name)
		seen = append(seen, strings.Join(e.Chain, " "))
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"targets revocations", "targets a", "targets b", "targets a c"}, seen,
		"each once, parents first; the withdrawal role delegates nothing")

	stop := errors.New("stop")
	assert.ErrorIs(t, delegations.Walk(g.open, func(delegations.Edge, metadata.Delegation) error { return stop }), stop)
}

func TestCheckRoleName(t *testing.T) {
	for _, name := range []string{"releases", "a", "9", "team-a_b.c", strings.Repeat("r", 64)} {
		assert.NoError(t, delegations.CheckRoleName(name), name)
	}
	for _, name := range []string{"", "root", "targets", "snapshot", "timestamp", "root-pack", "-a", ".a", "_a", "a/b", "a b", "a:b", "é", "a\n", "..", strings.Repeat("r", 65)} {
		assert.Error(t, delegations.CheckRoleName(name), name)
	}
}
