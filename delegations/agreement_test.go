package delegations_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// agree makes a delegation demand that n of the roles agree.
func agree(d metadata.Delegation, n int, roles ...string) metadata.Delegation {
	d.Agreement = &metadata.Agreement{Roles: roles, Min: n}
	return d
}

// says builds a file that lists x:1 with some content.
func says(hex string, length int64, delegated ...metadata.Delegation) *metadata.Targets {
	t := role(nil, delegated...)
	t.Targets["x:1"] = metadata.Target{Length: length, Hashes: metadata.SHA256(hex)}
	return t
}

const (
	good = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	evil = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
)

var agreementCases = map[string]struct {
	graph graph
	chain []string // nil: it does not pass
	why   string   // what the disagreement says; "": nothing is listed at all
	asked []string // roles opened, where that is to be seen
}{
	"both list the same": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": says(good, 1), "security": says(good, 1)},
		chain: []string{"targets", "dev"}, asked: []string{"targets", "dev", "security"},
	},
	"one alone": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": says(good, 1), "security": role(nil)},
		why:   "targets demands that 2 of dev, security list the same: dev lists sha256:" + good + ", security does not list it",
	},
	"the other alone": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": role(nil), "security": says(good, 1)},
		why:   "dev does not list it, security lists sha256:" + good,
	},
	"nobody": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": role(nil), "security": role(nil)},
	},
	"another hash": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": says(evil, 1), "security": says(good, 1)},
		why:   "dev lists sha256:" + evil + ", security lists sha256:" + good,
	},
	"another length": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": says(good, 1), "security": says(good, 2)},
		why:   "security lists sha256:" + good + " with 2 bytes and not 1",
	},
	"paths that the demanding delegation does not have": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "y:*"), 2, "dev", "security")), "dev": says(good, 1)},
		chain: []string{"targets", "dev"}, asked: []string{"targets", "dev"},
	},
	"a role that is not trusted with the path cannot agree": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("gate", "*"), 2, "dev", "security"), to("security", "y:*")),
			"dev": says(good, 1), "gate": role(nil), "security": says(good, 1)},
		why: "dev lists sha256:" + good + ", security is not trusted with it",
	},
	"the delegator's own word": {
		graph: graph{"targets": says(good, 1, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security"))},
		chain: []string{"targets"}, asked: []string{"targets"},
	},
	"a role that is no party to it needs it all the same": {
		graph: graph{"targets": role(nil, to("releases", "*"), to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"releases": says(evil, 1), "dev": says(good, 1), "security": says(good, 1)},
		why: "dev lists sha256:" + good + ", security lists sha256:" + good,
	},
	"a role that is no party to it, and says the same": {
		graph: graph{"targets": role(nil, to("releases", "*"), to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"releases": says(good, 1), "dev": says(good, 1), "security": says(good, 1)},
		chain: []string{"targets", "releases"},
	},
	"deeper below a party": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": role(nil, to("web", "*")), "web": says(good, 1), "security": role(nil, to("scan", "*")), "scan": says(good, 1)},
		chain: []string{"targets", "dev", "web"},
	},
	"deeper below somebody else": {
		graph: graph{"targets": role(nil, to("releases", "*"), to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"releases": role(nil, to("web", "*")), "web": says(evil, 1), "dev": role(nil), "security": role(nil)},
		why: "dev does not list it, security does not list it",
	},
	"a party is asked by its own search, in its own order": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": says(good, 1), "security": role(nil, to("a", "*"), to("b", "*")), "a": says(evil, 1), "b": says(good, 1)},
		why: "security lists sha256:" + evil,
	},
	"two of three": {
		graph: graph{"targets": role(nil, to("dev", "*"), to("qa", "*"), agree(to("security", "*"), 2, "dev", "security", "qa")),
			"dev": says(good, 1), "security": role(nil), "qa": says(good, 1)},
		chain: []string{"targets", "dev"},
	},
	"two of three, without the first": {
		graph: graph{"targets": role(nil, to("dev", "*"), to("qa", "*"), agree(to("security", "*"), 2, "dev", "security", "qa")),
			"dev": role(nil), "security": says(good, 1), "qa": says(good, 1)},
		chain: []string{"targets", "qa"},
	},
	"two of three are enough: the third is not asked": {
		graph: graph{"targets": role(nil, to("dev", "*"), to("qa", "*"), agree(to("security", "*"), 2, "dev", "security", "qa")),
			"dev": says(good, 1), "security": says(good, 1)},
		chain: []string{"targets", "dev"}, asked: []string{"targets", "dev", "security"},
	},
	"two of three against the one that is found": {
		graph: graph{"targets": role(nil, to("dev", "*"), to("qa", "*"), agree(to("security", "*"), 2, "dev", "security", "qa")),
			"dev": says(evil, 1), "security": says(good, 1), "qa": says(good, 1)},
		why: "qa lists sha256:" + good,
	},
	"all that match must hold": {
		graph: graph{"targets": role(nil, agree(to("dev", "*"), 2, "dev", "qa"), agree(to("security", "*"), 2, "dev", "security"), to("qa", "*")),
			"dev": says(good, 1), "security": role(nil), "qa": says(good, 1)},
		why: "2 of dev, security list the same",
	},
	"all that match hold": {
		graph: graph{"targets": role(nil, agree(to("dev", "*"), 2, "dev", "qa"), agree(to("security", "*"), 2, "dev", "security"), to("qa", "*")),
			"dev": says(good, 1), "security": says(good, 1), "qa": says(good, 1)},
		chain: []string{"targets", "dev"},
	},
	"a terminating party hides no other": {
		graph: graph{"targets": role(nil, terminating(to("dev", "*")), agree(to("security", "*"), 2, "dev", "security")), "dev": says(good, 1), "security": says(good, 1)},
		chain: []string{"targets", "dev"},
	},
	"a terminating party hides no demand": {
		graph: graph{"targets": role(nil, terminating(to("dev", "*")), agree(to("security", "*"), 2, "dev", "security")), "dev": says(evil, 1), "security": role(nil)},
		why:   "security does not list it",
	},
	"a terminating delegation below one party ends only that party's search": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": role(nil, terminating(to("web", "*")), to("other", "*")), "web": says(good, 1), "security": says(good, 1)},
		chain: []string{"targets", "dev", "web"},
	},
	"a terminating delegation within a party": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": says(good, 1), "security": role(nil, terminating(to("a", "*")), to("b", "*")), "a": role(nil), "b": says(good, 1)},
		why: "security does not list it",
	},
	"an earlier terminating delegation that lists nothing": {
		graph: graph{"targets": role(nil, terminating(to("a", "*")), to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"a": role(nil), "dev": says(good, 1), "security": says(good, 1)},
	},
	"one file speaks once, whoever delegates to it": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": role(nil, to("shared", "*")), "security": role(nil, to("shared", "*")), "shared": says(evil, 1)},
		why: "security lists sha256:" + evil + " by the word of shared, which counts once",
	},
	"a party that lets another speak for it": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": says(evil, 1), "security": role(nil, to("dev", "*"))},
		why: "by the word of dev",
	},
	"the withdrawal role agrees to nothing": {
		graph: graph{"targets": role(nil, withdrawal(to("revocations", "*")), to("team", "*")),
			"revocations": says(evil, 1),
			"team":        role(nil, to("dev", "*"), agree(to("revocations", "*"), 2, "dev", "revocations")), "dev": says(evil, 1)},
		why: "revocations does not list it",
	},
	"demanded below, of what is found below": {
		graph: graph{"targets": role(nil, to("team", "*")),
			"team": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": says(evil, 1), "security": role(nil)},
		why: "team demands that 2 of dev, security",
	},
	"demanded below, and found beside": {
		graph: graph{"targets": role(nil, to("team", "*"), to("other", "*")),
			"team": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")), "dev": role(nil), "security": role(nil), "other": says(good, 1)},
		chain: []string{"targets", "other"},
	},
	"nested, the inner one fails": {
		graph: graph{"targets": role(nil, to("team", "*"), agree(to("security", "*"), 2, "team", "security")),
			"team": role(nil, to("a", "*"), agree(to("b", "*"), 2, "a", "b")), "a": says(good, 1), "b": role(nil), "security": says(good, 1)},
		why: "what team lists does not count (team demands that 2 of a, b list the same: a lists sha256:" + good + ", b does not list it)",
	},
	"nested, the outer one fails": {
		graph: graph{"targets": role(nil, to("team", "*"), agree(to("security", "*"), 2, "team", "security")),
			"team": role(nil, to("a", "*"), agree(to("b", "*"), 2, "a", "b")), "a": says(good, 1), "b": says(good, 1), "security": role(nil)},
		why: "targets demands that 2 of team, security",
	},
	"nested, both hold": {
		graph: graph{"targets": role(nil, to("team", "*"), agree(to("security", "*"), 2, "team", "security")),
			"team": role(nil, to("a", "*"), agree(to("b", "*"), 2, "a", "b")), "a": says(good, 1), "b": says(good, 1), "security": says(good, 1)},
		chain: []string{"targets", "team", "a"},
	},
	"nested within a party that is asked": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("team", "*"), 2, "dev", "team")),
			"dev": says(good, 1), "team": role(nil, to("a", "*"), agree(to("b", "*"), 2, "a", "b")), "a": says(good, 1), "b": says(evil, 1)},
		why: "what team lists does not count",
	},
	"only the parties' own file of two searches": {
		graph: graph{"targets": role(nil, to("dev", "*"), agree(to("security", "*"), 2, "dev", "security")),
			"dev": role(nil, to("security", "*"), to("web", "*")), "security": role(nil), "web": says(good, 1)},
		why: "security does not list it",
	},
}

func TestAgreement(t *testing.T) {
	for name, c := range agreementCases {
		t.Run(name, func(t *testing.T) {
			s := c.graph.search(t, "x:1")
			hit, found := s.Found()
			assert.Equal(t, c.chain, hit.Chain)
			assert.Equal(t, c.chain != nil, found)
			if c.why == "" {
				assert.Nil(t, s.Disagreed())
			} else {
				require.NotNil(t, s.Disagreed())
				assert.Contains(t, s.Disagreed().String(), c.why)
				assert.False(t, found)
			}
			if c.asked != nil {
				assert.Equal(t, c.asked, s.Visited())
			}
		})
	}
}

func TestAgreeingRolesAreNamed(t *testing.T) {
	hit, _ := agreementCases["both list the same"].graph.search(t, "x:1").Found()
	assert.Equal(t, []string{"dev", "security"}, hit.Agreeing)
	hit, _ = agreementCases["paths that the demanding delegation does not have"].graph.search(t, "x:1").Found()
	assert.Nil(t, hit.Agreeing)
}

// Roles that must agree and delegate to each other ask each other for ever:
// that is bounded, and is no verdict.
func TestAgreementIsBounded(t *testing.T) {
	g := graph{
		"targets": role(nil, to("a", "*")),
		"a":       role(nil, agree(to("b", "*"), 2, "b", "c"), to("c", "*")), "c": role(nil),
		"b": role(nil, agree(to("a", "*"), 2, "a", "d"), to("d", "*")), "d": says(good, 1),
	}
	s, visits := delegations.NewSearch("x:1"), 0
	var err error
	for e, ok := s.Next(); ok && err == nil; e, ok = s.Next() {
		visits++
		err = s.Visit(e, g[e.Role])
	}
	require.ErrorIs(t, err, delegations.ErrTooMany)
	assert.Equal(t, metadata.MaxVisits+1, visits)
	_, found := s.Found()
	assert.False(t, found)
}

// What those who must agree open counts too: no lookup opens more.
func TestVotersCountAsVisits(t *testing.T) {
	parties := make([]string, metadata.MaxVisits/2)
	delegated := []metadata.Delegation{to("found", "*")}
	g := graph{"found": says(good, 1)}
	for i := range parties {
		parties[i] = fmt.Sprintf("r%d", i)
		g[parties[i]] = says(good, 1)
		delegated = append(delegated, to(parties[i], "*"))
	}
	search := func() error {
		s := delegations.NewSearch("x:1")
		for e, ok := s.Next(); ok; e, ok = s.Next() {
			if err := s.Visit(e, g[e.Role]); err != nil {
				return err
			}
		}
		return nil
	}
	delegated[1] = agree(delegated[1], len(parties), parties...)
	g["targets"] = role(nil, delegated...)
	require.NoError(t, search())
	for i := range metadata.MaxVisits {
		below := fmt.Sprintf("below%d", i)
		g[parties[i%len(parties)]] = role(nil, to(below, "*"))
		g[below] = says(good, 1)
	}
	require.ErrorIs(t, search(), delegations.ErrTooMany)
}

func TestCandidatesBehindATerminatingDelegation(t *testing.T) {
	g := graph{
		"targets": role(nil, terminating(to("dev", "*")), agree(to("security", "*"), 2, "dev", "security"), to("other", "*")),
		"dev":     says(good, 1), "security": role(nil, to("scan", "*")), "scan": role(nil), "other": role(nil),
	}
	edges, err := delegations.Candidates("x:1", g.open)
	require.NoError(t, err)
	assert.Equal(t, []string{"dev", "security", "scan"}, names(edges), "whose agreement is demanded can give it")
}
