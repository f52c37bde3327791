package promotion_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// behind returns the crossing as a machine sees it that asks a mirror which
// stays as the publisher is now.
func (c *crossing) behind() *crossing {
	c.Helper()
	p := &pair{from: end{name: c.wabbit.Trust}, to: end{name: c.trust.Host + "/mirror"}, publisher: c.wabbit, store: tuf.MemoryStore{}}
	p.synced(c.T)
	old := *c
	old.pins = verify.OpenPins(filepath.Join(c.TempDir(), "pins"))
	require.NoError(c, old.pins.Add(verify.Pin{Name: "wabbit", Root: c.wabbit.Root, Repositories: []string{p.to.name}}))
	return &old
}

func (c *crossing) promotes(from, to string) *promotion.Promoted {
	c.Helper()
	out, err := c.promoter().Promote(c.Context(), c.ref(c.from, from), c.ref(c.to, to))
	require.NoError(c, err)
	return out
}

// attachedTo returns what is attached for wabbit at the destination.
func (c *crossing) attachedTo(d digest.Digest) *registrystore.Attachment {
	c.Helper()
	a, err := c.destination().Attached(c.Context(), d, c.id())
	require.NoError(c, err)
	require.NotNil(c, a.Attachment, a.Note)
	return a.Attachment
}

func (c *crossing) destination() *registrystore.Artifacts {
	c.Helper()
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(c, err)
	repo, err := regs.Artifacts(c.ref(c.to, ":1.0").Repository)
	require.NoError(c, err)
	return repo
}

func (c *crossing) id() string {
	c.Helper()
	id, err := verify.Pin{Root: c.wabbit.Root}.ID()
	require.NoError(c, err)
	return id
}

func (c *crossing) requireCurrent(d digest.Digest) {
	c.Helper()
	raw, err := c.attachedTo(d).Timestamp(c.Context())
	require.NoError(c, err)
	require.Equal(c, string(c.wabbit.Client().Timestamp().Raw), string(raw))
}

// A machine whose mirror is behind does not put its older evidence in place of
// newer, and what it attaches is as new as what it found.
func TestOlderEvidenceNeverReplacesNewer(t *testing.T) {
	for to := range places {
		t.Run(to, func(t *testing.T) {
			c := newCrossing(t, "1.1", to)
			x := c.push("1.0")
			old := c.behind()
			_, err := c.wabbit.Sign("releases", "net-monitor:2.0", "later")
			require.NoError(t, err)
			c.promotes(":1.0", ":1.0")
			c.requireCurrent(x.index.Digest)
			old.promotes(":1.0", ":1.0")
			for _, d := range []digest.Digest{x.index.Digest, x.images[0].Digest, x.images[1].Digest} {
				c.requireCurrent(d)
			}
			c.requireArrived(x)
		})
	}
}

// Also if the newer evidence comes between looking and writing.
func TestOlderEvidenceNeverReplacesWhatComesMeanwhile(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	x := c.push("1.0")
	old := c.behind()
	_, err := c.wabbit.Sign("releases", "net-monitor:2.0", "later")
	require.NoError(t, err)
	var once atomic.Bool
	f := c.to.reg.Inject(fixtures.Fault{On: fixtures.Head("/manifests/trust." + x.index.Digest.Encoded()), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if once.CompareAndSwap(false, true) {
			c.promotes(":1.0", ":1.0")
		}
		next.ServeHTTP(w, r)
	}})
	old.promotes(":1.0", ":1.0")
	require.Positive(t, f.Hits())
	for _, d := range []digest.Digest{x.index.Digest, x.images[0].Digest, x.images[1].Digest} {
		c.requireCurrent(d)
	}
}

// The mirror that a promoter asks is behind, and the destination knows of the
// withdrawal: nothing is copied.
func TestWithdrawalKnownAtTheDestinationAlone(t *testing.T) {
	for _, what := range []string{"the artifact", "a manifest of the index"} {
		t.Run(what, func(t *testing.T) {
			c := newCrossing(t, "1.1", "1.1")
			x := c.push("1.0")
			old := c.behind()
			d := map[string]digest.Digest{"the artifact": x.index.Digest, "a manifest of the index": x.images[1].Digest}[what]
			c.withdraw(d)
			now := c.wabbit.Evidence("net-monitor:1.0", metadata.DigestPath("net-monitor", x.index.Digest), metadata.WithdrawnPath(d))
			_, _, err := c.destination().Attach(t.Context(), x.index, c.id(), now)
			require.NoError(t, err)
			c.to.reg.Reset()
			_, err = old.promoter().Promote(t.Context(), old.ref(old.from, ":1.0"), old.ref(old.to, ":1.0"))
			require.ErrorIs(t, err, promotion.ErrNotTrusted)
			for _, r := range c.to.reg.Log() {
				require.True(t, r.Method == http.MethodGet || r.Method == http.MethodHead, "%s", r)
			}
		})
	}
}

// What is forged and claims to be newer than all, or is no attachment at all,
// does not keep the true one out.
func TestForgedAttachmentAtTheDestinationIsReplaced(t *testing.T) {
	for name, whole := range map[string]bool{"another publisher's files": true, "files are missing": false} {
		t.Run(name, func(t *testing.T) {
			c := newCrossing(t, "1.1", "1.1")
			x := c.push("1.0")
			thief := *c
			thief.wabbit = fixtures.NewPublisher(t, c.trust.Host+"/thief", registrystore.Options{})
			thief.wabbit.Delegate("releases", "**", "releases")
			for i := range 9 {
				_, err := thief.wabbit.Sign("releases", "net-monitor:1.0", fmt.Sprint(i))
				require.NoError(t, err)
			}
			var paths []string
			if whole {
				paths = []string{"net-monitor:1.0"}
			}
			_, _, err := c.destination().Attach(t.Context(), x.index, c.id(), thief.wabbit.Evidence(paths...))
			require.NoError(t, err)
			out := c.promotes(":1.0", ":1.0")
			require.Len(t, out.Decision.Notes, 1)
			c.requireCurrent(x.index.Digest)
			_, alone, err := c.promoter().Check(t.Context(), c.ref(c.to, ":1.0"), verify.Options{Policy: c.policy(), Now: c.wabbit.Now})
			require.NoError(t, err)
			require.True(t, alone.Allowed(), alone.Text())
		})
	}
}

// Evidence for a second name keeps the role files that the first name's needs,
// as they are by now.
func TestEvidenceForASecondNameKeepsTheFirst(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	c.wabbit = fixtures.NewPublisher(t, c.trust.Host+"/split", registrystore.Options{})
	for _, tag := range []string{"1.0", "stable"} {
		c.wabbit.Delegate("role-"+tag, "net-monitor:"+tag, "releases")
	}
	c.pins = verify.OpenPins(filepath.Join(t.TempDir(), "pins"))
	require.NoError(t, c.pins.Add(verify.Pin{Name: "wabbit", Root: c.wabbit.Root, Repositories: []string{c.wabbit.Trust}}))
	image := c.from.raw(t).PushImage(t, "1.0", "one")
	require.Equal(t, image.Digest, c.from.raw(t).PushImage(t, "stable", "one").Digest)
	_, err := c.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error {
		for _, tag := range []string{"1.0", "stable"} {
			e, err := d.Edge(ctx, "role-"+tag)
			if err != nil {
				return err
			}
			if err := d.SetTarget(ctx, e, "net-monitor:"+tag, metadata.Target{Length: image.Size, Hashes: metadata.SHA256(image.Digest.Encoded())}); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	c.promotes(":1.0", ":1.0")
	// The role's file changes: the one that is attached is of no use any more.
	_, err = c.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, "role-1.0") })
	require.NoError(t, err)
	c.promotes(":stable", ":stable")
	p := c.attachedTo(image.Digest).Publication()
	for _, role := range []string{"role-1.0", "role-stable"} {
		f, ok := p.Role(role)
		require.True(t, ok, role)
		want := c.wabbit.Client().Snapshot().Snapshot.Meta[role]
		require.Equal(t, want.Version, f.Version, role)
	}
	for _, tag := range []string{":1.0", ":stable"} {
		_, alone, err := c.promoter().Check(t.Context(), c.ref(c.to, tag), verify.Options{Policy: c.policy(), Now: c.wabbit.Now})
		require.NoError(t, err)
		require.True(t, alone.Allowed(), alone.Text())
	}
}

// Evidence that was superseded does not pile up in a registry's own list of
// referrers, where that can be; where it cannot, promotion goes on.
func TestSupersededEvidenceDoesNotPileUp(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprint("deleting is refused: ", refused), func(t *testing.T) {
			c := newCrossing(t, "1.0", "1.1")
			x := c.push("1.0")
			if refused {
				c.to.reg.Inject(fixtures.Fault{On: fixtures.On(http.MethodDelete, ""), Then: fixtures.Status(http.StatusMethodNotAllowed)})
			}
			for i := range 4 {
				_, err := c.wabbit.Sign("releases", "net-monitor:2.0", fmt.Sprint(i))
				require.NoError(t, err)
				c.promotes(":1.0", ":1.0")
				c.requireCurrent(x.index.Digest)
			}
			list, err := c.destination().Referrers(context.Background(), x.index.Digest)
			require.NoError(t, err)
			require.Len(t, list, map[bool]int{false: 2, true: 5}[refused], "evidence, and the note")
			if !refused {
				c.requireArrived(x)
			}
		})
	}
}

// What came along from the source stays, newer evidence beside it or not: else
// each promotion would bring it anew.
func TestEvidenceOfTheSourceIsCopiedOnce(t *testing.T) {
	c := newCrossing(t, "1.1", "1.1")
	x := c.push("1.0")
	middle := c.to
	c.promotes(":1.0", ":1.0")
	_, err := c.wabbit.Sign("releases", "net-monitor:2.0", "later")
	require.NoError(t, err)
	c.from, c.to = middle, places["1.1"](t)
	c.promotes(":1.0", ":1.0")
	c.requireCurrent(x.index.Digest)
	require.Zero(t, c.promotes(":1.0", ":1.0").Sent)
}
