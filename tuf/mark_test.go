package tuf_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

// hijack plays publishers of which one delegated role is in a thief's hands.
// He has the online keys too: whatever he signs is published.
type hijack struct {
	*follower
	repo          *tufrepository.Repository
	honest, thief *tufrepository.Key
}

// newHijack returns a publisher with a role A for all paths that begin with a,
// and the thief's role for all that begin with t.
func newHijack(t *testing.T) *hijack {
	h := &hijack{repo: tufrepository.New(start), honest: tufrepository.NewKey("A"), thief: tufrepository.NewKey("thief")}
	h.trust(h.honest)
	delegate(h.repo, "targets", tufrepository.Delegation{Name: "thief", Paths: []string{"t*"}, Keys: []*tufrepository.Key{h.thief}})
	h.repo.AddTarget("A", "a", []byte("a"))
	h.repo.PublishAll()
	h.follower = follow(t, h.repo)
	h.listed("a", true)
	return h
}

func (h *hijack) trust(key *tufrepository.Key) {
	delegate(h.repo, "targets", tufrepository.Delegation{Name: "A", Paths: []string{"a*"}, Keys: []*tufrepository.Key{key}})
	h.repo.Signers["A"] = []*tufrepository.Key{key}
}

func (h *hijack) listed(path string, want bool) {
	h.t.Helper()
	found, err := h.ok(mirrorOf("m", h.repo)).Lookup(h.t.Context(), path)
	require.NoError(h.t, err)
	require.Equal(h.t, want, found.Listed)
}

func (h *hijack) refused(path string) {
	h.t.Helper()
	_, err := h.ok(mirrorOf("m", h.repo)).Lookup(h.t.Context(), path)
	require.ErrorIs(h.t, err, tuf.ErrInvalid)
	require.ErrorContains(h.t, err, "takes that back")
}

// says publishes a next version of A: given up, or with an entry.
func (h *hijack) says(givenUp bool, by *tufrepository.Key) {
	a := h.repo.Signed["A"]
	delete(a, "carnet")
	if a["targets"] = (tufrepository.Object{}); givenUp {
		a["carnet"] = tufrepository.Object{"revoked": true}
	} else {
		h.repo.AddTarget("A", "a", []byte("a"))
	}
	h.repo.Signers["A"] = []*tufrepository.Key{by}
	h.repo.PublishAll()
}

// claims lets the thief's role delegate to the name A by the thief's key.
func (h *hijack) claims() {
	delegate(h.repo, "thief", tufrepository.Delegation{Name: "A", Paths: []string{"t*"}, Keys: []*tufrepository.Key{h.thief}})
}

// Role names are one space: whoever has any delegated role can delegate to the
// name of another. What his keys give up is his.
func TestWhoDelegatesToANameGivesNobodyElsesRoleUp(t *testing.T) {
	h := newHijack(t)
	h.claims()
	h.says(true, h.thief)
	h.listed("t", false) // a client that comes by the thief's delegation
	h.says(false, h.honest)
	h.listed("a", true)
}

// The other way round: a role that gave itself up is not brought back by the
// way round a delegation of the thief's, by which it may say something.
func TestWhoDelegatesToANameTakesNothingBack(t *testing.T) {
	h := newHijack(t)
	h.says(true, h.honest)
	h.listed("a", false)
	h.claims()
	h.says(false, h.thief)
	h.listed("t", false)
	h.says(true, h.thief)
	h.listed("t", false)
	h.says(false, h.honest) // by the stolen key of A
	h.refused("a")
}

// A refusal is remembered however often the thief's file is offered, wherever
// its bytes are found, and by whom A was not opened in between.
func TestGivenUpIsRefusedEveryTime(t *testing.T) {
	h := newHijack(t)
	h.says(true, h.honest)
	h.listed("a", false)
	h.says(false, h.honest)
	h.refused("a")
	h.refused("a")
	h.store["A"] = bytes.Clone(h.repo.Get("3.A.json"))
	h.refused("a")
	h.says(false, h.honest)
	h.listed("t", false)
	h.refused("a")
}

// A delegator stands above its role: by keys of another hand the name lives
// again, by the old one it does not, whatever else is listed beside it.
func TestNewKeysLiftGivingUp(t *testing.T) {
	h := newHijack(t)
	h.says(true, h.honest)
	h.listed("a", false)
	fresh := tufrepository.NewKey("fresh")
	again := func(keys ...*tufrepository.Key) {
		delete(h.repo.Signed["targets"], "delegations")
		delegate(h.repo, "targets", tufrepository.Delegation{Name: "A", Paths: []string{"a*"}, Keys: keys})
		h.says(false, keys[0])
	}
	again(fresh, h.honest)
	h.refused("a")
	again(fresh)
	h.listed("a", true)
}

// Where the author gives no hash two sources may have two files, and each is
// verified for itself.
func TestWhatTakesBackVerifiesNothingElse(t *testing.T) {
	h := newHijack(t)
	h.says(true, h.honest)
	h.listed("a", false)
	h.says(false, h.honest)
	meta := h.repo.Signed["snapshot"]["meta"].(tufrepository.Object)
	meta["A.json"] = tufrepository.Object{"version": h.repo.Version("A")}
	h.repo.Publish("snapshot", "timestamp")
	m, forged := mirrorOf("m", h.repo), mirrorOf("forged", h.repo)
	h.repo.Signed["A"]["targets"], h.repo.Signed["A"]["carnet"] = tufrepository.Object{}, tufrepository.Object{"revoked": true}
	h.repo.Signers["A"] = []*tufrepository.Key{h.thief}
	forged.files["3.A.json"] = h.repo.Sign("A")
	for _, sources := range [][]tuf.Source{{m, forged}, {forged, m}} {
		c := h.ok(sources...)
		_, err := c.Lookup(t.Context(), "a")
		require.Error(t, err, "a file that the role's keys did not sign was taken")
		require.True(t, noted(c, "m", tuf.ErrInvalid))
		require.True(t, noted(c, "forged", tuf.ErrThreshold))
	}
}

// Whoever is trusted with a role can invent roles that give themselves up
// without end: what is remembered stays bounded, and of roles nearer to targets
// than his nothing is forgotten.
func TestInventedRolesFillNobodysMemory(t *testing.T) {
	h := newHijack(t)
	h.says(true, h.honest)
	h.listed("a", false)
	for i := range tuf.MaxMarks + 10 {
		name := fmt.Sprint("x", i)
		delegate(h.repo, "thief", tufrepository.Delegation{Name: name, Paths: []string{fmt.Sprintf("t%d*", i/200)}, Keys: []*tufrepository.Key{h.thief}})
		h.repo.Signed[name]["carnet"] = tufrepository.Object{"revoked": true}
	}
	h.repo.PublishAll()
	h.listed("t0", false)
	h.listed("t1", false)
	require.Equal(t, tuf.MaxMarks, bytes.Count(h.store[tuf.StoreMarks], []byte(`"role"`)))
	h.says(false, h.honest)
	h.refused("a")
}

// Damage to what is remembered is told, like damage to a file of the state.
func TestDamagedMarksAreNoted(t *testing.T) {
	h := newHijack(t)
	h.store[tuf.StoreMarks] = []byte(`[{"role":`)
	notes := h.ok(mirrorOf("m", h.repo)).Notes()
	require.Len(t, notes, 1)
	require.ErrorContains(t, notes[0].Err, "roles that gave themselves up")
}

// A client without memory cannot know what a thief's newer state takes back;
// it ends by the delegator's hand (docs/spec.md, "Self-revocation").
func TestDelegatorEndsWhatAThiefTakesBack(t *testing.T) {
	h := newHijack(t)
	h.says(true, h.honest)
	h.says(false, h.honest)
	h.listed("a", true)
	delete(h.repo.Signed["targets"], "delegations")
	h.repo.PublishAll()
	h.listed("a", false)
}
