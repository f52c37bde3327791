package verify_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func (w *world) giveUp(role string) {
	w.Helper()
	_, err := w.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error {
		_, err := revocation.GiveUp(ctx, d, role)
		return err
	})
	require.NoError(w, err)
}

// replay lets the registry show what it showed when latest named old, and
// nothing newer.
func (w *world) replay(old string) {
	w.Helper()
	src := w.reg.Host + "/trust/wabbit"
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(w, err)
	trust, err := regs.OpenTrust(src)
	require.NoError(w, err)
	journal := trust.Journal()
	list, err := journal.List(w.Context())
	require.NoError(w, err)
	for _, e := range list {
		if e.Tag != old {
			continue
		}
		p, err := journal.Read(w.Context(), e)
		require.NoError(w, err)
		require.NoError(w, journal.Advance(w.Context(), p))
	}
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/v2/trust/wabbit/tags/list"), Then: fixtures.Status(http.StatusNotFound)})
}

// newestTag returns the tag of the newest state.
func (w *world) newestTag() string {
	w.Helper()
	list, err := tuf.NewRepository(w.wabbit.Options()).History(w.Context(), 1)
	require.NoError(w, err)
	return list[0].Tag
}

func TestReplayOfTheStateBeforeARoleGaveItselfUp(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	old := w.newestTag()
	w.wabbit.Sleep(time.Hour)
	w.giveUp("releases")
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.NotListed)
	w.replay(old)

	// Who saw it knows better.
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Rollback)

	// Who saw nothing is bounded by freshness: its own, or the timestamp's; and
	// by a floor.
	stateless := func(want verify.Reason) {
		t.Helper()
		w.dir, w.cache = t.TempDir(), t.TempDir()
		require.Equal(t, want, w.verify("HOST/net-monitor:1.0").Results[0].Reason)
	}
	w.root("wabbit", w.wabbit.Root)
	stateless(verify.OK)
	w.opts.MaxAge = 30 * time.Minute
	stateless(verify.Stale)
	w.opts.MaxAge = 0
	w.opts.Floors = map[string]verify.Floor{"wabbit": {Root: 1, Timestamp: d.Results[0].TimestampVersion}}
	stateless(verify.BelowFloor)
	w.opts.Floors = nil
	w.wabbit.Sleep(24 * time.Hour)
	stateless(verify.Expired)
}

// goesOnFrom takes all states away but that one, from which the next goes on.
func (w *world) goesOnFrom(old string) {
	w.Helper()
	journal := w.wabbit.Source().Journal()
	list, err := journal.List(w.Context())
	require.NoError(w, err)
	for _, e := range list {
		if e.Tag != old {
			require.NoError(w, journal.Delete(w.Context(), e))
			continue
		}
		p, err := journal.Read(w.Context(), e)
		require.NoError(w, err)
		require.NoError(w, journal.Advance(w.Context(), p))
	}
}

// A thief with the role's key and an online key goes on from the state before
// the role gave itself up, to higher versions. Who saw the end of the role
// refuses that whenever it asks, and not only the first time.
func TestTakingBackIsRefusedEveryTime(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	old := w.newestTag()
	w.giveUp("releases")
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.NotListed)

	w.goesOnFrom(old)
	w.signed("net-monitor", "2.0", "two")
	w.signed("net-monitor", "3.0", "three")
	for range 3 {
		w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.InvalidMetadata)
	}
	w.refresh(w.wabbit)
	w.requireReason("HOST/net-monitor:3.0", verify.Denied, verify.InvalidMetadata)
}
