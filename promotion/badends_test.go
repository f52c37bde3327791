package promotion_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// release pushes an image with an SBOM to the source, and signs it.
func (c *crossing) release(tag, content string) ocispec.Descriptor {
	c.Helper()
	repo := c.from.raw(c)
	image := repo.PushImage(c, tag, content)
	repo.PushReferrer(c, image, "application/vnd.cyclonedx+json", "sbom of "+digest.FromString(content).String())
	_, err := c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: tag, Digest: image.Digest, Size: image.Size})
	require.NoError(c, err)
	return image
}

func (c *crossing) requireAt(tag string, want ocispec.Descriptor) {
	c.Helper()
	found, err := c.to.raw(c).Target.Resolve(c.Context(), tag)
	require.NoError(c, err)
	require.Equal(c, want.Digest, found.Digest)
	_, alone, err := c.promoter().Check(c.Context(), c.ref(c.to, ":"+tag), verify.Options{Policy: c.policy(), Now: c.wabbit.Now})
	require.NoError(c, err)
	require.True(c, alone.Allowed(), alone.Text())
}

// sentWhole counts how often each blob was sent whole.
func sentWhole(reg *fixtures.Registry) map[string]int {
	out := map[string]int{}
	for _, r := range reg.Log() {
		if r.Method == http.MethodPut && strings.Contains(r.Path, "/net-monitor/blobs/uploads/") && r.Status == http.StatusCreated {
			i := strings.Index(r.Query, "digest=")
			out[r.Query[i:min(len(r.Query), i+90)]]++
		}
	}
	return out
}

// The destination dies at every write in turn, of blobs, manifests, the list of
// referrers, evidence, the promoter's own signature and the tag, before the
// write took effect or after: the tag stays where it was, and verifies; the same
// again finishes it and sends no blob twice.
func TestPromotionDiesAtEveryWrite(t *testing.T) {
	for name, action := range map[string]fixtures.Action{"before it took effect": fixtures.DropBefore, "after": fixtures.DropAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				c := newCrossing(t, "1.1", "1.0")
				old := c.release("1.0", "old")
				_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
				require.NoError(t, err)
				next := c.release("1.0", "next")
				acme := fixtures.NewPublisher(t, c.to.reg.Host+"/acme", registrystore.Options{})
				acme.Delegate("production", "**", "production")
				promote := func() error {
					p := c.promoter()
					p.Move = true
					p.Sign = func(_ context.Context, s promotion.Signing) (*verify.Verifier, error) {
						_, err := acme.Vouch(tuf.Vouching{Role: "production", Origin: s.Origin}, s.Artifact)
						return nil, err
					}
					_, err := p.Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
					return err
				}
				c.to.reg.Reset()
				f := c.to.reg.Inject(deadForWrites(n, action))
				err = promote()
				f.Remove()
				if f.Hits() == 0 {
					require.NoError(t, err)
					require.Greater(t, n, 20, "too few writes were seen")
					return
				}
				if err != nil { // a lost answer may be settled
					require.ErrorContains(t, err, c.to.reg.Host, "write %d", n)
				}
				found, rerr := c.to.raw(t).Target.Resolve(t.Context(), "1.0")
				require.NoError(t, rerr)
				if found.Digest != next.Digest { // of the last write the answer alone was lost
					require.Error(t, err)
					c.requireAt("1.0", old)
				}
				require.NoError(t, promote(), "write %d", n)
				c.requireAt("1.0", next)
				for blob, times := range sentWhole(c.to.reg) {
					require.Equal(t, 1, times, "write %d: %s", n, blob)
				}
			}
		})
	}
}

// deadForWrites breaks the nth write by action, and all that come after it
// before they take effect.
func deadForWrites(nth int, action fixtures.Action) fixtures.Fault {
	var n atomic.Int64
	var first atomic.Pointer[http.Request]
	return fixtures.Fault{On: func(r *http.Request) bool {
		if !fixtures.Writes(r) {
			return false
		}
		i := n.Add(1)
		if i == int64(nth) {
			first.Store(r)
		}
		return i >= int64(nth)
	}, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r == first.Load() {
			action(w, r, next)
			return
		}
		fixtures.DropBefore(w, r, next)
	}}
}

// breakOff takes part of an upload, and breaks the connection.
func breakOff(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
	panic(http.ErrAbortHandler)
}

// large3M is more than is held in memory: it is streamed.
const large3M = 3 << 20

// An upload that breaks off begins anew; one that always does fails, and the
// next run sends this blob alone.
func TestUploadBreaksOff(t *testing.T) {
	for name, first := range map[string]int{"once": 1, "always": 0} {
		t.Run(name, func(t *testing.T) {
			c := newCrossing(t, "1.1", "1.0")
			image := c.release("1.0", strings.Repeat("x", large3M))
			f := c.to.reg.Inject(fixtures.Fault{First: first, Then: breakOff, On: func(r *http.Request) bool {
				return (r.Method == http.MethodPut || r.Method == http.MethodPatch) && strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength > large3M
			}})
			_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
			require.Positive(t, f.Hits())
			f.Remove()
			if first == 0 {
				requireSide(t, promotion.Destination, err)
				_, err = c.to.raw(t).Target.Resolve(t.Context(), "1.0")
				require.Error(t, err)
				c.to.reg.Reset()
				_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
			}
			require.NoError(t, err)
			c.requireAt("1.0", image)
			for blob, times := range sentWhole(c.to.reg) {
				require.Equal(t, 1, times, blob)
			}
			sent, _ := c.to.reg.Bytes()
			require.Less(t, sent, int64(2*large3M), "at most one blob's cost")
		})
	}
}

func requireSide(t *testing.T, want promotion.Side, err error) {
	t.Helper()
	var side *promotion.SideError
	require.ErrorAs(t, err, &side)
	require.Equal(t, want, side.Side, "%v", err)
}

// A quota is waited for as long as there is time; beyond that, and where
// writing is refused, the error names the destination, and once that is mended
// the same again finishes.
func TestDestinationRefuses(t *testing.T) {
	for name, x := range map[string]struct {
		fault fixtures.Fault
		kind  error // nil: it is waited for
	}{
		"a quota for a moment":            {fixtures.Fault{First: 2, Then: fixtures.RateLimit(1)}, nil},
		"a quota that does not say":       {fixtures.Fault{First: 2, Then: fixtures.Status(http.StatusTooManyRequests)}, nil},
		"a quota for longer":              {fixtures.Fault{Then: fixtures.RateLimit(3600)}, registrystore.ErrRateLimited},
		"a quota that does not say, long": {fixtures.Fault{Then: fixtures.Status(http.StatusTooManyRequests)}, registrystore.ErrRateLimited},
		"read-only":                       {fixtures.Fault{Then: fixtures.Status(http.StatusForbidden)}, registrystore.ErrReadOnly},
		"no such method":                  {fixtures.Fault{Then: fixtures.Status(http.StatusMethodNotAllowed)}, registrystore.ErrReadOnly},
		"no login":                        {fixtures.Fault{Then: fixtures.Status(http.StatusUnauthorized)}, registrystore.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrossing(t, "1.1", "1.0")
			image := c.release("1.0", "one")
			x.fault.On = fixtures.Writes
			f := c.to.reg.Inject(x.fault)
			_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
			require.Positive(t, f.Hits())
			f.Remove()
			if x.kind != nil {
				require.ErrorIs(t, err, x.kind)
				requireSide(t, promotion.Destination, err)
				_, err = c.to.raw(t).Target.Resolve(t.Context(), "1.0")
				require.Error(t, err)
				_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
			}
			require.NoError(t, err)
			c.requireAt("1.0", image)
		})
	}
}

// The source dies at every read in turn: it is named, or nothing is decided;
// nothing is tagged; the same again finishes.
func TestSourceDiesAtEveryRead(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	image := c.release("1.0", "one")
	for n := 1; ; n++ {
		c.to = places["1.1"](t)
		f := c.from.reg.Inject(fixtures.Fault{Nth: n, Then: fixtures.Status(http.StatusForbidden)})
		_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
		f.Remove()
		if f.Hits() == 0 {
			require.NoError(t, err)
			require.Greater(t, n, 7, "too few reads were seen")
			return
		}
		if n > 1 {
			requireSide(t, promotion.Source, err)
		} else {
			require.ErrorIs(t, err, promotion.ErrUndecided)
		}
		_, err = c.to.raw(t).Target.Resolve(t.Context(), "1.0")
		require.Error(t, err, "read %d", n)
		_, err = c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
		require.NoError(t, err)
		c.requireAt("1.0", image)
	}
}

// Other bytes under a digest, in what is streamed and in what refers to the
// artifact: nothing is tagged.
func TestSourceChangesWhatIsStreamed(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	image := c.release("1.0", strings.Repeat("x", large3M))
	list, err := c.from.raw(t).Target.(interface {
		Predecessors(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error)
	}).Predecessors(t.Context(), image)
	require.NoError(t, err)
	require.Len(t, list, 1)
	for name, on := range map[string]func(*http.Request) bool{
		"blobs": fixtures.Get("/blobs/"), "a referrer": fixtures.Get("/manifests/" + list[0].Digest.String()),
	} {
		t.Run(name, func(t *testing.T) {
			c.to = places["1.1"](t)
			f := c.from.reg.Inject(fixtures.Fault{On: on, Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) { rec.Body.Bytes()[rec.Body.Len()-2] ^= 1 })})
			defer f.Remove()
			_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
			require.Positive(t, f.Hits())
			requireSide(t, promotion.Source, err)
			_, err = c.to.raw(t).Target.Resolve(t.Context(), "1.0")
			require.Error(t, err)
		})
	}
}

// A registry that does not mount takes an upload.
func TestPromoteUploadsWhereMountingIsRefused(t *testing.T) {
	c := newCrossing(t, "1.0", "1.0")
	c.to = c.from
	image := c.release("1.0", "one")
	f := c.to.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool { return r.URL.Query().Has("mount") }, Then: fixtures.Status(http.StatusForbidden)})
	dst, err := registrystore.ParseReference(c.to.reg.Host+"/prod/net-monitor:1.0", "")
	require.NoError(t, err)
	p := c.promoter()
	p.Policy, p.Verify = c.ruled(`
  - {name: production, scope: DST/prod/**, strip: prod/, require: [{publisher: wabbit}]}
  - {name: dev, scope: "*", require: [{publisher: wabbit}]}
`, nil)
	_, err = p.Promote(t.Context(), c.ref(c.from, ":1.0"), dst)
	require.NoError(t, err)
	require.Positive(t, f.Hits())
	decision, _, err := p.Check(t.Context(), dst, verify.Options{Policy: p.Policy, Now: c.wabbit.Now})
	require.NoError(t, err)
	require.True(t, decision.Allowed())
	require.Equal(t, image.Digest, decision.Digest)
}

// A tag that somebody else pushed while the copy was under way stays.
func TestTagThatIsTakenMeanwhileStays(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	c.release("1.0", "one")
	var other ocispec.Descriptor
	c.to.reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/sha256:"), Nth: 1, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		other = c.to.raw(t).PushImage(t, "1.0", "other")
		next.ServeHTTP(w, r)
	}})
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.ErrorIs(t, err, registrystore.ErrTagTaken)
	found, err := c.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	require.Equal(t, other.Digest, found.Digest)
}

// A layout checks nothing itself: what is streamed into it is checked on the
// way.
func TestSourceChangesWhatIsStreamedIntoALayout(t *testing.T) {
	c := newCrossing(t, "1.1", "layout")
	c.release("1.0", strings.Repeat("x", large3M))
	f := c.from.reg.Inject(fixtures.Fault{On: fixtures.Get("/blobs/"), Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
		if rec.Body.Len() > large3M {
			rec.Body.Bytes()[rec.Body.Len()-2] ^= 1
		}
	})})
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.Positive(t, f.Hits())
	require.ErrorIs(t, err, registrystore.ErrCorrupt)
	requireSide(t, promotion.Source, err)
	_, err = c.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.Error(t, err)
}
