package tuf_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func (w *world) past() *tuf.Past {
	w.t.Helper()
	p, err := tuf.NewRepository(w.options(&seat{reg: w.reg})).Past(w.t.Context(), nil)
	require.NoError(w.t, err)
	return p
}

// places are the states as "version<parents", with marks.
func places(p *tuf.Past) (out []string) {
	for _, k := range p.States {
		s := fmt.Sprint(k.Version())
		for _, parent := range k.Parents {
			s += fmt.Sprintf("<%d", parent.Version())
		}
		if k.Gap {
			s += " gap"
		}
		if k.Aside {
			s += " aside"
		}
		out = append(out, s)
	}
	return out
}

func TestPastIsInTheOrderInWhichItWasMade(t *testing.T) {
	w := newWorld(t) // two states
	base := w.newest()
	w.must(target("releases", "app:1", "one"))
	require.Equal(t, []string{"1", "2<1", "3<2"}, places(w.past()))

	// Two states of one version: one is aside until somebody joins both.
	one := w.reg.latest
	w.reg.latest = base
	w.blind(w.keys, target("releases", "app:2", "two"))
	if w.newest().Identity() == one.Identity() {
		w.reg.latest = one
	}
	got := places(w.past())
	require.Len(t, got, 4)
	require.ElementsMatch(t, []string{"1", "2<1", "3<2", "3<2 aside"}, got)
	// The joined state contains its writer's draft too, which is no state.
	w.must(target("releases", "app:3", "three"))
	require.Equal(t, []string{"1", "2<1", "3<2", "3<2", "5<3<3 gap"}, places(w.past()))
}

// That a state contains another is a claim: one that lists an older file does
// not.
func TestPastBelievesNoClaimThatTheFilesContradict(t *testing.T) {
	w := newWorld(t)
	old := w.file("releases")
	w.must(target("releases", "app:1", "one")) // 3
	base, before := w.newest(), stateAt(w, 2)
	w.forge(forged{like: base, version: 4, parents: claims(base, before), roles: map[string]tuf.File{"releases": old}, state: true})
	w.reg.latest = w.newest()
	require.Equal(t, []string{"1", "2<1", "3<2 aside", "4<2"}, places(w.past()))
}

func TestPastSaysWhereItHasGaps(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.must(target("releases", fmt.Sprintf("app:%d", i), "x"))
	}
	for tag := range w.reg.tags {
		if e := parse(tag); !e.Draft && (e.Version == 1 || e.Version == 4) {
			delete(w.reg.tags, tag)
		}
	}
	require.Equal(t, []string{"2 gap", "3<2", "5<3 gap", "6<5"}, places(w.past()))
}

func TestPastTellsGarbageFromWhatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	garbage := *w.newest()
	garbage.Snapshot = tuf.NewFile(metadata.RoleSnapshot, 9, []byte("{}"))
	w.reg.tags["s 1 9 "+garbage.Identity()[:12]] = &garbage
	w.reg.tags["s 1 8 000000000000"] = nil
	p := w.past()
	require.Len(t, p.States, 2)
	require.Len(t, p.Unread, 2)
	for _, u := range p.Unread {
		require.Equal(t, u.Tag[4] == '9', u.Garbage, u.Err)
	}
}

// Who has the key of snapshot can make a state that claims an old version, and
// another that claims to contain it. A person who names the version is asked
// which of the two is meant, also where the real one is kept no longer.
func TestBackdatedStateIsNotTakenForTheOneThatIsMeant(t *testing.T) {
	w := newWorld(t)
	w.must(target("releases", "app:1", "one")) // 3
	w.must(target("releases", "app:2", "two")) // 4
	real, err := w.past().At("3")
	require.NoError(t, err)
	base := w.newest()
	w.forge(forged{like: stateAt(w, 3), version: 3, parents: claims(stateAt(w, 2)), state: true})
	var back *tuf.Publication
	for tag, p := range w.reg.tags {
		if e := parse(tag); !e.Draft && e.Version == 3 && p.Identity() != real.Identity() {
			back = p
		}
	}
	w.forge(forged{like: base, version: 5, parents: claims(base, back), state: true})
	w.reg.latest = w.newest()
	require.EqualValues(t, 5, w.newest().Snapshot.Version)

	_, err = w.past().At("3")
	require.ErrorIs(t, err, tuf.ErrImpossible)
	require.ErrorContains(t, err, real.Identity()[:12])
	got, err := w.past().At("3." + real.Identity()[:12])
	require.NoError(t, err)
	require.Equal(t, real.Identity(), got.Identity())
	for tag, p := range w.reg.tags {
		if p.Identity() == real.Identity() {
			delete(w.reg.tags, tag)
		}
	}
	_, err = w.past().At("3")
	require.Error(t, err, "the forged one is all that is kept, and another is known of")
}

// stateAt returns the state of a version.
func stateAt(w *world, version int64) *tuf.Publication {
	for tag, p := range w.reg.tags {
		if e := parse(tag); !e.Draft && e.Version == version {
			return p
		}
	}
	return nil
}
