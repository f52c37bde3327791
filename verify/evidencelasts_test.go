package verify_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// rotated is a world in which the repository shows a state of root 1, and
// where evidence of root 2, which took the online key away and lists nothing,
// is attached to an artifact that nobody vouches for.
func rotated(t *testing.T, torn bool) *world {
	w := newWorld(t)
	l, fresh := newRoot(t, ""), newKey(t)
	a := w.push("net-monitor", "1.0", "one")
	w.push("junk", "1.0", "junk")
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	id, err := verify.Pin{Root: l.root}.ID()
	require.NoError(t, err)
	p := l.publishUntil(w, fixtures.Epoch.Add(30*day), 2, fresh, [][]byte{l.root, l.rootOf(2, fresh)}, map[string]metadata.Target{})
	if torn {
		w.reg.Inject(fixtures.Fault{On: fixtures.Get("/blobs/" + p.Snapshot.Digest.String()), Then: fixtures.Status(http.StatusNotFound)})
		p.Snapshot = tuf.NewFile(metadata.RoleSnapshot, p.Snapshot.Version, []byte("other bytes"))
	}
	w.attachFiles("HOST/junk:1.0", id, p)
	l.publish(w, 1, l.key, [][]byte{l.root}, map[string]metadata.Target{"net-monitor:1.0": {Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}})
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: fixtures.Status(http.StatusNotFound)})
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	return w
}

// A root that was seen stays, whatever it came with: what it took away from a
// key is not given back by hiding it again, nor within the same call.
func TestRootInEvidenceIsRemembered(t *testing.T) {
	for torn, want := range map[bool]verify.Reason{false: verify.NotListed, true: verify.Threshold} {
		t.Run(fmt.Sprint("torn ", torn), func(t *testing.T) {
			w := rotated(t, torn)
			out, err := w.verifier().Verify(t.Context(), w.ref("HOST/net-monitor:1.0"), w.ref("HOST/junk:1.0"))
			require.NoError(t, err)
			w.requireReasons(out[0], verify.Denied, want)
			require.False(t, out[1].Allowed())
			for range 2 {
				w.requireReason("HOST/net-monitor:1.0", verify.Denied, want)
			}
		})
	}
}

// The same where a promoter reads it: the decision is made anew under it.
func TestRootAtTheDestinationIsRemembered(t *testing.T) {
	for torn, want := range map[bool]verify.Reason{false: verify.NotListed, true: verify.Threshold} {
		w := rotated(t, torn)
		e, err := w.verifier().Examine(t.Context(), w.ref("HOST/net-monitor:1.0"))
		require.NoError(t, err)
		require.True(t, e.Decision.Allowed())
		regs, err := registrystore.New(registrystore.Options{}, nil)
		require.NoError(t, err)
		at, err := regs.Artifacts(w.ref("HOST/junk:1.0").Repository)
		require.NoError(t, err)
		require.NoError(t, e.Learn(t.Context(), at, w.push("junk", "1.0", "junk").Digest))
		w.requireReasons(e.Decision, verify.Denied, want)
		w.requireReason("HOST/net-monitor:1.0", verify.Denied, want)
	}
}

// That a role gave itself up is remembered from evidence that tells nothing
// else: who holds its key and an online key does not take that back.
func TestGivenUpInEvidenceIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	old := w.newestTag()
	w.giveUp("releases")
	w.push("junk", "1.0", "junk")
	w.attachFiles("HOST/junk:1.0", w.id(w.wabbit), w.wabbit.Evidence("junk:1.0"))
	w.goesOnFrom(old)
	w.requireReason("HOST/junk:1.0", verify.Denied, verify.NotListed)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.InvalidMetadata)
	w.signed("net-monitor", "2.0", "two")
	w.signed("net-monitor", "3.0", "three")
	w.requireReason("HOST/net-monitor:3.0", verify.Denied, verify.InvalidMetadata)
}

// learn examines an artifact, and reads what is attached at a place.
func (w *world) learn(ref, place string) verify.Decision {
	w.Helper()
	e, err := w.verifier().Examine(w.Context(), w.ref(ref))
	require.NoError(w, err)
	require.True(w, e.Decision.Allowed(), e.Decision.Text())
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(w, err)
	at, err := regs.Artifacts(w.ref(place).Repository)
	require.NoError(w, err)
	require.NoError(w, e.Learn(w.Context(), at, e.Decision.Digest))
	e.At(w.Context(), w.ref(place))
	return e.Decision
}

// What a promoter finds at the destination is evidence like any other: half of
// it is not remembered, and the mirror that is behind the whole still serves.
func TestWhatIsLearntMakesNoMirrorARollback(t *testing.T) {
	w := ages(t)
	w.recall("old")
	w.mirrored("old")
	p := w.evidence("net-monitor:1.0")
	p.Snapshot = tuf.NewFile(metadata.RoleSnapshot, p.Snapshot.Version, []byte("other bytes"))
	w.attachFiles("HOST/old/net-monitor:1.0", w.id(w.wabbit), p)
	gone := w.reg.Inject(fixtures.Fault{On: fixtures.Get("/old/net-monitor/blobs/"), Then: fixtures.Status(http.StatusNotFound)})
	d := w.learn("HOST/none/net-monitor:1.0", "HOST/old/net-monitor:1.0")
	require.Contains(t, strings.Join(d.Notes, "\n"), "is not taken")
	d = w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)
	gone.Remove()

	d = w.learn("HOST/none/net-monitor:1.0", "HOST/new/net-monitor:1.0")
	require.Equal(t, verify.FromAttachment, d.Results[0].Source)
	d = w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromAttachment, d.Results[0].Source)
	w.requireReason("HOST/none/net-monitor:3.0", verify.Denied, verify.Revoked)
}

// A withdrawal that was seen binds, also where something else was said first.
func TestWithdrawalBehindAnotherReasonIsRemembered(t *testing.T) {
	w := newWorld(t)
	acme := w.publisher("acme")
	w.signed("net-monitor", "1.0", "one")
	w.push("a/app", "1.0-x", "one")
	c := w.push("b/app", "1.0-x", "one")
	c.Name = "app"
	origin := &metadata.Origin{Publisher: w.id(w.wabbit), Target: "net-monitor:1.0", RootVersion: 1, TimestampVersion: 1}
	w.vouch(acme, tuf.Vouching{Role: "releases", Origin: origin}, c)
	w.attachFiles("HOST/b/app:1.0-x", w.id(acme), acme.Evidence("app:1.0-x"))
	w.attachFiles("HOST/b/app:1.0-x", w.id(w.wabbit), w.wabbit.Evidence("net-monitor:1.0"))
	w.withdraw(acme, c.Digest)
	w.attachFiles("HOST/a/app:1.0-x", w.id(acme), acme.Evidence("app:1.0-x"))
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/"), Then: fixtures.Status(http.StatusForbidden)})
	w.root("acme", acme.Root)
	w.policy(`
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/trust/wabbit]}
  acme: {root: roots/acme.json, repositories: [HOST/trust/acme]}
rules:
  - {name: a, scope: HOST/a/**, strip: a/, require: [{publisher: wabbit, origin-from: acme}]}
  - {name: b, scope: HOST/b/**, strip: b/, require: [{publisher: wabbit, origin-from: acme}]}
`)
	w.requireReason("HOST/a/app:1.0-x", verify.Undecided, verify.Unreachable) // wabbit cannot be asked
	w.requireReason("HOST/b/app:1.0-x", verify.Denied, verify.Revoked)
}

// What was vouched for anyway is no reason to remember evidence.
func TestEvidenceBesideWhatIsVouchedForIsNotRemembered(t *testing.T) {
	w := ages(t)
	w.recall("old")
	w.mirrored("old")
	w.reg.Repository(t, "none/junk").PushImage(t, "1.0", "junk")
	w.attachFiles("HOST/none/junk:1.0", w.id(w.wabbit), w.evidence("junk:1.0"))
	out, err := w.verifier().Verify(t.Context(), w.ref("HOST/none/net-monitor:1.0"), w.ref("HOST/none/junk:1.0"))
	require.NoError(t, err)
	w.requireReasons(out[0], verify.Allowed, verify.OK)
	w.requireReasons(out[1], verify.Denied, verify.NotListed)
	d := w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)
}

// Whoever updates the state from a repository has seen it there: the commands
// of publishers and mirrors do, and know nothing of attachments.
func TestStateThatAnyCommandSawInARepositoryIsNotAttached(t *testing.T) {
	w := ages(t)
	w.recall("old")
	w.mirrored("old")
	w.requireReason("HOST/new/net-monitor:2.0", verify.Allowed, verify.OK)
	w.cut.Remove()
	w.refresh(w.wabbit)
	state, err := verify.OpenStates(filepath.Join(w.dir, "state")).Load(w.wabbit.Root, registrystore.OpenCache(w.cache))
	require.NoError(t, err)
	c, err := tuf.NewClient(tuf.Options{Root: w.wabbit.Root, Store: state, Sources: []tuf.Source{w.wabbit.Source()}, Now: w.wabbit.Now()})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	require.NoError(t, state.Commit())
	w.cut = w.cutOff(fixtures.Status(http.StatusForbidden))
	w.requireReason("HOST/none/net-monitor:1.0", verify.Denied, verify.Rollback)
}

// A repository that was seen to list nothing any more is not answered by
// evidence from before, however the verifier asks, and whatever else it lost.
func TestOlderEvidenceVouchesForNothingThatARepositoryDropped(t *testing.T) {
	drops := map[string]func(ctx context.Context, d *tuf.Draft) error{
		"the entry": func(ctx context.Context, d *tuf.Draft) error {
			e, err := d.Edge(ctx, "releases")
			if err != nil {
				return err
			}
			t, err := d.Edit(ctx, "releases")
			for path := range maps.Keys(maps.Clone(t.Targets)) {
				err = errors.Join(err, d.DropTarget(ctx, e, path))
			}
			return err
		},
		"the delegation":  func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, "releases") },
		"the role itself": func(ctx context.Context, d *tuf.Draft) error { return d.GiveUp(ctx, "releases") },
	}
	asks := map[string]func(w *world){
		"with what was seen": func(*world) {},
		"with no memory": func(w *world) {
			w.dir, w.cache = w.TempDir(), w.TempDir()
			w.root("wabbit", w.wabbit.Root)
			w.policy(wabbitOnly)
		},
		"with max-age": func(w *world) { w.opts.MaxAge = day },
		"by digest":    func(*world) {},
	}
	for dropped, drop := range drops {
		for asked, ask := range asks {
			t.Run(dropped+" "+asked, func(t *testing.T) {
				w := newWorld(t)
				a := w.signed("net-monitor", "1.0", "one")
				w.attach("HOST/net-monitor:1.0")
				_, err := w.wabbit.Publish(drop)
				require.NoError(t, err)
				ask(w)
				ref := "HOST/net-monitor:1.0"
				if asked == "by digest" {
					ref = "HOST/net-monitor@" + a.Digest.String()
				}
				w.reg.Reset()
				for range 2 {
					d := w.verify(ref)
					require.Equal(t, verify.Denied, d.Verdict, d.Text())
					require.NotEqual(t, verify.FromAttachment, d.Results[0].Source)
				}
				require.NotZero(t, w.asked("/manifests/trust."), "the evidence was read")
				// Later the repository hides; what was seen of it stays.
				w.reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/wabbit/"), Then: fixtures.Status(http.StatusForbidden)})
				require.False(t, w.verify(ref).Allowed())
			})
		}
	}
}
