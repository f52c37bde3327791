package tuf_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Of two proposals for one role one wins, the other is over; those for other
// roles go along.
func TestProposalsAreTakenInTogether(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	for _, role := range []string{"one", "two"} {
		p.Delegate(role, role, role)
	}
	newMember(t, p, "one").proposes(target("one", "one:1", "x"))
	newMember(t, p, "one").proposes(target("one", "one:1", "y"))
	newMember(t, p, "two").proposes(target("two", "two:1", "z"))
	online := newMember(t, p, "online")
	require.Len(t, online.open(), 3)
	require.Len(t, online.refresh(), 2)
	require.Empty(t, online.open())
	requireListed(t, p, "two:1", "z")
	f, err := p.Client().Lookup(t.Context(), "one:1")
	require.NoError(t, err)
	require.True(t, f.Listed)
}

// A proposal that takes a role's keys away, and one by those keys, do not go
// together: one is taken in, and no reader meets what its keys did not sign.
func TestProposalsThatDoNotGoTogether(t *testing.T) {
	for range 6 { // which is first by ID is left to chance
		p := fixtures.NewLayoutPublisher(t)
		p.Delegate("releases", "**", "dev", "new")
		_, err := p.Publish(target("releases", "app:1", "x"))
		require.NoError(t, err)
		newMember(t, p, "dev").proposes(target("releases", "app:2", "y"))
		targets := newMember(t, p, "targets")
		targets.proposes(given(p, "releases", 1, "new")) // the present file stands: new signed it too
		online := newMember(t, p, "online")
		require.Len(t, online.open(), 2)
		require.Len(t, online.refresh(), 1)
		c := p.Client()
		e, err := c.Edge(t.Context(), "releases")
		require.NoError(t, err)
		_, err = c.Open(t.Context(), e)
		require.NoError(t, err)
	}
}

// A role that somebody else publishes at the same time cannot be joined
// without its key: the publisher starts over, and the proposal is over.
func TestProposalThatIsOvertaken(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	newMember(t, p, "dev").proposes(target("releases", "app:1", "proposed"))
	online := newMember(t, p, "online")
	r := online.repo()
	once := true
	_, err := r.Publish(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		d.Force()
		open, err := r.Proposals(ctx, d.State())
		if err != nil {
			return err
		}
		if _, err := r.TakeIn(ctx, d, open); err != nil || !once {
			return err
		}
		once = false
		_, err = p.Sign("releases", "app:1", "overtakes")
		return err
	})
	require.NoError(t, err)
	requireListed(t, p, "app:1", "overtakes")
	require.Empty(t, online.open())
}

// A command that is killed, or cut off, at any write leaves all as it was, and
// run again finishes it.
func TestEveryWriteOfAProposalMayFail(t *testing.T) {
	for name, action := range map[string]fixtures.Action{"before": fixtures.DropBefore, "after": fixtures.DropAfter, "refused": fixtures.Status(http.StatusForbidden)} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := publisherOn(t, reg)
			_, err := p.Publish(given(p, "releases", 2, "dev", "dev2"))
			require.NoError(t, err)
			dev, dev2, online := newMember(t, p, "dev"), newMember(t, p, "dev2"), newMember(t, p, "online")
			for n := 1; ; n++ {
				path := fmt.Sprintf("app:%d", n)
				change := target("releases", path, "x")
				fault := reg.Inject(fixtures.Fault{On: fixtures.Writes, Nth: n, Then: action})
				_, err := dev.publish(change)
				if n > 1 && err == nil {
					err = dev2.approve(dev2.only().Proposal.ID())
				}
				hit := fault.Hits() > 0
				fault.Remove()
				requireUnlisted(t, p, path)
				p.Sleep(time.Minute)
				first := dev.proposes(change)
				require.NoError(t, dev2.approve(first.Proposal.ID()), "write %d: run again", n)
				require.Len(t, online.open(), 1, "write %d: no second proposal", n)
				require.Len(t, online.refresh(), 1)
				requireListed(t, p, path, "x")
				if err == nil && !hit {
					require.Greater(t, n, 4)
					return
				}
			}
		})
	}
}

// Files that are published at once, and that several people sign, are recorded
// too.
func TestDirectPublicationIsRecorded(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	all := newMember(t, p, "root", "targets", "online", "dev", "dev2")
	publish := func(change func(context.Context, *tuf.Draft) error) {
		t.Helper()
		res, err := all.publish(change)
		require.NoError(t, err)
		require.Nil(t, res.Proposal)
	}
	publish(given(p, "releases", 2, "dev", "dev2"))
	publish(given(p, metadata.RoleRoot, 1, "root", "next"))
	list, err := all.record.List()
	require.NoError(t, err)
	var roles []string
	for _, f := range list {
		roles = append(roles, fmt.Sprint(f.Role, f.Version))
	}
	slices.Sort(roles)
	require.Equal(t, []string{"releases2", "root2"}, roles)

	// What would be a second root of the version that this machine signed is
	// refused, whoever shows the state before it.
	other := fixtures.NewLayoutPublisher(t)
	m := newMember(t, other, "root", "online")
	require.NoError(t, m.record.Add(tuf.SignedFile{Role: "root", Version: 2, Proposal: "f00d", Signed: other.Client().Root().Signed}))
	_, err = m.publish(given(other, metadata.RoleRoot, 1, "root", "next"))
	require.ErrorIs(t, err, tuf.ErrSignedOther)
	require.ErrorContains(t, err, "carnet propose forget f00d")
}

// A signer refuses what was made for another state than the newest, and a state
// that is older than what it saw.
func TestProposalFileOfAnOldState(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	_, err := p.Publish(given(p, "releases", 2, "dev", "dev2"))
	require.NoError(t, err)
	v := newMember(t, p, "dev").proposes(target("releases", "app:1", "x"))
	export := func() []byte {
		r := newMember(t, p, "dev").repo()
		s, err := r.Load(t.Context())
		require.NoError(t, err)
		raw, err := r.ExportProposal(t.Context(), s, v.Proposal)
		require.NoError(t, err)
		return raw
	}
	raw := export()
	offline := newMember(t, p, "dev2")
	open := func(m *member, raw []byte) (*tuf.Review, error) {
		f, err := tuf.ReadProposalFile(raw)
		if err != nil {
			return nil, err
		}
		opts := p.Options()
		opts.Journal, opts.Sources, opts.Keys, opts.Store, opts.Record = f.Journal(), []tuf.Source{f.Journal()}, m.keys, m.store, m.record
		r := tuf.NewRepository(opts)
		s, err := r.Load(t.Context())
		if err != nil {
			return nil, err
		}
		v, err := r.ReviewFile(t.Context(), s, f)
		if err != nil {
			return nil, err
		}
		_, err = r.Approve(t.Context(), v)
		return v, err
	}
	got, err := open(offline, raw)
	require.NoError(t, err)
	require.True(t, got.Complete())
	require.Equal(t, v.Proposal.ID(), got.Proposal.ID())

	// A signature in it that does not verify: somebody edited the file.
	sig := hex.EncodeToString(v.Proposal.File("releases").Signatures[0].Sig)
	forged := strings.Replace(string(v.Proposal.File("releases").Raw), sig[:8], "00000000", 1)
	edited := strings.Replace(string(raw), base64.StdEncoding.EncodeToString(v.Proposal.File("releases").Raw), base64.StdEncoding.EncodeToString([]byte(forged)), 1)
	require.NotEqual(t, string(raw), edited)
	_, err = open(newMember(t, p, "dev2"), []byte(edited))
	require.ErrorIs(t, err, tuf.ErrProposal)

	// Every byte of it, cut off or changed: an error, or the same proposal.
	for n := 0; n < len(raw); n += 97 {
		_, err := tuf.ReadProposalFile(raw[:n])
		require.ErrorIs(t, err, tuf.ErrProposal)
		mangled := slices.Clone(raw)
		mangled[n] ^= 1
		m := newMember(t, p, "dev2")
		if got, err := open(m, mangled); err == nil {
			require.Equal(t, v.Proposal.ID(), got.Proposal.ID())
			require.True(t, got.Complete())
		}
	}

	// Time goes on: who saw a newer state takes the file for a rollback, who did
	// not, signs, and nobody can use it.
	_, err = p.Sign("releases", "app:2", "y")
	require.NoError(t, err)
	_, err = offline.repo().Load(t.Context())
	require.NoError(t, err)
	_, err = open(offline, raw)
	require.ErrorIs(t, err, tuf.ErrRollback)
	s, err := offline.repo().Load(t.Context())
	require.NoError(t, err)
	_, err = offline.repo().Review(t.Context(), s, got.Proposal)
	require.ErrorIs(t, err, tuf.ErrProposal)
	require.ErrorContains(t, err, "not based on the newest state")
}

// A file that two sign, of which one signature was edited, is refused as a
// whole, though the other one counts.
func TestProposalFileWithAForgedSignatureBesideAGoodOne(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	_, err := p.Publish(given(p, "releases", 3, "dev", "dev2", "dev3"))
	require.NoError(t, err)
	dev := newMember(t, p, "dev")
	v := dev.proposes(target("releases", "app:1", "x"))
	require.NoError(t, newMember(t, p, "dev2").approve(v.Proposal.ID()))
	r := dev.repo()
	s, err := r.Load(t.Context())
	require.NoError(t, err)
	both := dev.only().Proposal
	raw, err := r.ExportProposal(t.Context(), s, both)
	require.NoError(t, err)
	f, err := tuf.ReadProposalFile(raw)
	require.NoError(t, err)
	_, err = r.ReviewFile(t.Context(), s, f)
	require.NoError(t, err)

	file := both.File("releases")
	signatures := slices.Clone(file.Signatures)
	signatures[1].Sig = make([]byte, len(signatures[1].Sig))
	forged, err := metadata.Decode("releases", metadata.Seal(file.Signed, signatures))
	require.NoError(t, err)
	edited, err := tuf.NewProposal(map[string]*metadata.File{"releases": forged})
	require.NoError(t, err)
	raw, err = f.With(edited)
	require.NoError(t, err)
	f, err = tuf.ReadProposalFile(raw)
	require.NoError(t, err)
	_, err = r.ReviewFile(t.Context(), s, f)
	require.ErrorIs(t, err, tuf.ErrProposal)
	require.ErrorContains(t, err, "somebody edited the file")
}

// A proposal under the tag of another role or version is passed by: what is
// read is bounded by what tags say.
func TestProposalUnderTheTagOfAnotherRole(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	dev := newMember(t, p, "dev")
	v := dev.proposes(target("releases", "app:1", "x"))
	source := p.Source()
	list, err := source.Proposals(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	files := []tuf.File{tuf.NewFile("releases", 2, v.Proposal.File("releases").Raw)}
	require.NoError(t, source.DropProposals(t.Context(), list...))
	_, err = source.PushProposal(t.Context(), "targets", p.Client().Snapshot().Snapshot.Meta["targets"].Version+1, files)
	require.NoError(t, err)
	require.Empty(t, dev.open())
}
