package tuf_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// member is somebody with some of a publisher's keys, and a memory of what was
// seen and signed.
type member struct {
	t      *testing.T
	p      *fixtures.Publisher
	store  tuf.MemoryStore
	record *tuf.FolderRecord
	keys   tuf.Keys
}

func newMember(t *testing.T, p *fixtures.Publisher, keys ...string) *member {
	for _, name := range keys {
		p.Key(name)
	}
	m := &member{t: t, p: p, store: tuf.MemoryStore{}, record: tuf.OpenFolderRecord(t.TempDir())}
	if len(keys) > 0 { // Keyring gives all without names
		m.keys = p.Keyring(keys...)
	}
	return m
}

func (m *member) repo() *tuf.Repository {
	opts := m.p.Options()
	source := m.p.Source()
	opts.Journal, opts.Sources, opts.Ballot = source.Journal(), []tuf.Source{source}, source
	opts.Keys, opts.Store, opts.Record = m.keys, m.store, m.record
	return tuf.NewRepository(opts)
}

func (m *member) publish(change func(context.Context, *tuf.Draft) error) (*tuf.Result, error) {
	return m.repo().Publish(m.t.Context(), nil, change)
}

// proposes publishes a change that must become a proposal.
func (m *member) proposes(change func(context.Context, *tuf.Draft) error) *tuf.Review {
	m.t.Helper()
	res, err := m.publish(change)
	require.NoError(m.t, err)
	require.NotNil(m.t, res.Proposal, "published without the others")
	require.False(m.t, res.Changed)
	return res.Proposal
}

// open returns the open proposals, as m sees them.
func (m *member) open() []*tuf.Review {
	m.t.Helper()
	r := m.repo()
	s, err := r.Load(m.t.Context())
	require.NoError(m.t, err)
	list, err := r.Proposals(m.t.Context(), s)
	require.NoError(m.t, err)
	return list
}

// only returns the one open proposal.
func (m *member) only() *tuf.Review {
	m.t.Helper()
	list := m.open()
	require.Len(m.t, list, 1)
	return list[0]
}

// approve signs an open proposal and hands that on.
func (m *member) approve(id string) error {
	m.t.Helper()
	r := m.repo()
	for _, v := range m.open() {
		if v.Proposal.ID() != id {
			continue
		}
		if _, err := r.Approve(m.t.Context(), v); err != nil {
			return err
		}
		return r.Submit(m.t.Context(), v)
	}
	m.t.Fatalf("no proposal %s", id)
	return nil
}

// refresh publishes, and takes in what is complete.
func (m *member) refresh() (taken []*tuf.Review) {
	m.t.Helper()
	r := m.repo()
	_, err := r.Publish(m.t.Context(), nil, func(ctx context.Context, d *tuf.Draft) (err error) {
		d.Force()
		open, err := r.Proposals(ctx, d.State())
		if err != nil {
			return err
		}
		taken, err = r.TakeIn(ctx, d, open)
		return err
	})
	require.NoError(m.t, err)
	return taken
}

// given replaces the keys of a role.
func given(p *fixtures.Publisher, role string, threshold int, names ...string) func(context.Context, *tuf.Draft) error {
	all := metadata.Keys{}
	for _, name := range names {
		k := p.Key(name).Key()
		all[k.ID()] = k
	}
	return func(ctx context.Context, d *tuf.Draft) error { return d.SetKeys(ctx, role, all, threshold) }
}

// inPlaces runs a test where proposals must work.
func inPlaces(t *testing.T, f func(t *testing.T, p *fixtures.Publisher)) {
	onEach(t, func(t *testing.T, reg *fixtures.Registry, _ *fixtures.Publisher) { f(t, publisherOn(t, reg)) })
	t.Run("layout", func(t *testing.T) {
		p := fixtures.NewLayoutPublisher(t)
		p.Delegate("releases", "**", "dev")
		f(t, p)
	})
}

// A root of two of three people, none of whom has another's key, and a fourth
// who publishes.
func TestRootIsSignedByPeopleWhoDoNotMeet(t *testing.T) {
	inPlaces(t, func(t *testing.T, p *fixtures.Publisher) {
		_, err := p.Publish(given(p, metadata.RoleRoot, 2, "root", "ann", "bob"))
		require.NoError(t, err)
		ann, bob, online := newMember(t, p, "ann"), newMember(t, p, "bob"), newMember(t, p, "online")

		v := ann.proposes(given(p, metadata.RoleRoot, 2, "ann", "bob", "carol"))
		require.Equal(t, []string{metadata.RoleRoot}, v.Proposal.Roles())
		require.False(t, v.Complete())
		require.Empty(t, online.refresh(), "one signature of two")
		require.EqualValues(t, 2, p.Client().Root().Version)

		require.NoError(t, bob.approve(v.Proposal.ID()))
		require.True(t, bob.only().Complete())
		require.EqualValues(t, 2, p.Client().Root().Version, "nobody published it yet")

		require.Len(t, online.refresh(), 1)
		root := p.Client().Root()
		require.EqualValues(t, 3, root.Version)
		require.Contains(t, root.Root.Roles[metadata.RoleRoot].KeyIDs, p.Key("carol").Key().ID())
		require.Empty(t, online.open(), "it is in effect")
	})
}

func TestMemberWithADelegatedKeySignsThroughAProposal(t *testing.T) {
	inPlaces(t, func(t *testing.T, p *fixtures.Publisher) {
		dev, online := newMember(t, p, "dev"), newMember(t, p, "online")
		v := dev.proposes(target("releases", "app:1", "one"))
		require.True(t, v.Complete())
		requireUnlisted(t, p, "app:1")
		require.Len(t, online.refresh(), 1)
		requireListed(t, p, "app:1", "one")
		require.Empty(t, online.refresh())
	})
}

func requireUnlisted(t *testing.T, p *fixtures.Publisher, path string) {
	t.Helper()
	f, err := p.Client().Lookup(t.Context(), path)
	require.NoError(t, err)
	require.False(t, f.Listed)
}

// Who has no key that counts proposes nothing: the error is as without
// proposals.
func TestWithoutAKeyThereIsNoProposal(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	for _, keys := range [][]string{{}, {"online"}, {"stranger"}} {
		_, err := newMember(t, p, keys...).publish(target("releases", "app:1", "one"))
		require.ErrorIs(t, err, tuf.ErrNoKey)
	}
	require.Empty(t, newMember(t, p).open())
}

func TestConcurrentApprovalsLoseNothing(t *testing.T) {
	onEach(t, func(t *testing.T, reg *fixtures.Registry, _ *fixtures.Publisher) {
		p := publisherOn(t, reg)
		names := []string{"a", "b", "c", "d", "e"}
		_, err := p.Publish(given(p, metadata.RoleTargets, 5, names...))
		require.NoError(t, err)
		v := newMember(t, p, "a").proposes(given(p, "releases", 1, "dev", "dev2"))
		// All read before one writes: none knows of another's signature.
		done := make(chan error, len(names))
		for _, name := range names[1:] {
			m := newMember(t, p, name)
			mine := m.only()
			go func() {
				r := m.repo()
				_, err := r.Approve(t.Context(), mine)
				if err == nil {
					err = r.Submit(t.Context(), mine)
				}
				done <- err
			}()
		}
		for range names[1:] {
			require.NoError(t, <-done)
		}
		online := newMember(t, p, "online", "dev")
		require.Equal(t, v.Proposal.ID(), online.only().Proposal.ID())
		require.Len(t, online.only().Standings[0].Quorums[0].Signed, 5)
	})
}

func TestSignerRefusesASecondFileOfAVersion(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	_, err := p.Publish(given(p, metadata.RoleTargets, 2, "ann", "bob"))
	require.NoError(t, err)
	ann, bob := newMember(t, p, "ann"), newMember(t, p, "bob")
	first := ann.proposes(given(p, "releases", 1, "dev", "new"))
	second := bob.proposes(given(p, "releases", 1, "dev", "other"))
	require.NotEqual(t, first.Proposal.ID(), second.Proposal.ID())

	require.ErrorIs(t, ann.approve(second.Proposal.ID()), tuf.ErrSignedOther)
	_, err = ann.publish(given(p, "releases", 1, "dev", "third"))
	require.ErrorIs(t, err, tuf.ErrSignedOther)
	require.Len(t, ann.open(), 2)

	// It is in a file: another process knows it too.
	again := &member{t: t, p: p, store: tuf.MemoryStore{}, record: ann.record, keys: ann.keys}
	require.ErrorIs(t, again.approve(second.Proposal.ID()), tuf.ErrSignedOther)

	gone, err := ann.record.Forget(first.Proposal.ShortID())
	require.NoError(t, err)
	require.Len(t, gone, 1)
	require.NoError(t, ann.approve(second.Proposal.ID()))
}

// A command that was killed is run again, later: what it signed is signed
// again, not another file.
func TestTheSameChangeAgainIsTheSameProposal(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	_, err := p.Publish(given(p, metadata.RoleTargets, 2, "ann", "bob"))
	require.NoError(t, err)
	ann, bob := newMember(t, p, "ann"), newMember(t, p, "bob")
	change := given(p, "releases", 1, "dev", "new")
	first := ann.proposes(change)
	p.Sleep(time.Hour)
	require.Equal(t, first.Proposal.ID(), ann.proposes(change).Proposal.ID())
	p.Sleep(time.Hour)
	v := bob.proposes(change)
	require.Equal(t, first.Proposal.ID(), v.Proposal.ID(), "somebody else makes the same change: that is an approval")
	require.Len(t, v.Standings[0].Quorums[0].Signed, 2)
}
