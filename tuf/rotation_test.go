package tuf_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// poolOf returns different keys of one algorithm. RSA keys are slow to make:
// their row has keys of the other kinds beside them, as a publisher has that
// changes from one algorithm to another.
var poolOf = map[string]func(t *testing.T) []*tuf.SoftKey{
	"ed25519":    func(t *testing.T) []*tuf.SoftKey { return generated(t, tuf.KeyEd25519, poolSize) },
	"ecdsa-p256": func(t *testing.T) []*tuf.SoftKey { return generated(t, tuf.KeyECDSAP256, poolSize) },
	"rsa-3072": func(t *testing.T) []*tuf.SoftKey {
		rsa := append([]*tuf.SoftKey{fixtures.RSAKey(t)}, slowKeys()...)
		ed, ec := generated(t, tuf.KeyEd25519, 3), generated(t, tuf.KeyECDSAP256, 3)
		return []*tuf.SoftKey{rsa[0], ed[0], ec[0], rsa[1], ed[1], rsa[2], ec[1], ed[2], ec[2]}
	},
}

// poolSize is how many keys a story with a threshold of three uses.
const poolSize = 9

var slowKeys = sync.OnceValue(func() (out []*tuf.SoftKey) {
	for range 2 {
		k, err := tuf.NewSoftKey(rand.Reader, tuf.KeyRSA3072)
		if err != nil {
			panic(err)
		}
		out = append(out, k)
	}
	return out
})

func generated(t *testing.T, kind string, n int) []*tuf.SoftKey {
	out := make([]*tuf.SoftKey, n)
	for i := range out {
		k, err := tuf.NewSoftKey(rand.Reader, kind)
		require.NoError(t, err)
		out[i] = k
	}
	return out
}

// Every algorithm, every role, every threshold, every kind of rotation: after
// each, who knows only the pinned root, who followed all along and who saw the
// state before verify the publication, and so does go-tuf; the keys that went
// are thrown away, and the role can be signed without them.
func TestRotations(t *testing.T) {
	thresholds := []int{1, 2, 3}
	if underRace { // which is about something else, and slow
		thresholds = []int{2}
	}
	for algorithm, pool := range poolOf {
		t.Run(algorithm, func(t *testing.T) {
			keys := pool(t)
			for _, role := range []string{"root", "targets", "snapshot", "timestamp", "apps", tuf.RoleWithdrawals} {
				for _, threshold := range thresholds {
					t.Run(fmt.Sprintf("%s/%d", role, threshold), func(t *testing.T) {
						t.Parallel()
						playRotations(t, role, threshold, keys)
					})
				}
			}
		})
	}
}

// story is a role whose keys are rotated again and again.
type story struct {
	t         *testing.T
	p         *fixtures.Publisher
	role      string
	pool      []*tuf.SoftKey // not used yet
	now       []*tuf.SoftKey // the role's
	threshold int
	store     tuf.MemoryStore // of who follows all along
	oracle    *oracle         // go-tuf, which does too
}

func playRotations(t *testing.T, role string, threshold int, pool []*tuf.SoftKey) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "apps")
	_, err := p.Sign("apps", "app:1", "one")
	require.NoError(t, err)
	s := &story{t: t, p: p, role: role, pool: pool, store: tuf.MemoryStore{}, oracle: newOracle(t, p.Root)}
	s.verify("before")
	s.others("before", s.oracle)

	s.rotate("other keys", 0, threshold, threshold)
	s.rotate("add", len(s.now), 1, threshold)
	s.rotate("remove", len(s.now)-1, 0, threshold)
	s.rotate("replace", len(s.now)-1, 1, threshold)
	s.rotate("threshold up", len(s.now), 1, threshold+1)
	s.rotate("threshold down", len(s.now), 0, threshold)
	s.rotate("all at once", 0, threshold, threshold)
	s.others("anew, from the pinned root", newOracle(t, p.Root))
}

// rotate publishes that the role keeps the last of its keys and has new ones.
func (s *story) rotate(kind string, keep, add, threshold int) {
	s.t.Helper()
	old, ring, before := s.now, s.ring(), maps.Clone(s.store)
	s.now = append(slices.Clone(old[len(old)-keep:]), s.pool[:add]...)
	demanded := max(s.threshold, 1)
	s.pool, s.threshold = s.pool[add:], threshold
	change := func(ctx context.Context, d *tuf.Draft) error { return d.SetKeys(ctx, s.role, keysIn(s.now), threshold) }
	if s.role == metadata.RoleRoot && keep < demanded {
		require.ErrorIs(s.t, s.try(s.ring(), change), tuf.ErrNoKey, "%s: without a threshold of the present root's keys", kind)
	}
	s.publish(kind, append(ring, signers(s.now)...), change)
	s.verify(kind)
	s.follow(kind+", seen the state before", before)
	s.others(kind, s.oracle)
	// Without the keys that went the role can be signed again.
	s.publish(kind+", then signed again", s.ring(), func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, s.role) })
	s.verify(kind + ", then signed again")
}

// ring is every key but those that the role had once.
func (s *story) ring() tuf.Keys {
	ring := signers(s.now)
	for _, name := range []string{"root", "targets", "revocations", "online", "apps"} {
		if !s.replaced(name) {
			ring = append(ring, s.p.Key(name))
		}
	}
	return ring
}

// replaced reports whether the key is the one that the role began with and
// nobody else has.
func (s *story) replaced(name string) bool {
	return len(s.now) > 0 && name == s.role
}

func (s *story) publish(how string, ring tuf.Keys, change func(context.Context, *tuf.Draft) error) {
	s.t.Helper()
	require.NoError(s.t, s.try(ring, change), how)
}

func (s *story) try(ring tuf.Keys, change func(context.Context, *tuf.Draft) error) error {
	opts := s.p.Options()
	opts.Keys = ring
	_, err := tuf.NewRepository(opts).Publish(s.t.Context(), nil, change)
	return err
}

// others is what go-tuf's client says of what is published now.
func (s *story) others(how string, o *oracle) {
	s.t.Helper()
	_, err := gotuf(s.t, o, s.p).GetTargetInfo("app:1")
	require.NoError(s.t, err, how)
}

// verify is what our clients say of what is published now, who signed it, and
// whose signatures it needs.
func (s *story) verify(how string) {
	s.t.Helper()
	s.follow(how+", pinned root only", tuf.MemoryStore{})
	c := s.follow(how+", all along", s.store)
	if len(s.now) == 0 {
		return
	}
	state, err := tuf.NewRepository(s.p.Options()).Load(s.t.Context())
	require.NoError(s.t, err)
	keys, rk := trusted(s.t, state, s.role)
	require.Equal(s.t, s.threshold, rk.Threshold, how)
	require.ElementsMatch(s.t, slices.Collect(maps.Keys(keysIn(s.now))), rk.KeyIDs, how)
	f := map[string]*metadata.File{"root": c.Root(), "snapshot": c.Snapshot(), "timestamp": c.Timestamp()}[s.role]
	if f == nil {
		f = decodedFile(s.t, s.role, fileOf(s.t, state, s.role))
	}
	by, err := tuf.Signers(f, keys, rk)
	require.NoError(s.t, err)
	require.Len(s.t, by, len(s.now), "%s: every key that is at hand signs", how)
}

func (s *story) follow(how string, store tuf.MemoryStore) *tuf.Client {
	s.t.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: s.p.Root, Store: store, Sources: []tuf.Source{s.p.Source()}, Now: s.p.Now()})
	require.NoError(s.t, err, how)
	require.NoError(s.t, c.Refresh(s.t.Context()), how)
	found, err := c.Lookup(s.t.Context(), "app:1")
	require.NoError(s.t, err, how)
	require.True(s.t, found.Listed, how)
	return c
}

// trusted returns whose signatures a role needs.
func trusted(t *testing.T, state *tuf.State, role string) (metadata.Keys, metadata.RoleKeys) {
	root := state.Root().Root
	if metadata.IsTopLevel(role) {
		return root.Keys, root.Roles[role]
	}
	d := decodedFile(t, metadata.RoleTargets, fileOf(t, state, metadata.RoleTargets)).Targets.Delegations
	i := slices.IndexFunc(d.Roles, func(r metadata.Delegation) bool { return r.Name == role })
	return d.Keys, d.Roles[i].RoleKeys
}

func keysIn(list []*tuf.SoftKey) metadata.Keys {
	out := metadata.Keys{}
	for _, k := range list {
		out[k.Key().ID()] = k.Key()
	}
	return out
}

func signers(list []*tuf.SoftKey) (out tuf.Keys) {
	for _, k := range list {
		out = append(out, k)
	}
	return out
}
