package verify_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func TestTree(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{
		"OCI 1.0": fixtures.Distribution, "OCI 1.1": fixtures.Registry11,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reg = start(t)
			w.wabbit = w.publisher("wabbit")
			w.policy(wabbitOnly)
			image := w.signed("net-monitor", "1.0", "one")
			repo := w.reg.Repository(t, "net-monitor")
			desc, err := repo.Target.Resolve(t.Context(), "1.0")
			require.NoError(t, err)
			sbom := repo.PushReferrer(t, desc, "application/vnd.cyclonedx+json", "sbom")
			scan := repo.PushReferrer(t, sbom, "application/vnd.example.scan", "scan of the sbom")
			w.vouch(w.wabbit, tuf.Vouching{Role: "releases", Claims: map[string]string{"tool": "syft"}},
				tuf.Artifact{Name: "net-monitor", Digest: sbom.Digest, Size: sbom.Size})

			tree, err := w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:1.0"))
			require.NoError(t, err)
			require.Equal(t, image.Digest, tree.Digest)
			w.requireReasons(tree.Decision, verify.Allowed, verify.OK)
			require.Len(t, tree.Referrers, 1)
			child := tree.Referrers[0]
			require.Equal(t, "application/vnd.cyclonedx+json", child.ArtifactType)
			w.requireReasons(child.Decision, verify.Allowed, verify.OK)
			require.Len(t, child.Referrers, 1)
			w.requireReasons(child.Referrers[0].Decision, verify.Denied, verify.NotListed)
			at := w.reg.Host + "/net-monitor"
			require.Equal(t, at+":1.0  application/vnd.oci.image.manifest.v1+json\n"+
				"│   "+image.Digest.String()+"\n"+
				"│   wabbit: ok: vouched for by releases, 0 s ago\n"+
				"│     root version 1, timestamp version 4, expires 2026-11-25T12:00:00Z, from registry\n"+
				"└── "+at+"@"+sbom.Digest.String()+"  application/vnd.cyclonedx+json\n"+
				"    │   wabbit: ok: vouched for by releases, 0 s ago (tool=syft)\n"+
				"    └── "+at+"@"+scan.Digest.String()+"  application/vnd.example.scan\n"+
				"            wabbit: not-listed: no role of wabbit vouches for net-monitor@"+scan.Digest.String()+"\n", tree.Text())

			_, err = w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:absent"))
			require.ErrorIs(t, err, registrystore.ErrNotFound)
		})
	}
}

// attached is an index of two manifests, with what refers to it and to one of
// them. All but the scan is vouched for.
type attached struct {
	*world
	index, amd64, arm64, sbom, scan ocispec.Descriptor
}

func newAttached(t *testing.T) *attached {
	t.Helper()
	a := &attached{world: newWorld(t)}
	repo := a.reg.Repository(t, "net-monitor")
	index, children := repo.PushIndex(t, "1.0", "one")
	a.index, a.amd64, a.arm64 = index, children[0], children[1]
	a.sbom = repo.PushReferrer(t, a.arm64, "application/vnd.cyclonedx+json", "sbom")
	a.scan = repo.PushReferrer(t, index, "application/vnd.example.scan", "scan")
	signed := tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: index.Digest, Size: index.Size}
	for _, c := range children {
		signed.Manifests = append(signed.Manifests, tuf.Artifact{Name: "net-monitor", Digest: c.Digest, Size: c.Size})
	}
	a.vouch(a.wabbit, tuf.Vouching{Role: "releases"}, signed, a.artifact(a.sbom))
	return a
}

func (a *attached) artifact(d ocispec.Descriptor) tuf.Artifact {
	return tuf.Artifact{Name: "net-monitor", Digest: d.Digest, Size: d.Size}
}

// recursive decides about the tag and all below it, and wants a verdict each.
func (a *attached) recursive(want ...verify.Verdict) []verify.Decision {
	a.Helper()
	out, err := a.verifier().VerifyRecursive(a.Context(), a.ref("HOST/net-monitor:1.0"))
	require.NoError(a, err)
	var got []verify.Verdict
	for _, d := range out {
		got = append(got, d.Verdict)
	}
	require.Equal(a, want, got)
	return out
}

// How often some path was asked for.
func (w *world) asked(part string) int {
	n := 0
	for _, r := range w.reg.Requests() {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

func TestTreeOfAnIndex(t *testing.T) {
	a := newAttached(t)
	tree, err := a.verifier().Tree(t.Context(), a.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Len(t, tree.Manifests, 2)
	require.Equal(t, "linux/arm64", tree.Manifests[1].Platform)
	require.Equal(t, a.sbom.Digest, tree.Manifests[1].Referrers[0].Digest)
	require.Equal(t, a.scan.Digest, tree.Referrers[0].Digest)
	require.Contains(t, tree.Text(), "├── "+a.reg.Host+"/net-monitor@"+a.arm64.Digest.String()+"  application/vnd.oci.image.manifest.v1+json for linux/arm64\n")
	raw, err := json.Marshal(tree)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"platform":"linux/amd64","results":[{`)
	require.Contains(t, string(raw), `"manifests":[],"referrers":[]}`)
}

// What an index in an index lists belongs to it: a runtime may ask for it.
func TestTreeOfAnIndexInAnIndex(t *testing.T) {
	a := newAttached(t)
	repo := a.reg.Repository(t, "net-monitor")
	other := repo.PushImage(t, "", "other")
	inner := repo.PushIndexOf(t, "", other)
	outer := repo.PushIndexOf(t, "2.0", a.index, inner)
	signed := tuf.Artifact{Name: "net-monitor", Tag: "2.0", Digest: outer.Digest, Size: outer.Size}
	a.vouch(a.wabbit, tuf.Vouching{Role: "releases"}, signed, a.artifact(inner))
	tree, err := a.verifier().Tree(t.Context(), a.ref("HOST/net-monitor:2.0"))
	require.NoError(t, err)
	require.Len(t, tree.Manifests, 2)
	require.Equal(t, a.arm64.Digest, tree.Manifests[0].Manifests[1].Digest)
	require.Equal(t, a.sbom.Digest, tree.Manifests[0].Manifests[1].Referrers[0].Digest)
	a.requireReasons(tree.Manifests[1].Decision, verify.Allowed, verify.OK)
	a.requireReasons(tree.Manifests[1].Manifests[0].Decision, verify.Denied, verify.NotListed)
}

func TestVerifyRecursive(t *testing.T) {
	a := newAttached(t)
	a.reg.Reset()
	out := a.recursive(verify.Allowed, verify.Allowed, verify.Allowed, verify.Allowed, verify.Denied)
	for i, d := range []digest.Digest{a.index.Digest, a.amd64.Digest, a.arm64.Digest, a.sbom.Digest, a.scan.Digest} {
		require.Equal(t, d, out[i].Digest, "each before what belongs to it")
	}
	require.Equal(t, 1, a.asked("/trust/wabbit/"), "one update of the publisher, whatever there is to decide")
	a.vouch(a.wabbit, tuf.Vouching{Role: "releases"}, a.artifact(a.scan))
	a.recursive(verify.Allowed, verify.Allowed, verify.Allowed, verify.Allowed, verify.Allowed)
}

func TestWhatCannotBeListedIsNotAllowed(t *testing.T) {
	a := newAttached(t)
	// The referrers of a digest that was vouched for.
	down := a.reg.Inject(fixtures.Fault{On: fixtures.Get("/net-monitor/referrers/"), Then: fixtures.Status(http.StatusForbidden)})
	out := a.recursive(verify.Undecided)
	a.requireReasons(out[0], verify.Undecided, verify.OK, verify.Unreachable)
	require.Equal(t, 3, verify.ExitCode(out))
	a.policy(strings.Replace(wabbitOnly, "scope:", "level: warn, scope:", 1))
	a.requireReasons(a.recursive(verify.Allowed)[0], verify.Allowed, verify.OK, verify.Unreachable)
	a.policy(strings.Replace(wabbitOnly, "scope:", "level: skip, scope:", 1))
	require.Empty(t, a.recursive(verify.Allowed)[0].Results)
	a.policy(wabbitOnly)
	down.Remove()
	// A denied one stays denied.
	a.withdraw(a.wabbit, a.index.Digest)
	a.reg.Inject(fixtures.Fault{On: fixtures.Get("/net-monitor/referrers/"), Then: fixtures.Status(http.StatusForbidden)})
	a.requireReasons(a.recursive(verify.Denied)[0], verify.Denied, verify.Revoked)
}

func TestRecursiveOfflineOpensNoSocket(t *testing.T) {
	a := newAttached(t)
	ref := "HOST/net-monitor@" + a.index.Digest.String()
	a.requireReason(ref, verify.Allowed, verify.OK)
	a.opts.Offline = true
	a.reg.Reset()
	out, err := a.verifier().VerifyRecursive(t.Context(), a.ref(ref))
	require.NoError(t, err)
	a.requireReasons(out[0], verify.Undecided, verify.OK, verify.Unreachable)
	require.Empty(t, a.reg.Requests())
}

// A tag that moves between list and decision: what was listed belongs to
// another digest.
func TestTagMovesWhileItIsListed(t *testing.T) {
	a := newAttached(t)
	other := a.signed("net-monitor", "2.0", "other")
	a.vouch(a.wabbit, tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: other.Digest, Size: other.Size})
	list := a.reg.Inject(fixtures.Fault{On: fixtures.Head("/net-monitor/manifests/1.0"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.URL.Path = strings.Replace(r.URL.Path, "1.0", "2.0", 1)
		next.ServeHTTP(w, r)
	}})
	out, err := a.verifier().VerifyRecursive(t.Context(), a.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Positive(t, list.Hits())
	a.requireReasons(out[0], verify.Undecided, verify.OK, verify.Unreachable)
}

// With Resolve the signed digest is what will be used: what is attached to it
// is decided about.
func TestRecursiveResolve(t *testing.T) {
	a := newAttached(t)
	a.push("net-monitor", "1.0", "moved")
	a.recursive(verify.Denied)
	a.opts.Resolve = true
	out := a.recursive(verify.Allowed, verify.Allowed, verify.Allowed, verify.Allowed, verify.Denied)
	require.Equal(t, a.index.Digest, out[0].SignedDigest())
	require.Equal(t, a.scan.Digest, out[4].Digest)
}

// A hint is what the attachment says of itself: it is told as that, and
// neither obeyed by a terminal nor shown at any length.
func TestHintsOfAttachmentsAreClaims(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	repo, err := regs.Artifacts(w.ref("HOST/net-monitor:1.0").Repository)
	require.NoError(t, err)
	desc, err := w.reg.Repository(t, "net-monitor").Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	honest, err := repo.Read(t.Context(), registrystore.Reference{Tag: registrystore.AttachmentTag(desc.Digest, w.id(w.wabbit))})
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(honest.Raw, &m))
	m["annotations"] = map[string]string{"vnd.carnet.publisher": "\x1b]0;evil\x07\u202e" + strings.Repeat("x", 5_000), "vnd.carnet.version": "\u009b2J"}
	raw, err := json.Marshal(m)
	require.NoError(t, err)
	w.reg.Repository(t, "net-monitor").PushManifest(t, "", ocispec.MediaTypeImageManifest, raw)
	tree, err := w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Len(t, tree.Referrers, 2)
	for _, line := range strings.Split(tree.Text(), "\n") {
		require.Negative(t, strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", line)
		require.LessOrEqual(t, len(line), 800)
	}
	require.Contains(t, tree.Text(), "of ?]0;evil??xxx")
	require.Contains(t, tree.Text(), ", by its own account\n")
}

// Referrers of referrers cost rounds each: there is a limit.
func TestDeepTreesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	repo := w.reg.Repository(t, "net-monitor")
	desc, err := repo.Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	for i := range 16 {
		desc = repo.PushReferrer(t, desc, "application/vnd.example.note", strings.Repeat("x", i))
	}
	tree, err := w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:1.0"))
	require.NoError(t, err)
	require.Equal(t, 17, strings.Count(tree.Text(), "wabbit: "))
	repo.PushReferrer(t, desc, "application/vnd.example.note", "one too deep")
	_, err = w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:1.0"))
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
}

// Thousands of referrers are refused before they are read, whichever manifests
// of an index list them.
func TestCrowdedTreesAreRefused(t *testing.T) {
	a := newAttached(t)
	lists := a.reg.Inject(fixtures.Fault{On: fixtures.Get("/referrers/"), Then: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
		index.SchemaVersion = 2
		for i := range 600 {
			d := digest.FromString(r.URL.Path + strings.Repeat("x", i))
			index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 4})
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_ = json.NewEncoder(w).Encode(index)
	}})
	a.reg.Reset()
	_, err := a.verifier().Tree(t.Context(), a.ref("HOST/net-monitor:1.0"))
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.LessOrEqual(t, lists.Hits(), 3)
	require.LessOrEqual(t, len(a.reg.Requests()), 5, "none of them is read")
}
