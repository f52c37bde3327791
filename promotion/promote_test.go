package promotion_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// crossing is a source and a destination, and the publisher "wabbit" in a
// registry of its own, that vouches for what is in the source.
type crossing struct {
	*testing.T
	trust    *fixtures.Registry
	wabbit   *fixtures.Publisher
	pins     *verify.Pins
	from, to *place
}

// place is one end of a promotion: a repository named net-monitor.
type place struct {
	reg *fixtures.Registry // nil for a layout
	dir string
}

func (e *place) name() string {
	if e.reg != nil {
		return e.reg.Host + "/net-monitor"
	}
	return "oci:" + e.dir
}

func (e *place) raw(t testing.TB) *fixtures.Repository {
	if e.reg != nil {
		return e.reg.Repository(t, "net-monitor")
	}
	return fixtures.Layout(t, e.dir)
}

var places = map[string]func(t *testing.T) *place{
	"1.0":    func(t *testing.T) *place { return &place{reg: fixtures.Distribution(t)} },
	"1.1":    func(t *testing.T) *place { return &place{reg: fixtures.Registry11(t)} },
	"layout": func(t *testing.T) *place { return &place{dir: filepath.Join(t.TempDir(), "net-monitor")} },
}

func newCrossing(t *testing.T, from, to string) *crossing {
	t.Helper()
	c := &crossing{T: t, trust: fixtures.Registry11(t), from: places[from](t), to: places[to](t), pins: verify.OpenPins(filepath.Join(t.TempDir(), "pins"))}
	c.wabbit = fixtures.NewPublisher(t, c.trust.Host+"/trust", registrystore.Options{})
	c.wabbit.Delegate("releases", "**", "releases")
	require.NoError(t, c.pins.Add(verify.Pin{Name: "wabbit", Root: c.wabbit.Root, Repositories: []string{c.wabbit.Trust}}))
	return c
}

func (c *crossing) policy() *verify.Policy {
	c.Helper()
	p, err := verify.PublisherPolicy(c.pins, "wabbit")
	require.NoError(c, err)
	return p
}

func (c *crossing) ref(e *place, suffix string) registrystore.Reference {
	c.Helper()
	r, err := registrystore.ParseReference(e.name()+suffix, "")
	require.NoError(c, err)
	return r
}

func (c *crossing) promoter() *promotion.Promoter {
	c.Helper()
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(c, err)
	v, err := verify.New(verify.Options{Registries: regs, Policy: c.policy(), Now: c.wabbit.Now})
	require.NoError(c, err)
	return &promotion.Promoter{From: regs, To: regs, Verify: v, Policy: c.policy(), Attach: true, Note: func(s string) { c.Log(s) }}
}

// ruled returns a policy of its rules' text, in which DST stands for the
// destination's registry, about wabbit and others, and who verifies by it.
func (c *crossing) ruled(rules string, others map[string]*fixtures.Publisher) (*verify.Policy, *verify.Verifier) {
	c.Helper()
	dir := c.TempDir()
	text := "version: 1\npublishers:\n"
	all := maps.Clone(others)
	if all == nil {
		all = map[string]*fixtures.Publisher{}
	}
	all["wabbit"] = c.wabbit
	for name, p := range all {
		require.NoError(c, os.WriteFile(filepath.Join(dir, name+".json"), p.Root, 0o600))
		text += fmt.Sprintf("  %s: {root: %s.json, repositories: [%q]}\n", name, name, p.Trust)
	}
	text += "rules:\n" + strings.ReplaceAll(rules, "DST", c.to.reg.Host)
	require.NoError(c, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(text), 0o600))
	policy, err := verify.LoadPolicy(filepath.Join(dir, "policy.yaml"), nil)
	require.NoError(c, err)
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(c, err)
	v, err := verify.New(verify.Options{Registries: regs, Policy: policy, Now: c.wabbit.Now})
	require.NoError(c, err)
	return policy, v
}

// shipment is an index of two images, with an SBOM of one, a scan of that, and
// a note on the index; all but the note are vouched for.
type shipment struct {
	index            ocispec.Descriptor
	images           []ocispec.Descriptor
	sbom, scan, note ocispec.Descriptor
}

func (c *crossing) push(tag string) shipment {
	c.Helper()
	repo := c.from.raw(c)
	var x shipment
	x.index, x.images = repo.PushIndex(c, tag, tag)
	x.sbom = repo.PushReferrer(c, x.images[0], "application/vnd.cyclonedx+json", "sbom")
	x.scan = repo.PushReferrer(c, x.sbom, "application/vnd.example.scan", "scan")
	x.note = repo.PushReferrer(c, x.index, "application/vnd.example.note", "note")
	signed := tuf.Artifact{Name: "net-monitor", Tag: tag, Digest: x.index.Digest, Size: x.index.Size}
	for _, m := range x.images {
		signed.Manifests = append(signed.Manifests, tuf.Artifact{Name: "net-monitor", Digest: m.Digest, Size: m.Size})
	}
	_, err := c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, signed,
		tuf.Artifact{Name: "net-monitor", Digest: x.sbom.Digest, Size: x.sbom.Size}, tuf.Artifact{Name: "net-monitor", Digest: x.scan.Digest, Size: x.scan.Size})
	require.NoError(c, err)
	return x
}

// requireArrived checks the destination from scratch: all is there, whole, and
// verified with and without the publisher's repository.
func (c *crossing) requireArrived(x shipment) {
	c.Helper()
	decision, alone, err := c.promoter().Check(c.Context(), c.ref(c.to, ":1.0"), verify.Options{Policy: c.policy(), Now: c.wabbit.Now})
	require.NoError(c, err)
	require.True(c, decision.Allowed(), decision.Text())
	require.Equal(c, x.index.Digest, decision.Digest)
	require.True(c, alone.Allowed(), alone.Text())
	require.Equal(c, verify.FromAttachment, alone.Results[0].Source)

	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(c, err)
	tree, err := verify.ReadTree(c.Context(), regs, c.ref(c.to, ":1.0"))
	require.NoError(c, err)
	text := tree.Text()
	for _, d := range []digest.Digest{x.index.Digest, x.images[0].Digest, x.images[1].Digest, x.sbom.Digest, x.scan.Digest, x.note.Digest} {
		require.Contains(c, text, d.String())
	}
	require.Equal(c, 3, strings.Count(text, metadata.ArtifactTypeTrust), text) // the index, and each image
}

func TestPromoteBetweenAnyTwoPlaces(t *testing.T) {
	for from := range places {
		for to := range places {
			t.Run(from+" to "+to, func(t *testing.T) {
				c := newCrossing(t, from, to)
				x := c.push("1.0")
				out, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
				require.NoError(t, err)
				require.Equal(t, []string{"wabbit"}, out.Attached)
				require.Equal(t, 3, out.Referrers)
				c.requireArrived(x)

				// Again there is nothing to send.
				again, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
				require.NoError(t, err)
				require.Zero(t, again.Sent)

				// And further, from there.
				next := &place{dir: filepath.Join(t.TempDir(), "net-monitor")}
				c.from, c.to = c.to, next
				_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
				require.NoError(t, err)
				c.requireArrived(x)
			})
		}
	}
}

// Within one registry blobs are mounted: none of their bytes is sent.
func TestPromoteMountsWithinARegistry(t *testing.T) {
	c := newCrossing(t, "1.0", "1.0")
	c.to = c.from
	c.push("1.0")
	c.from.reg.Reset()
	dst, err := registrystore.ParseReference(c.from.reg.Host+"/prod/net-monitor:1.0", "")
	require.NoError(t, err)
	p := c.promoter()
	p.Policy, p.Verify = c.ruled(`
  - {name: dev, scope: "*", require: [{publisher: wabbit}]}
  - {name: production, scope: DST/prod/**, strip: prod/, require: [{publisher: wabbit}]}
`, nil)
	_, err = p.Promote(t.Context(), c.ref(c.from, ":1.0"), dst)
	require.NoError(t, err)
	mounts := 0
	for _, r := range c.from.reg.Log() {
		if r.Method == http.MethodPost && strings.Contains(r.Query, "mount=") {
			mounts++
			require.Equal(t, http.StatusCreated, r.Status)
		}
		require.False(t, r.Method == http.MethodGet && strings.Contains(r.Path, "/net-monitor/blobs/"), "%s", r)
	}
	require.Positive(t, mounts)
}

// The destination dies at each write in turn: nothing is tagged until all is
// there, the error names the destination, and the same again finishes it.
func TestDestinationDiesAtEveryWrite(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	c.push("1.0")
	c.to.reg.Reset()
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	writes := writesAt(c.to.reg)
	require.Greater(t, writes, 20)
	for n := 1; n <= writes; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			destinationDies(t, n)
		})
	}
}

// writesAt counts what was asked for that could change something.
func writesAt(reg *fixtures.Registry) int {
	n := 0
	for _, r := range reg.Log() {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			n++
		}
	}
	return n
}

// destinationDies lets the nth write fail, and all after it.
func destinationDies(t *testing.T, n int) {
	c := newCrossing(t, "1.1", "1.0")
	x := c.push("1.0")
	var writes atomic.Int64
	f := c.to.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool {
		return fixtures.Writes(r) && writes.Add(1) >= int64(n)
	}, Then: fixtures.Status(http.StatusForbidden)})
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	f.Remove()
	if f.Hits() == 0 { // a run may take a write less than another
		require.NoError(t, err)
		return
	}
	var side *promotion.SideError
	require.ErrorAs(t, err, &side)
	require.Equal(t, promotion.Destination, side.Side)
	require.ErrorContains(t, err, c.to.reg.Host)
	_, tagged := c.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.Error(t, tagged)
	_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	c.requireArrived(x)
}

// A source that turns malicious once it was verified: what arrives is what was
// verified, or nothing.
func TestSourceTurnsMalicious(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	x := c.push("1.0")
	evil := c.from.raw(t).PushImage(t, "evil", "evil")
	// The tag moves right after it was resolved.
	c.from.reg.Inject(fixtures.Fault{On: fixtures.Head("/manifests/1.0"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		require.NoError(t, c.from.raw(t).Target.Tag(context.Background(), evil, "1.0"))
	}})
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	c.requireArrived(x)

	// Other bytes under a digest.
	for _, part := range []string{"/manifests/" + x.images[1].Digest.String(), "/blobs/"} {
		c.to = places["1.1"](t)
		f := c.from.reg.Inject(fixtures.Fault{On: fixtures.Get(part), Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) { rec.Body.Bytes()[3] ^= 1 })})
		_, err = c.promoter().Promote(t.Context(), c.ref(c.from, "@"+x.index.Digest.String()), c.ref(c.to, ":1.0"))
		var side *promotion.SideError
		require.ErrorAs(t, err, &side)
		require.Equal(t, promotion.Source, side.Side)
		_, err = c.to.raw(t).Target.Resolve(t.Context(), "1.0")
		require.Error(t, err)
		f.Remove()
	}
}

func TestTagThatIsTakenStays(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	x := c.push("1.0")
	other := c.to.raw(t).PushImage(t, "1.0", "other")
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.ErrorIs(t, err, registrystore.ErrTagTaken)
	desc, err := c.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	require.Equal(t, other.Digest, desc.Digest)
	p := c.promoter()
	p.Move = true
	_, err = p.Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	c.requireArrived(x)
}

func (c *crossing) withdraw(d digest.Digest) {
	c.Helper()
	n := metadata.Notice{Digest: d, Reason: "leaks secrets", By: "security", At: fixtures.Epoch}
	_, err := c.wabbit.Publish(func(ctx context.Context, draft *tuf.Draft) error {
		e, err := draft.Edge(ctx, tuf.RoleWithdrawals)
		if err != nil {
			return err
		}
		return draft.SetTarget(ctx, e, metadata.WithdrawnPath(d), n.Entry())
	})
	require.NoError(c, err)
}

func TestWhatIsWithdrawnIsNotPromoted(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	x := c.push("1.0")
	c.withdraw(x.sbom.Digest)
	out, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	require.Equal(t, 1, out.Referrers, "the SBOM is left out, and the scan of it")
	for _, d := range []digest.Digest{x.images[1].Digest, x.index.Digest} {
		c.withdraw(d)
		c.to = places["1.1"](t)
		_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
		require.ErrorIs(t, err, promotion.ErrNotTrusted)
		_, err = c.to.raw(t).Target.Resolve(t.Context(), x.index.Digest.String())
		require.Error(t, err)
	}
}

func TestUntrustedIsNotPromoted(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	c.from.raw(t).PushImage(t, "2.0", "two")
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":2.0"), c.ref(c.to, ":2.0"))
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	require.Empty(t, c.to.reg.Requests())
	c.trust.Inject(fixtures.Fault{Then: fixtures.Status(http.StatusForbidden)})
	_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":2.0"), c.ref(c.to, ":2.0"))
	require.ErrorIs(t, err, promotion.ErrUndecided)
}

func TestDryRunWritesNothing(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	c.push("1.0")
	p := c.promoter()
	p.DryRun = true
	out, err := p.Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	require.Equal(t, 3, out.Referrers)
	for _, r := range c.to.reg.Log() {
		require.True(t, r.Method == http.MethodGet || r.Method == http.MethodHead)
	}
}

// Twenty promotions of one artifact at once, to a registry without the
// referrers API, each by a promoter with evidence of a publisher of its own.
func TestConcurrentPromotionsLoseNoAttachment(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	x := c.push("1.0")
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		c := *c
		c.wabbit = fixtures.NewPublisher(t, fmt.Sprintf("%s/trust%d", c.trust.Host, i), registrystore.Options{})
		c.wabbit.Delegate("releases", "**", "releases")
		_, err := c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: x.index.Digest, Size: x.index.Size})
		require.NoError(t, err)
		c.pins = verify.OpenPins(filepath.Join(t.TempDir(), "pins"))
		require.NoError(t, c.pins.Add(verify.Pin{Name: "wabbit", Root: c.wabbit.Root, Repositories: []string{c.wabbit.Trust}}))
		p, src, dst := c.promoter(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0")
		p.Note = nil
		wg.Go(func() { _, errs[i] = p.Promote(t.Context(), src, dst) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	repo, err := regs.Artifacts(c.ref(c.to, ":1.0").Repository)
	require.NoError(t, err)
	for _, subject := range []digest.Digest{x.index.Digest, x.images[0].Digest} {
		list, err := repo.Referrers(t.Context(), subject)
		require.NoError(t, err)
		seen := map[string]bool{}
		for _, r := range list {
			if r.ArtifactType == metadata.ArtifactTypeTrust {
				seen[r.Annotations[metadata.AnnotationPublisher]] = true
			}
		}
		require.Len(t, seen, 20)
	}
}

// The new name is signed by the promoter, and records where it came from.
func TestPromoterSigns(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	x := c.push("1.0")
	acme := fixtures.NewPublisher(t, c.trust.Host+"/acme", registrystore.Options{})
	acme.Delegate("production", "prod/**", "production")
	require.NoError(t, c.pins.Add(verify.Pin{Name: "acme", Root: acme.Root, Repositories: []string{acme.Trust}}))
	both, err := verify.PublisherPolicy(c.pins, "acme", "wabbit")
	require.NoError(t, err)
	both.Rules[0].Require[1].OriginFrom = "acme"
	p := c.promoter()
	p.Sign = func(_ context.Context, s promotion.Signing) (*verify.Verifier, error) {
		require.Equal(t, "net-monitor:1.0", s.Origin.Target)
		if _, err := acme.Vouch(tuf.Vouching{Role: "production", Origin: s.Origin}, s.Artifact); err != nil {
			return nil, err
		}
		mine, err := verify.PublisherPolicy(c.pins, "acme")
		require.NoError(t, err)
		return verify.New(verify.Options{Registries: p.From, Policy: mine, Now: c.wabbit.Now})
	}
	dst, err := registrystore.ParseReference(c.to.reg.Host+"/prod/net-monitor:1.0-20261123", "")
	require.NoError(t, err)
	out, err := p.Promote(t.Context(), c.ref(c.from, ":1.0"), dst)
	require.NoError(t, err)
	require.Equal(t, []string{"wabbit", "acme"}, out.Attached)
	decision, alone, err := p.Check(t.Context(), dst, verify.Options{Policy: both, Now: c.wabbit.Now})
	require.NoError(t, err)
	require.True(t, decision.Allowed(), decision.Text())
	require.True(t, alone.Allowed(), alone.Text())
	require.Equal(t, x.index.Digest, alone.Digest)
	require.Equal(t, verify.FromAttachment, alone.Results[1].Source)
	// A manifest of the index too, as runtimes ask for it.
	dst.Tag, dst.Digest = "", x.images[1].Digest
	_, alone, err = p.Check(t.Context(), dst, verify.Options{Policy: both, Now: c.wabbit.Now})
	require.NoError(t, err)
	require.True(t, alone.Allowed(), alone.Text())
}
