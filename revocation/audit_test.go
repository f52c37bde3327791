package revocation_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// story is a publisher whose writers have different keys.
type story struct {
	*testing.T
	p *fixtures.Publisher
}

// by makes change as a writer with the online key and these.
func (s *story) by(names []string, change func(context.Context, *tuf.Draft) error) {
	s.Helper()
	opts := s.p.Options()
	opts.Keys = s.p.Keyring(append(names, "online")...)
	_, err := tuf.NewRepository(opts).Publish(s.Context(), nil, change)
	require.NoError(s, err)
}

func (s *story) sign(key, role, path, content string) {
	s.Helper()
	s.by([]string{key}, entry(role, path, fixtures.Target(content)))
}

func (s *story) past() *tuf.Past {
	s.Helper()
	past, err := tuf.NewRepository(s.p.Options()).Past(s.Context(), nil)
	require.NoError(s, err)
	return past
}

func (s *story) audit(key string) *revocation.Audit {
	s.Helper()
	a, err := revocation.MakeAudit(s.Context(), s.past(), identity(s.T, s.p.Key(key).Key()), nil)
	require.NoError(s, err)
	return a
}

func keys(p *fixtures.Publisher, names ...string) metadata.Keys {
	out := metadata.Keys{}
	for _, name := range names {
		k := p.Key(name).Key()
		out[k.ID()] = k
	}
	return out
}

func rotated(p *fixtures.Publisher, role string, names ...string) func(context.Context, *tuf.Draft) error {
	all := keys(p, names...)
	return func(ctx context.Context, d *tuf.Draft) error { return d.SetKeys(ctx, role, all, 1) }
}

// lines are what was vouched for, as "state role path".
func lines(a *revocation.Audit) (out []string) {
	for _, v := range a.Vouched {
		word := ""
		if v.AtOrBefore {
			word = "<="
		}
		if v.State.Aside {
			word += "aside "
		}
		out = append(out, fmt.Sprintf("%s%d %s %s", word, v.State.Version(), v.Role, v.Path))
	}
	return out
}

// State 1 is the first publication, 2 the delegation.
func newStory(t *testing.T) *story {
	p := fixtures.NewLayoutPublisher(t)
	p.Key("ann")
	p.Key("bob")
	p.Delegate("releases", "net-monitor", "ann", "bob")
	return &story{t, p}
}

func TestAuditAttributesByFirstAppearance(t *testing.T) {
	s := newStory(t)
	s.sign("ann", "releases", "net-monitor:1", "one")                                // 3
	s.sign("bob", "releases", "net-monitor:2", "two")                                // 4: signs 1 again
	s.sign("ann", "releases", "net-monitor:3", "three")                              // 5: signs 2 again
	s.by(nil, func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil }) // 6
	s.p.Key("new")
	s.by([]string{"targets", "new"}, rotated(s.p, "releases", "new")) // 7: signs all again
	s.sign("new", "releases", "net-monitor:4", "four")                // 8

	require.Equal(t, []string{"3 releases net-monitor:1", "5 releases net-monitor:3"}, lines(s.audit("ann")))
	bob := s.audit("bob")
	require.Equal(t, []string{"4 releases net-monitor:2"}, lines(bob))
	require.Equal(t, map[string]int{"releases": 1}, bob.Carried)
	require.True(t, bob.Vouched[0].Alone)
	require.True(t, bob.Vouched[0].Listed)
	require.Equal(t, []string{"8 releases net-monitor:4"}, lines(s.audit("new")))
	require.Empty(t, lines(s.audit("targets")))
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8}, s.audit("online").Sealed)
	require.Equal(t, []int64{1}, s.audit("root").Roots)
}

// What was removed and listed again is a new act, of whoever does it: a tag
// that is moved back.
func TestAuditSeesATagThatIsMovedBack(t *testing.T) {
	s := newStory(t)
	s.sign("ann", "releases", "net-monitor:latest", "old") // 3
	s.sign("ann", "releases", "net-monitor:latest", "new") // 4
	s.sign("bob", "releases", "net-monitor:latest", "old") // 5
	a := s.audit("bob")
	require.Equal(t, []string{"5 releases net-monitor:latest"}, lines(a))
	require.NotNil(t, a.Vouched[0].Before)
	require.EqualValues(t, 3, a.Vouched[0].Before.State.Version())
	bad, spared := a.Since(nil)
	require.Empty(t, bad, "what ann vouched for is good")
	require.Len(t, spared, 1)
}

func TestAuditOfWhatTheHistoryDoesNotReachBackTo(t *testing.T) {
	s := newStory(t)
	s.sign("ann", "releases", "net-monitor:1", "one") // 3
	s.sign("ann", "releases", "net-monitor:2", "two") // 4
	s.sign("bob", "releases", "net-monitor:3", "3")   // 5
	s.drop(1, 2, 3)
	require.Equal(t, []string{"<=4 releases net-monitor:1", "<=4 releases net-monitor:2"}, lines(s.audit("ann")))
	require.Equal(t, []string{"5 releases net-monitor:3"}, lines(s.audit("bob")))
	// A gap in the middle is said too.
	s.sign("bob", "releases", "net-monitor:4", "4") // 6
	s.sign("bob", "releases", "net-monitor:5", "5") // 7
	s.drop(6)
	require.Equal(t, []string{"5 releases net-monitor:3", "<=7 releases net-monitor:4", "<=7 releases net-monitor:5"}, lines(s.audit("bob")))
	_, err := s.past().At("6")
	require.ErrorIs(t, err, tuf.ErrNotKept)
}

// drop deletes the states of these versions.
func (s *story) drop(versions ...int64) {
	s.Helper()
	journal := s.p.Source().Journal()
	list, err := journal.List(s.Context())
	require.NoError(s, err)
	for _, e := range list {
		for _, v := range versions {
			if e.Version == v && !e.Draft {
				require.NoError(s, journal.Delete(s.Context(), e))
			}
		}
	}
}

func TestAuditTellsWithdrawalsAndDelegations(t *testing.T) {
	s := newStory(t)
	s.sign("ann", "releases", "net-monitor:1", "one") // 3
	bad := fixtures.Target("one").Hashes.Digest()
	s.by([]string{"revocations"}, func(ctx context.Context, d *tuf.Draft) error {
		_, err := revocation.Withdraw(ctx, d, revocation.Withdrawal{Digest: bad, Reason: "leaks"})
		return err
	}) // 4
	require.True(t, s.audit("ann").Vouched[0].Withdrawn)
	s.by([]string{"revocations"}, func(ctx context.Context, d *tuf.Draft) error { _, err := revocation.Lift(ctx, d, bad); return err }) // 5
	a := s.audit("revocations")
	require.Empty(t, a.Vouched)
	require.Len(t, a.Withdrawals, 2)
	require.Equal(t, "leaks", a.Withdrawals[0].Reason)
	require.EqualValues(t, 4, a.Withdrawals[0].State.Version())
	require.True(t, a.Withdrawals[1].Lifted)
	require.EqualValues(t, 5, a.Withdrawals[1].State.Version())

	s.by([]string{"targets"}, rotated(s.p, "releases", "ann")) // 6, which ann's file stands
	s.by([]string{"ann"}, func(ctx context.Context, d *tuf.Draft) error { return d.GiveUp(ctx, "releases") })
	s.by([]string{"targets"}, func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, "releases") })
	var got []string
	for _, d := range s.audit("targets").Delegations {
		got = append(got, fmt.Sprintf("%d %s %s %s", d.State.Version(), d.Role, d.What, d.To))
	}
	require.Equal(t, []string{"1 targets made revocations", "2 targets made releases", "6 targets changed releases", "8 targets removed releases"}, got)
	require.Len(t, s.audit("ann").GivenUp, 1)
}

// The key was good until state 4, and in a thief's hands then.
func TestAuditSince(t *testing.T) {
	s := newStory(t)
	p := s.p
	p.Delegate("tools", "tool", "cat")                                                           // 3
	s.sign("bob", "releases", "net-monitor:1", "one")                                            // 4: good
	s.sign("bob", "releases", "net-monitor:2", "evil")                                           // 5
	s.sign("bob", "releases", "net-monitor:stable", "one")                                       // 6: a good one under a new tag
	s.sign("cat", "tools", "tool:1", "tool")                                                     // 7
	s.sign("bob", "releases", "net-monitor:tool", "tool")                                        // 8: cat vouched for it before
	s.sign("ann", "releases", "net-monitor:copy", "evil")                                        // 9: ann believed the thief
	s.by([]string{"ann", "bob"}, entry("releases", "net-monitor:both", fixtures.Target("both"))) // 10
	a := s.audit("bob")
	good, err := a.Past.At("4")
	require.NoError(t, err)
	bad, spared := a.Since(good)
	require.Equal(t, []digest.Digest{fixtures.Target("evil").Hashes.Digest()}, bad)
	var why []string
	for _, v := range spared {
		why = append(why, v.Path+": "+v.Why)
	}
	require.Equal(t, []string{
		"net-monitor:stable: it was vouched for before the last good state",
		"net-monitor:tool: others vouched for it before",
		"net-monitor:both: enough other keys signed it too",
	}, why)
	all, _ := a.Since(nil)
	require.Len(t, all, 2)
}

// A thief lets a role of his own vouch first, to which the stolen key
// delegates: that is no other's word.
func TestAuditTakesNobodysWordWhomTheKeyTrusted(t *testing.T) {
	s := newStory(t)
	s.sign("ann", "releases", "net-monitor:1", "one") // 3: good
	thief := s.p.Key("thief").Key()
	rk := metadata.RoleKeys{KeyIDs: []string{thief.ID()}, Threshold: 1}
	s.by([]string{"bob", "thief"}, func(ctx context.Context, d *tuf.Draft) error {
		return d.Delegate(ctx, "releases", metadata.Delegation{Name: "own", Paths: []string{"net-monitor:*"}, RoleKeys: rk}, metadata.Keys{thief.ID(): thief})
	}) // 4
	s.sign("thief", "own", "net-monitor:2", "evil")    // 5
	s.sign("bob", "releases", "net-monitor:3", "evil") // 6
	a := s.audit("bob")
	good, err := a.Past.At("3")
	require.NoError(t, err)
	bad, spared := a.Since(good)
	require.Equal(t, []digest.Digest{fixtures.Target("evil").Hashes.Digest()}, bad)
	require.Empty(t, spared)
	later, err := a.Past.At("4") // the delegation is good, and what it vouched for
	require.NoError(t, err)
	bad, spared = a.Since(later)
	require.Empty(t, bad)
	require.Len(t, spared, 1)
}
