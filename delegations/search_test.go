package delegations_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// graph maps roles to files.
type graph map[string]*metadata.Targets

func (g graph) open(e delegations.Edge) (*metadata.Targets, error) {
	if t := g[e.Role]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no role %q", e.Role)
}

// search returns the finished search for path and the roles it opened.
func (g graph) search(t *testing.T, path string) *delegations.Search {
	t.Helper()
	s := delegations.NewSearch(path)
	for e, ok := s.Next(); ok; e, ok = s.Next() {
		file, err := g.open(e)
		require.NoError(t, err)
		require.NoError(t, s.Visit(e, file))
	}
	return s
}

// role builds a file: paths that it lists, then its delegations.
func role(paths []string, delegated ...metadata.Delegation) *metadata.Targets {
	t := &metadata.Targets{Targets: map[string]metadata.Target{}}
	for _, p := range paths {
		t.Targets[p] = metadata.NewTarget(1, "sha256:00")
	}
	if delegated != nil {
		t.Delegations = &metadata.Delegations{Roles: delegated, Keys: metadata.Keys{"k": {Type: "ed25519"}}}
	}
	return t
}

func to(name string, patterns ...string) metadata.Delegation {
	return metadata.Delegation{Name: name, Paths: patterns, RoleKeys: metadata.RoleKeys{KeyIDs: []string{name}, Threshold: 1}}
}

func terminating(d metadata.Delegation) metadata.Delegation {
	d.Terminating = true
	return d
}

func withdrawal(d metadata.Delegation) metadata.Delegation {
	d.Purpose = metadata.PurposeWithdrawal
	return d
}

var lists = []string{"x:1"}

func TestSearchOrder(t *testing.T) {
	for name, c := range map[string]struct {
		graph   graph
		visited []string
		chain   []string // nil: not found
	}{
		"targets itself comes first": {
			graph{"targets": role(lists, to("a", "*")), "a": role(lists)},
			[]string{"targets"}, []string{"targets"},
		},
		"order of the file": {
			graph{"targets": role(nil, to("b", "*"), to("a", "*")), "a": role(lists), "b": role(lists)},
			[]string{"targets", "b"}, []string{"targets", "b"},
		},
		"pre-order: a child before its parent's sibling": {
			graph{"targets": role(nil, to("a", "*"), to("b", "*")), "a": role(nil, to("a1", "*"), to("a2", "*")), "a1": role(nil), "a2": role(lists), "b": role(lists)},
			[]string{"targets", "a", "a1", "a2"}, []string{"targets", "a", "a2"},
		},
		"siblings after the whole subtree": {
			graph{"targets": role(nil, to("a", "*"), to("b", "*")), "a": role(nil, to("a1", "*")), "a1": role(nil), "b": role(lists)},
			[]string{"targets", "a", "a1", "b"}, []string{"targets", "b"},
		},
		"only matching delegations": {
			graph{"targets": role(nil, to("a", "y:*"), to("b", "x:*")), "b": role(lists)},
			[]string{"targets", "b"}, []string{"targets", "b"},
		},
		"every delegation of a chain must match": {
			graph{"targets": role(nil, to("a", "x:*")), "a": role(nil, to("a1", "y:*")), "a1": role(lists)},
			[]string{"targets", "a"}, nil,
		},
		"terminating: siblings are not asked": {
			graph{"targets": role(nil, terminating(to("a", "*")), to("b", "*")), "a": role(nil), "b": role(lists)},
			[]string{"targets", "a"}, nil,
		},
		"terminating: earlier siblings are": {
			graph{"targets": role(nil, to("a", "*"), terminating(to("b", "*")), to("c", "*")), "a": role(nil), "b": role(nil), "c": role(lists)},
			[]string{"targets", "a", "b"}, nil,
		},
		"terminating: its own children are": {
			graph{"targets": role(nil, terminating(to("a", "*")), to("b", "*")), "a": role(nil, to("a1", "*"), to("a2", "*")), "a1": role(nil), "a2": role(lists), "b": role(lists)},
			[]string{"targets", "a", "a1", "a2"}, []string{"targets", "a", "a2"},
		},
		"terminating below: the parent's siblings are not asked": {
			graph{"targets": role(nil, to("a", "*"), to("b", "*")), "a": role(nil, terminating(to("a1", "*"))), "a1": role(nil), "b": role(lists)},
			[]string{"targets", "a", "a1"}, nil,
		},
		"terminating that does not match ends nothing": {
			graph{"targets": role(nil, terminating(to("a", "y:*")), to("b", "*")), "b": role(lists)},
			[]string{"targets", "b"}, []string{"targets", "b"},
		},
		"a cycle": {
			graph{"targets": role(nil, to("a", "*")), "a": role(nil, to("b", "*")), "b": role(nil, to("a", "*"), to("targets2", "*")), "targets2": role(nil, to("b", "*"))},
			[]string{"targets", "a", "b", "targets2"}, nil,
		},
		"a diamond is opened once": {
			graph{"targets": role(nil, to("a", "*"), to("b", "*")), "a": role(nil, to("c", "*")), "b": role(nil, to("c", "*")), "c": role(nil)},
			[]string{"targets", "a", "c", "b"}, nil,
		},
		"withdrawal role first, and denied": {
			graph{"targets": role(nil, withdrawal(to("revocations", "*")), to("a", "*")), "revocations": role(lists), "a": role(lists)},
			[]string{"targets", "revocations", "a"}, []string{"targets", "a"},
		},
		"a withdrawal role's delegations are none": {
			graph{"targets": role(nil, withdrawal(to("revocations", "*"))), "revocations": role(nil, to("a", "*")), "a": role(lists)},
			[]string{"targets", "revocations"}, nil,
		},
		"a withdrawal role delegated again under other keys": {
			graph{"targets": role(nil, withdrawal(to("revocations", "y:*")), to("a", "*")), "a": role(nil, to("revocations", "*")), "revocations": role(lists)},
			[]string{"targets", "a", "revocations"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.graph.search(t, "x:1")
			assert.Equal(t, c.visited, s.Visited())
			hit, found := s.Found()
			require.Equal(t, c.chain != nil, found)
			assert.Equal(t, c.chain, hit.Chain)
			if found {
				assert.Equal(t, c.chain[len(c.chain)-1], hit.Role)
				assert.Equal(t, int64(1), hit.Target.Length)
			}
		})
	}
}

func TestSearchReportsDenial(t *testing.T) {
	g := graph{"targets": role(nil, withdrawal(to("revocations", "*"))), "revocations": role(lists)}
	hit, denied := g.search(t, "x:1").Denied()
	assert.True(t, denied)
	assert.Equal(t, []string{"targets", "revocations"}, hit.Chain)
	_, denied = g.search(t, "x:2").Denied()
	assert.False(t, denied)
}

// The keys of an edge are those that its own delegator lists.
func TestEdgeCarriesItsDelegatorsKeys(t *testing.T) {
	inner := role(nil, to("b", "*"))
	inner.Delegations.Keys = metadata.Keys{"other": {Type: "rsa"}}
	s := delegations.NewSearch("x:1")
	top, _ := s.Next()
	assert.Equal(t, "root", top.Parent)
	assert.Equal(t, "targets", top.Role)
	require.NoError(t, s.Visit(top, role(nil, terminating(to("a", "*")))))
	a, _ := s.Next()
	assert.Equal(t, "targets", a.Parent)
	assert.Equal(t, []string{"a"}, a.RoleKeys.KeyIDs)
	assert.Contains(t, a.Keys, "k")
	assert.True(t, a.Terminating)
	require.NoError(t, s.Visit(a, inner))
	b, _ := s.Next()
	assert.Equal(t, "a", b.Parent)
	assert.Contains(t, b.Keys, "other")
	assert.NotContains(t, b.Keys, "k")
	assert.Equal(t, []string{"targets", "a", "b"}, b.Chain)
}

func TestSearchIsBounded(t *testing.T) {
	g := graph{"targets": role(nil, to("r0", "*"))}
	for i := range metadata.MaxVisits + 10 {
		g[fmt.Sprintf("r%d", i)] = role(nil, to(fmt.Sprintf("r%d", i+1), "*"))
	}
	s := delegations.NewSearch("x:1")
	var err error
	for e, ok := s.Next(); ok && err == nil; e, ok = s.Next() {
		err = s.Visit(e, g[e.Role])
	}
	require.ErrorIs(t, err, delegations.ErrTooMany)
	assert.Len(t, s.Visited(), metadata.MaxVisits)
	_, found := s.Found()
	assert.False(t, found)
}

func TestSearchThroughBins(t *testing.T) {
	s := &metadata.SuccinctRoles{BitLength: 4, NamePrefix: "bin", RoleKeys: metadata.RoleKeys{KeyIDs: []string{"k"}, Threshold: 1}}
	bin := delegations.Bin(s, "x:1")
	a := role(nil)
	a.Delegations = &metadata.Delegations{Succinct: s}
	g := graph{"targets": role(nil, to("a", "*"), to("b", "*")), "a": a, bin: role(nil), "b": role(lists)}
	found := g.search(t, "x:1")
	assert.Equal(t, []string{"targets", "a", bin}, found.Visited(), "a bin is terminating: b is not asked")
	g[bin] = role(lists)
	hit, ok := g.search(t, "x:1").Found()
	assert.True(t, ok)
	assert.Equal(t, []string{"targets", "a", bin}, hit.Chain)
}

func TestMisplacedWithdrawalRole(t *testing.T) {
	for name, g := range map[string]graph{
		"second delegation of targets": {"targets": role(nil, to("a", "*"), withdrawal(to("w", "*"))), "a": role(nil)},
		"below targets":                {"targets": role(nil, to("a", "*")), "a": role(nil, withdrawal(to("w", "*")))},
		"where it would not match":     {"targets": role(nil, to("a", "*"), withdrawal(to("w", "y"))), "a": role(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			s := delegations.NewSearch("x:1")
			var err error
			for e, ok := s.Next(); ok && err == nil; e, ok = s.Next() {
				err = s.Visit(e, g[e.Role])
			}
			require.ErrorIs(t, err, delegations.ErrWithdrawalRole)
			err = delegations.Walk(g.open, func(e delegations.Edge, _ metadata.Delegation) error {
				assert.NotEqual(t, "w", e.Role)
				return nil
			})
			if name == "below targets" {
				assert.NoError(t, err, "one role's mistake is its own")
			} else {
				assert.ErrorIs(t, err, delegations.ErrWithdrawalRole)
			}
		})
	}
}

func TestWithdrawal(t *testing.T) {
	e, ok := delegations.Withdrawal(role(nil, withdrawal(to("revocations", "*")), to("a", "*")))
	require.True(t, ok)
	assert.Equal(t, "revocations", e.Role)
	assert.True(t, e.Withdrawal)
	assert.Equal(t, []string{"targets", "revocations"}, e.Chain)
	assert.Equal(t, []string{"revocations"}, e.RoleKeys.KeyIDs)
	for _, top := range []*metadata.Targets{role(nil), role(nil, to("a", "*")), role(nil, to("a", "*"), withdrawal(to("w", "*"))),
		{Delegations: &metadata.Delegations{Succinct: &metadata.SuccinctRoles{}}}} {
		_, ok := delegations.Withdrawal(top)
		assert.False(t, ok)
	}
}
