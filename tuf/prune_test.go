package tuf_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/tuf"
)

func prune(t *testing.T, p *fixtures.Publisher, keep int) ([]string, error) {
	t.Helper()
	return tuf.NewRepository(p.Options()).Prune(t.Context(), tuf.Pruning{Keep: keep, Pause: time.Hour})
}

func tags(t *testing.T, p *fixtures.Publisher) (out []string) {
	t.Helper()
	list, err := p.Source().List(t.Context())
	require.NoError(t, err)
	for _, e := range list {
		out = append(out, e.Tag)
	}
	return out
}

// Registries list tags that they cannot serve for a while. The draft of a
// writer that is at work keeps others from overwriting its update.
func TestPruneLeavesWhatCannotBeReadJustNow(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	_, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	before := tags(t, p)
	fault := reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/draft."), Then: fixtures.Status(http.StatusNotFound)})
	_, err = prune(t, p, 1)
	require.NoError(t, err)
	fault.Remove()
	require.ElementsMatch(t, before, tags(t, p))
}

// Who may push lists what is no publication above the newest: writers have to
// look at it each time, until it is pruned.
func TestPruneTakesGarbageAway(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	garbage := "state.000000000001.000000000900.0123456789ab"
	image := reg.Repository(t, "trust").PushImage(t, garbage, "no publication")
	require.NotEmpty(t, image.Digest)
	gone, err := prune(t, p, 64)
	require.NoError(t, err)
	require.Equal(t, []string{garbage}, gone)
	require.NotContains(t, tags(t, p), garbage)
}

// Garbage does not push real states out of those that are kept.
func TestPruneKeepsStatesInSpiteOfGarbage(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	p.Sleep(2 * time.Hour)
	for _, version := range []string{"000000000002", "000000000900"} {
		for _, id := range []string{"fffffffffff0", "fffffffffff1", "fffffffffff2"} {
			reg.Repository(t, "trust").PushImage(t, "state.000000000001."+version+"."+id, id)
		}
	}
	_, err := prune(t, p, 2)
	require.NoError(t, err)
	states := 0
	for _, tag := range tags(t, p) {
		if strings.HasPrefix(tag, "state.") && !strings.Contains(tag, ".fffffffffff") {
			states++
		}
	}
	require.Equal(t, 2, states)
}

// Where a registry deletes manifests only, a tag that somebody put on the
// newest state must not take that along.
func TestPruneDeletesNoStateUnderAFalseTag(t *testing.T) {
	for _, tag := range []string{"draft.000000000001.0123456789ab", "state.000000000001.000000000900.%"} {
		reg := fixtures.Distribution(t)
		p := publisherOn(t, reg)
		_, err := p.Sign("releases", "app:1", "x")
		require.NoError(t, err)
		var newest tuf.Entry
		list, err := p.Source().List(t.Context())
		require.NoError(t, err)
		for _, e := range list {
			if !e.Draft && tuf.CompareEntries(e, newest) > 0 {
				newest = e
			}
		}
		tag = strings.Replace(tag, "%", newest.Digest, 1)
		trust := reg.Repository(t, "trust").Target
		desc, err := trust.Resolve(t.Context(), newest.Tag)
		require.NoError(t, err)
		require.NoError(t, trust.Tag(t.Context(), desc, tag))
		for _, part := range []string{"/manifests/state.", "/manifests/draft."} {
			reg.Inject(fixtures.Fault{On: fixtures.On(http.MethodDelete, part), Then: fixtures.Status(http.StatusMethodNotAllowed)})
		}
		_, err = prune(t, p, 1)
		require.ErrorContains(t, err, tag)
		_, err = p.Source().Read(t.Context(), newest)
		require.NoError(t, err, "the newest state is gone")
		requireListed(t, p, "app:1", "x")
	}
}
