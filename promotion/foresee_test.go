package promotion_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// requireUntouched fails if anything was written at the destination.
func (c *crossing) requireUntouched() {
	c.Helper()
	for _, r := range c.to.reg.Log() {
		require.True(c, r.Method == http.MethodGet || r.Method == http.MethodHead, "%s", r)
	}
}

// What the policy would not let pass at the destination is not copied there.
func TestWhatWouldNotVerifyThereIsNotCopied(t *testing.T) {
	for name, place := range map[string]string{"another name": "/prod/net-monitor:1.0", "another tag": "/net-monitor:stable"} {
		for _, dry := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := newCrossing(t, "1.1", "1.0")
				x := c.push("1.0")
				dst, err := registrystore.ParseReference(c.to.reg.Host+place, "")
				require.NoError(t, err)
				p := c.promoter()
				p.DryRun = dry
				out, err := p.Promote(t.Context(), c.ref(c.from, ":1.0"), dst)
				require.ErrorIs(t, err, promotion.ErrNotTrustedThere)
				require.Equal(t, verify.NotListed, out.There.Results[0].Reason)
				c.requireUntouched()
				// Signed, it is.
				a := tuf.Artifact{Name: dst.Name, Tag: dst.Tag, Digest: x.index.Digest, Size: x.index.Size}
				_, err = c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, a)
				require.NoError(t, err)
				out, err = p.Promote(t.Context(), c.ref(c.from, ":1.0"), dst)
				require.NoError(t, err)
				require.True(t, out.There.Allowed())
			})
		}
	}
}

// Whether it would verify there cannot be found out: nothing is copied either.
func TestWhatCannotBeForeseenIsNotCopied(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	c.push("1.0")
	acme := fixtures.NewPublisher(t, c.trust.Host+"/acme", registrystore.Options{})
	p := c.promoter()
	p.Policy, p.Verify = c.ruled(`
  - {name: dev, scope: "*", require: [{publisher: wabbit}]}
  - {name: production, scope: DST/**, require: [{publisher: acme}]}
`, map[string]*fixtures.Publisher{"acme": acme})
	c.trust.Inject(fixtures.Fault{On: fixtures.On("", "/acme/"), Then: fixtures.Status(http.StatusForbidden)})
	_, err := p.Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.ErrorIs(t, err, promotion.ErrUndecided)
	c.requireUntouched()
}

// Who vouches for the destination's name only counts there, and the evidence
// comes along.
func TestEvidenceOfWhoVouchesForTheNewNameIsAttached(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	x := c.push("1.0")
	acme := fixtures.NewPublisher(t, c.trust.Host+"/acme", registrystore.Options{})
	acme.Delegate("production", "**", "production")
	_, err := acme.Vouch(tuf.Vouching{Role: "production"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: x.index.Digest, Size: x.index.Size})
	require.NoError(t, err)
	p := c.promoter()
	p.Policy, p.Verify = c.ruled(`
  - {name: dev, scope: "*", require: [{publisher: wabbit}]}
  - {name: production, scope: DST/**, require: [{publisher: acme}]}
`, map[string]*fixtures.Publisher{"acme": acme})
	out, err := p.Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	require.Equal(t, []string{"wabbit", "acme"}, out.Attached)
	_, alone, err := p.Check(t.Context(), c.ref(c.to, ":1.0"), verify.Options{Policy: p.Policy, Now: c.wabbit.Now})
	require.NoError(t, err)
	require.True(t, alone.Allowed(), alone.Text())
}

// Many at once share what they copy: each blob and manifest is sent once.
func TestPromotionsAtOnceSendEachBlobOnce(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	c.push("1.0")
	tags := []string{"a", "b", "c", "d", "e", "f"}
	index, _ := c.from.raw(t).PushIndex(t, "1.0", "1.0")
	var signed []tuf.Artifact
	for _, tag := range tags {
		require.NoError(t, c.from.raw(t).Target.Tag(t.Context(), index, tag))
		signed = append(signed, tuf.Artifact{Name: "net-monitor", Tag: tag, Digest: index.Digest, Size: index.Size})
	}
	_, err := c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, signed...)
	require.NoError(t, err)
	p := c.promoter()
	errs := make(chan error)
	for _, tag := range tags {
		src, dst := c.ref(c.from, ":"+tag), c.ref(c.to, ":"+tag)
		go func() { _, err := p.Promote(t.Context(), src, dst); errs <- err }()
	}
	for range tags {
		require.NoError(t, <-errs)
	}
	begun := 0
	seen := map[string]int{}
	for _, r := range c.to.reg.Log() {
		if r.Method == http.MethodPut {
			seen[r.Query]++
		}
		if r.Method == http.MethodPost {
			begun++
		}
	}
	for _, tag := range tags {
		_, alone, err := p.Check(t.Context(), c.ref(c.to, ":"+tag), verify.Options{Policy: c.policy(), Now: c.wabbit.Now})
		require.NoError(t, err)
		require.True(t, alone.Allowed(), alone.Text())
	}
	blobs := 4 + 4 + 1 // of the images, of the referrers, for evidence nothing but what is empty
	require.Less(t, begun, 2*blobs, "uploads: %v", begun)
	t.Log(begun)
}
