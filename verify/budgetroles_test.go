package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// Whoever knows nothing but a pinned root needs two rounds, for the last of a
// chain of three roles among a thousand, whose own files are not inlined.
func TestBudgetColdOfThousandRoles(t *testing.T) {
	w := newWorld(t)
	type delegation struct{ parent, role, name string }
	var all []delegation
	for i := range 1000 {
		all = append(all, delegation{"targets", fmt.Sprintf("team-%d", i), fmt.Sprintf("team-%d/**", i)})
	}
	all = append(all, delegation{"team-500", "app", "team-500/app/**"}, delegation{"app", "stable", "team-500/app/**"})
	for _, d := range all {
		w.wabbit.Key(d.role) // a writer has the keys that there are when it begins
	}
	_, err := w.wabbit.Publish(func(ctx context.Context, draft *tuf.Draft) error {
		for _, d := range all {
			if err := w.draftRole(ctx, draft, d.parent, d.role, d.name); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	const name = "team-500/app/server"
	var bulk []tuf.Artifact
	for i := range 200 {
		content := fmt.Sprint(i)
		bulk = append(bulk, tuf.Artifact{Name: name, Tag: "t" + content, Digest: fixtures.Target(content).Hashes.Digest(), Size: 1})
	}
	w.vouch(w.wabbit, tuf.Vouching{Role: "stable"}, append(bulk, w.push(name, "1.0", "one"))...)

	rounds := fixtures.CountRounds(t, w.reg)
	w.reg.Reset()
	d := w.requireReason("HOST/"+name+":1.0", verify.Allowed, verify.OK)
	require.Equal(t, []string{"root", "targets", "team-500", "app", "stable"}, d.Results[0].Chain)
	require.Equal(t, 2, rounds.Count(), w.reg.Requests())

	rounds.Reset()
	w.reg.Reset()
	w.requireReason("HOST/"+name+":1.0", verify.Allowed, verify.OK)
	require.Equal(t, 1, rounds.Count(), "warm")
	require.Len(t, w.reg.Requests(), 2, "warm")
}

// A chain of roots is fetched in one round, however long it is.
func TestBudgetColdAfterRootRotations(t *testing.T) {
	w := newWorld(t)
	l := newRoot(t, "")
	roots := [][]byte{l.root}
	for v := range int64(9) {
		roots = append(roots, l.rootOf(v+2, l.key))
	}
	a := w.push("net-monitor", "1.0", "one")
	entry := metadata.Target{Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}
	l.publish(w, 1, l.key, roots, map[string]metadata.Target{"net-monitor:1.0": entry})
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	rounds := fixtures.CountRounds(t, w.reg)
	w.reg.Reset()
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.EqualValues(t, 10, d.Results[0].RootVersion)
	require.Equal(t, 2, rounds.Count(), w.reg.Requests())
	require.Len(t, w.reg.Requests(), 2+9, "the state, the tag, a root each")
}

// draftRole delegates in a draft.
func (w *world) draftRole(ctx context.Context, draft *tuf.Draft, parent, role, name string) error {
	patterns, err := metadata.Patterns(name)
	if err != nil {
		return err
	}
	k := w.wabbit.Key(role).Key()
	d := metadata.Delegation{Name: role, Paths: patterns, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1}}
	return draft.Delegate(ctx, parent, d, metadata.Keys{k.ID(): k})
}

// Fetching a token is no round of the budget, and one token does for both
// repositories' second request.
func TestBudgetWithTokens(t *testing.T) {
	w := newWorld(t)
	w.reg = fixtures.Distribution(t, fixtures.WithTLS(), fixtures.WithTokenAuth())
	w.wabbit = fixtures.NewPublisher(t, w.reg.Host+"/trust/wabbit", w.reg.Options())
	w.wabbit.Delegate("releases", "**", "dev")
	w.root("wabbit", w.wabbit.Root)
	w.policy(wabbitOnly)
	w.signed("net-monitor", "1.0", "one")
	rounds := fixtures.CountRounds(t, w.reg)
	for _, state := range []string{"cold", "warm"} {
		regs, err := registrystore.New(w.reg.Options(), registrystore.OpenCache(w.cache))
		require.NoError(t, err)
		w.opts.Registries = regs
		rounds.Reset()
		w.reg.Reset()
		w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
		require.Equal(t, []string{"GET /v2/trust/wabbit/manifests/latest", "HEAD /v2/net-monitor/manifests/1.0"}, w.reg.SortedRequests(), state)
		require.Equal(t, 1, rounds.Count(), state)
	}
	for _, r := range w.reg.Log() {
		if r.String() == "GET /v2/trust/wabbit/manifests/latest" && !r.Auth {
			require.Equal(t, http.StatusNotModified, r.Status, "warm: an unchanged state is not sent again")
		}
	}
}
