package verify_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// attach attaches what wabbit's word about a reference rests on, as it is now.
func (w *world) attach(ref string, paths ...string) {
	w.Helper()
	e, err := w.verifier().Examine(w.Context(), w.ref(ref))
	require.NoError(w, err)
	require.True(w, e.Decision.Allowed(), e.Decision.Text())
	evidence, err := e.Evidence(w.Context(), paths...)
	require.NoError(w, err)
	require.Len(w, evidence, 1)
	w.attachFiles(ref, evidence[0].ID, evidence[0].Files)
}

func (w *world) attachFiles(ref, id string, files *tuf.Publication) {
	w.Helper()
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(w, err)
	repo, err := regs.Artifacts(w.ref(ref).Repository)
	require.NoError(w, err)
	desc, err := w.reg.Repository(w, w.ref(ref).Name).Target.Resolve(w.Context(), w.ref(ref).Tag)
	require.NoError(w, err)
	_, _, err = repo.Attach(w.Context(), desc, id, files)
	require.NoError(w, err)
}

// alone takes the trust repository away and forgets what was seen.
func (w *world) alone() *fixtures.Injected {
	w.Helper()
	w.dir, w.cache = w.TempDir(), w.TempDir()
	w.root("wabbit", w.wabbit.Root)
	w.policy(wabbitOnly)
	return w.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/trust/") }, Then: fixtures.Status(http.StatusForbidden)})
}

func onBoth(t *testing.T, f func(w *world)) {
	for name, start := range map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{"OCI 1.0": fixtures.Distribution, "OCI 1.1": fixtures.Registry11} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reg = start(t)
			w.wabbit = w.publisher("wabbit")
			w.policy(wabbitOnly)
			f(w)
		})
	}
}

func TestVerifiesByAttachmentAlone(t *testing.T) {
	onBoth(t, func(w *world) {
		w.signed("net-monitor", "1.0", "one")
		w.attach("HOST/net-monitor:1.0")
		w.alone()
		w.reg.Reset()
		d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
		require.Equal(w, verify.FromAttachment, d.Results[0].Source)
		require.LessOrEqual(w, w.asked("/net-monitor/"), 6, "%v", w.reg.Requests())
		// What was seen then binds.
		w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	})
}

func TestAttachmentIsReadOnlyIfRepositoriesDoNotSuffice(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	w.reg.Reset()
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)
	require.Zero(t, w.asked("/manifests/trust."))
	require.Zero(t, w.asked("/referrers/"))
}

func TestAttachmentExpires(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	w.alone()
	w.wabbit.Sleep(2 * day)
	d := w.verify("HOST/net-monitor:1.0")
	require.False(t, d.Allowed())
	w.policy(strings.Replace(wabbitOnly, "{publisher: wabbit}", "{publisher: wabbit, max-staleness: 72h}", 1))
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.opts.MaxAge = time.Hour
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Stale)
}

func TestAttachmentOlderThanWhatWasSeenTakesNothingBack(t *testing.T) {
	w := newWorld(t)
	bad := w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0") // from before the withdrawal
	w.withdraw(w.wabbit, bad.Digest)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked) // now it was seen
	w.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/trust/") }, Then: fixtures.Status(http.StatusForbidden)})
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	// Also when what the repository has is expired.
	w.wabbit.Sleep(2 * day)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
}

func TestForgedAttachmentsAreNoted(t *testing.T) {
	onBoth(t, func(w *world) {
		w.signed("net-monitor", "1.0", "one")
		w.attach("HOST/net-monitor:1.0")
		w.push("net-monitor", "2.0", "evil")
		thief := w.publisher("thief")
		_, err := thief.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "2.0", Digest: w.push("net-monitor", "2.0", "evil").Digest, Size: 1})
		require.NoError(w, err)
		id, err := verify.Pin{Root: w.wabbit.Root}.ID()
		require.NoError(w, err)
		p := thief.Evidence("net-monitor:2.0")
		w.attachFiles("HOST/net-monitor:2.0", id, p)
		for i := range 20 {
			w.attachFiles("HOST/net-monitor:2.0", fmt.Sprintf("%032x", i), p)
		}
		w.alone()
		w.reg.Reset()
		d := w.requireReason("HOST/net-monitor:2.0", verify.Undecided, verify.Unreachable)
		require.Contains(w, strings.Join(d.Notes, "\n"), "does not help")
		require.LessOrEqual(w, w.asked("/net-monitor/"), 16)
		w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	})
}

// Two artifacts, promoted at different times: the older evidence still tells
// what did not change since, and no more.
func TestAttachmentsOfDifferentAge(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	w.signed("net-monitor", "2.0", "two")
	w.attach("HOST/net-monitor:2.0")
	w.alone()
	w.requireReason("HOST/net-monitor:2.0", verify.Allowed, verify.OK)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK) // by the newer files, which are remembered
}

func TestPublisherWithoutRepositories(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	w.alone()
	w.policy(strings.Replace(wabbitOnly, ", repositories: [HOST/trust/wabbit]", "", 1))
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromAttachment, d.Results[0].Source)
}

func TestAttachmentIsShownAndNotDecidedAbout(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	tree, err := w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Contains(t, tree.Text(), "application/vnd.carnet.trust.v1 of wabbit, state 000000000001.000000000003, by its own account\n")
	out, err := w.verifier().VerifyRecursive(t.Context(), w.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Len(t, out, 1)
	require.True(t, out[0].Allowed())
	// What only says that it is one is decided about.
	desc, err := w.reg.Repository(t, "net-monitor").Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	w.reg.Repository(t, "net-monitor").PushReferrer(t, desc, metadata.ArtifactTypeTrust, "contraband")
	out, err = w.verifier().VerifyRecursive(t.Context(), w.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Len(t, out, 2)
	require.Equal(t, 1, verify.ExitCode(out))
}
