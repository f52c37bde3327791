package tuf_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func delegate(repo *tufrepository.Repository, parent string, d tufrepository.Delegation) {
	if d.Paths == nil && d.Prefixes == nil {
		d.Paths = []string{"*"}
	}
	repo.Delegate(start, parent, d)
}

func TestLookup(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "A", Paths: []string{"a*"}})
	delegate(repo, "A", tufrepository.Delegation{Name: "B"})
	repo.AddTarget("B", "abc", []byte("x"))
	repo.AddTarget("B", "xyz", []byte("x"))
	repo.PublishAll()
	c := follow(t, repo).ok(mirrorOf("m", repo))
	found, err := c.Lookup(t.Context(), "abc")
	require.NoError(t, err)
	require.Equal(t, []string{"root", "targets", "A", "B"}, found.Chain)
	require.Equal(t, "B", found.Role)
	require.Equal(t, []string{"targets", "A", "B"}, found.Visited)
	require.Equal(t, map[string]int64{"targets": 2, "A": 1, "B": 1}, found.Version)
	require.EqualValues(t, 1, found.Target.Length)
	found, err = c.Lookup(t.Context(), "xyz")
	require.NoError(t, err)
	require.False(t, found.Listed)
	require.Equal(t, []string{"targets"}, found.Visited)
}

func TestNothingIsOpenedBeforeRefresh(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	f.ok(mirrorOf("m", repo))
	repo.Expire("snapshot", start)
	repo.PublishAll()
	c := f.fails(tuf.ErrExpired, mirrorOf("m", repo))
	_, err := c.Lookup(t.Context(), "x")
	require.ErrorContains(t, err, "not refreshed")
	c, err = tuf.NewClient(f.opts)
	require.NoError(t, err)
	_, err = c.Lookup(t.Context(), "x")
	require.ErrorContains(t, err, "not refreshed")
}

// Two roles delegate to shared, each by keys of its own: what one of them
// trusts is nothing to the other.
func TestEachDelegationNeedsItsOwnSignatures(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "A", Paths: []string{"a*"}})
	delegate(repo, "targets", tufrepository.Delegation{Name: "B", Paths: []string{"b*"}})
	delegate(repo, "A", tufrepository.Delegation{Name: "shared", Keys: []*tufrepository.Key{tufrepository.NewKey("by A")}})
	delegate(repo, "B", tufrepository.Delegation{Name: "shared", Keys: []*tufrepository.Key{tufrepository.NewKey("by B")}})
	repo.AddTarget("shared", "a", []byte("x"))
	repo.AddTarget("shared", "b", []byte("x"))
	repo.Signers["shared"] = repo.Signers["shared"][:1]
	repo.PublishAll()
	f := follow(t, repo)
	for range 2 { // from the source, then from the store
		c := f.ok(mirrorOf("m", repo))
		found, err := c.Lookup(t.Context(), "a")
		require.NoError(t, err)
		require.True(t, found.Listed)
		_, err = c.Lookup(t.Context(), "b")
		require.ErrorIs(t, err, tuf.ErrThreshold)
	}
}

// Role names are anybody's: no two delegations may look like one.
func TestDelegationsAreNotMistakenForEachOther(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "a", Paths: []string{"1"}})
	delegate(repo, "targets", tufrepository.Delegation{Name: "a\x00b", Paths: []string{"2"}})
	delegate(repo, "a", tufrepository.Delegation{Name: "b\x00c"})
	delegate(repo, "a\x00b", tufrepository.Delegation{Name: "c"})
	repo.Signers["c"] = []*tufrepository.Key{tufrepository.NewKey("thief")}
	repo.AddTarget("c", "2", []byte("x"))
	repo.PublishAll()
	c := follow(t, repo).ok(mirrorOf("m", repo))
	_, err := c.Lookup(t.Context(), "1")
	require.NoError(t, err)
	_, err = c.Lookup(t.Context(), "2")
	require.ErrorIs(t, err, tuf.ErrThreshold)
}

func TestDelegationsThreshold(t *testing.T) {
	keys := []*tufrepository.Key{tufrepository.NewKey("1"), tufrepository.NewKey("2"), tufrepository.NewKey("3")}
	for signers, want := range map[int]error{1: tuf.ErrThreshold, 2: nil, 3: nil} {
		repo := tufrepository.New(start)
		delegate(repo, "targets", tufrepository.Delegation{Name: "A", Keys: keys, Threshold: 2})
		repo.Signers["A"] = keys[:signers]
		repo.PublishAll()
		c := follow(t, repo).ok(mirrorOf("m", repo))
		_, err := c.Lookup(t.Context(), "x")
		require.ErrorIs(t, err, want)
	}
}

func TestKeysOfADelegatedRoleRotate(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "A"})
	repo.PublishAll()
	f := follow(t, repo)
	lookup := func(c *tuf.Client) error { _, err := c.Lookup(t.Context(), "x"); return err }
	require.NoError(t, lookup(f.ok(mirrorOf("m", repo))))
	delete(repo.Signed["targets"], "delegations")
	delegate(repo, "targets", tufrepository.Delegation{Name: "A", Keys: []*tufrepository.Key{tufrepository.NewKey("new")}})
	repo.Signers["A"] = repo.Signers["A"][1:]
	repo.Publish("targets", "snapshot", "timestamp")
	require.ErrorIs(t, lookup(f.ok(mirrorOf("m", repo))), tuf.ErrThreshold, "the file that is kept is by the old key")
	repo.Republish("A") // the same version, signed anew
	require.NoError(t, lookup(f.ok(mirrorOf("m", repo))))
}

func TestRoleThatGaveItselfUpStaysSo(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "A"})
	repo.AddTarget("A", "x", []byte("x"))
	repo.PublishAll()
	f := follow(t, repo)
	lookup := func() (*tuf.Finding, error) { return f.ok(mirrorOf("m", repo)).Lookup(t.Context(), "x") }
	found, err := lookup()
	require.NoError(t, err)
	require.True(t, found.Listed)
	listed := repo.Signed["A"]["targets"]
	repo.Signed["A"]["targets"], repo.Signed["A"]["carnet"] = tufrepository.Object{}, tufrepository.Object{"revoked": true}
	repo.Publish("A", "snapshot", "timestamp")
	found, err = lookup()
	require.NoError(t, err)
	require.False(t, found.Listed)
	delete(repo.Signed["A"], "carnet")
	repo.Signed["A"]["targets"] = listed
	repo.Publish("A", "snapshot", "timestamp")
	_, err = lookup()
	require.ErrorIs(t, err, tuf.ErrInvalid)
}

func TestCycleIsWalkedOnce(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "A"})
	delegate(repo, "A", tufrepository.Delegation{Name: "B"})
	delegate(repo, "B", tufrepository.Delegation{Name: "A", Keys: repo.Signers["A"]})
	delegate(repo, "B", tufrepository.Delegation{Name: "C"})
	repo.AddTarget("C", "x", []byte("x"))
	repo.PublishAll()
	found, err := follow(t, repo).ok(mirrorOf("m", repo)).Lookup(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, []string{"targets", "A", "B", "C"}, found.Visited)
}

func TestSearchIsBounded(t *testing.T) {
	repo := tufrepository.New(start)
	for i := range metadata.MaxVisits {
		delegate(repo, "targets", tufrepository.Delegation{Name: fmt.Sprint(i)})
	}
	repo.PublishAll()
	c := follow(t, repo).ok(mirrorOf("m", repo))
	_, err := c.Lookup(t.Context(), "x")
	require.ErrorIs(t, err, delegations.ErrTooMany)
	require.ErrorIs(t, err, tuf.ErrInvalid)
}

func TestLengthsAreHeld(t *testing.T) {
	for _, role := range []string{"snapshot", "targets"} {
		repo := tufrepository.New(start)
		entry := func() tufrepository.Object {
			if role == "snapshot" {
				return repo.Signed["timestamp"]["meta"].(tufrepository.Object)["snapshot.json"].(tufrepository.Object)
			}
			return repo.Signed["snapshot"]["meta"].(tufrepository.Object)["targets.json"].(tufrepository.Object)
		}
		repo.Publish("targets")
		if role == "targets" {
			entry()["length"] = len(repo.Get("2.targets.json")) + 1
		}
		repo.Publish("snapshot")
		if role == "snapshot" {
			entry()["length"] = len(repo.Get("2.snapshot.json")) - 1
		}
		repo.Publish("timestamp")
		f := follow(t, repo)
		f.fails(tuf.ErrInvalid, mirrorOf("m", repo))
		require.NotContains(t, f.store, role)
	}
}

func TestWithdrawnFailsClosed(t *testing.T) {
	repo := tufrepository.New(start)
	digest := metadata.NewMetaFile(1, []byte("bad")).Hashes.Digest()
	delegate(repo, "targets", tufrepository.Delegation{Name: "revocations"})
	repo.Signed["targets"]["delegations"].(tufrepository.Object)["roles"].([]any)[0].(tufrepository.Object)["carnet"] = tufrepository.Object{"purpose": "withdrawal"}
	repo.AddTarget("revocations", metadata.WithdrawnPath(digest), []byte("no notice at all"))
	repo.AddTarget("revocations", "x", []byte("denied"))
	repo.PublishAll()
	c := follow(t, repo).ok(mirrorOf("m", repo))
	notice, err := c.Withdrawn(t.Context(), digest)
	require.NoError(t, err)
	require.NotNil(t, notice)
	found, err := c.Lookup(t.Context(), "x")
	require.NoError(t, err)
	require.True(t, found.Denied)
	require.False(t, found.Listed, "entries of the withdrawal role never vouch")
	repo.Expire("revocations", start)
	repo.PublishAll()
	_, err = follow(t, repo).ok(mirrorOf("m", repo)).Withdrawn(t.Context(), digest)
	require.ErrorIs(t, err, tuf.ErrExpired)
}
