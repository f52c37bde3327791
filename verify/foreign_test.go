package verify_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// publish puts a state with hand-made files into the trust repository of
// wabbit's place: top-level targets vouches itself, as other tools do.
func (l *line) publish(w *world, version int64, online *tuf.SoftKey, roots [][]byte, entries map[string]metadata.Target) {
	w.Helper()
	l.publishUntil(w, fixtures.Epoch.Add(30*day), version, online, roots, entries)
}

// publishUntil is publish with a timestamp that expires then.
func (l *line) publishUntil(w *world, expires time.Time, version int64, online *tuf.SoftKey, roots [][]byte, entries map[string]metadata.Target) *tuf.Publication {
	w.Helper()
	targets := &metadata.Targets{Targets: entries}
	targets.Version, targets.Expires = version, fixtures.Epoch.Add(30*day)
	p := &tuf.Publication{Targets: tuf.NewFile(metadata.RoleTargets, version, seal(w.T, targets.Canonical(), l.key))}
	snap := &metadata.Snapshot{Meta: map[string]metadata.MetaFile{metadata.RoleTargets: metadata.NewMetaFile(version, p.Targets.Data)}}
	snap.Version, snap.Expires = version, fixtures.Epoch.Add(30*day)
	p.Snapshot = tuf.NewFile(metadata.RoleSnapshot, version, seal(w.T, snap.Canonical(), online))
	ts := &metadata.Timestamp{Snapshot: metadata.NewMetaFile(version, p.Snapshot.Data)}
	ts.Version, ts.Expires = version, expires
	p.Timestamp = tuf.NewFile(metadata.RoleTimestamp, version, seal(w.T, ts.Canonical(), online))
	for i, raw := range roots {
		p.Roots = append(p.Roots, tuf.NewFile(metadata.RoleRoot, int64(i+1), raw))
	}
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(w, err)
	trust, err := regs.OpenTrust(w.reg.Host + "/trust/foreign")
	require.NoError(w, err)
	_, err = trust.Commit(w.Context(), p)
	require.NoError(w, err)
	require.NoError(w, trust.Advance(w.Context(), p))
	return p
}

const foreignOnly = `
version: 1
publishers:
  foreign: {root: roots/foreign.json, repositories: [HOST/trust/foreign]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: foreign}]}
  - {name: aged, scope: HOST/aged, require: [{publisher: foreign, max-age: 24h}]}
`

// A publisher that another tool made has no id, no issue time, no withdrawals.
func TestForeignPublisher(t *testing.T) {
	w := newWorld(t)
	l := newRoot(t, "")
	a, b := w.push("net-monitor", "1.0", "one"), w.push("aged", "1.0", "one")
	entry := metadata.Target{Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}
	l.publish(w, 1, l.key, [][]byte{l.root}, map[string]metadata.Target{"net-monitor:1.0": entry, "aged:1.0": entry})
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, "vouched for by targets", d.Results[0].Message)
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"issued":null,"age":null,`)
	require.Contains(t, string(raw), `"claims":null,`)
	require.Equal(t, a.Digest, b.Digest)
	w.requireReason("HOST/aged:1.0", verify.Denied, verify.Stale)
}

// A rotation takes the keys away with which a thief leapt to a high version.
func TestRecoveryFromALeap(t *testing.T) {
	w := newWorld(t)
	l, fresh := newRoot(t, ""), newKey(t)
	a := w.push("net-monitor", "1.0", "one")
	entries := map[string]metadata.Target{"net-monitor:1.0": {Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}}
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	l.publish(w, 1000, l.key, [][]byte{l.root}, entries)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	l.publish(w, 4, fresh, [][]byte{l.root, l.rootOf(2, fresh)}, entries)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.EqualValues(t, 4, d.Results[0].TimestampVersion)
	// What came after is remembered, and cannot be rolled back.
	l.publish(w, 3, fresh, [][]byte{l.root, l.rootOf(2, fresh)}, entries)
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: fixtures.Status(404)})
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Rollback)
}

func TestWithdrawnIndexTakesChildrenAlong(t *testing.T) {
	w := newWorld(t)
	index, children := w.reg.Repository(t, "net-monitor").PushIndex(t, "1.0", "one")
	a := tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: index.Digest, Size: index.Size}
	for _, c := range children {
		a.Manifests = append(a.Manifests, tuf.Artifact{Name: a.Name, Digest: c.Digest, Size: c.Size})
	}
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, a)
	child := "HOST/net-monitor@" + children[0].Digest.String()
	w.requireReason(child, verify.Allowed, verify.OK)
	_, err := w.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error {
		_, err := revocation.Withdraw(ctx, d, revocation.Withdrawal{Digest: index.Digest, Reason: "bad"})
		return err
	})
	require.NoError(t, err)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	w.requireReason(child, verify.Denied, verify.Revoked)
}

func TestSilentRepositoryDoesNotSilenceTheOther(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, bulk()...) // more has to be asked for than the state
	w.policy(`
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/mirror, HOST/trust/wabbit]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: wabbit}]}
`)
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/v2/mirror/"), Then: fixtures.Stall})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	out, err := w.verifier().Verify(ctx, w.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	w.requireReasons(out[0], verify.Allowed, verify.OK)
	require.Len(t, out[0].Notes, 1)
}
