package tuf_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// forger makes proposals by hand: whatever somebody with keys could write.
type forger struct {
	t     *testing.T
	p     *fixtures.Publisher
	state *tuf.State
	repo  *tuf.Repository
}

func newForger(t *testing.T) *forger {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net/**", "dev")
	_, err := p.Sign("releases", "net/app:1", "one")
	require.NoError(t, err)
	m := newMember(t, p)
	f := &forger{t: t, p: p, repo: m.repo()}
	f.state, err = f.repo.Load(t.Context())
	require.NoError(t, err)
	return f
}

// targets is a copy of a role's present file, in its next version.
func (f *forger) targets(role string) *metadata.Targets {
	e, err := f.state.Client().Edge(f.t.Context(), role)
	require.NoError(f.t, err)
	t, err := f.state.Client().Open(f.t.Context(), e)
	require.NoError(f.t, err)
	out := *t
	out.Version++
	out.Targets = maps.Clone(t.Targets)
	if t.Delegations != nil {
		d := *t.Delegations
		d.Keys, d.Roles = maps.Clone(d.Keys), append([]metadata.Delegation(nil), d.Roles...)
		out.Delegations = &d
	}
	return &out
}

func (f *forger) file(role string, signed []byte, keys ...string) *metadata.File {
	var list []metadata.Signature
	for _, name := range keys {
		k := f.p.Key(name)
		sig, err := k.Sign(f.t.Context(), signed)
		require.NoError(f.t, err)
		list = append(list, metadata.Signature{KeyID: k.Key().ID(), Sig: sig})
	}
	out, err := metadata.Decode(role, metadata.Seal(signed, list))
	require.NoError(f.t, err)
	return out
}

func (f *forger) review(files map[string]*metadata.File) (*tuf.Review, error) {
	p, err := tuf.NewProposal(files)
	if err != nil {
		return nil, err
	}
	return f.repo.Review(f.t.Context(), f.state, p)
}

func (f *forger) key(d *metadata.Delegations, name string) string {
	k := f.p.Key(name).Key()
	d.Keys[k.ID()] = k
	return k.ID()
}

// Each of these is signed by the keys that it needs, and says what no edit
// could say.
func TestProposalSaysNoMoreThanAnEdit(t *testing.T) {
	edit := func(role string, key string, change func(f *forger, t *metadata.Targets)) func(*forger) map[string]*metadata.File {
		return func(f *forger) map[string]*metadata.File {
			t := f.targets(role)
			change(f, t)
			return map[string]*metadata.File{role: f.file(role, t.Canonical(), key)}
		}
	}
	root := func(change func(f *forger, r *metadata.Root)) func(*forger) map[string]*metadata.File {
		return func(f *forger) map[string]*metadata.File {
			r := f.state.Root().Root.Clone()
			r.Version++
			change(f, r)
			return map[string]*metadata.File{metadata.RoleRoot: f.file(metadata.RoleRoot, r.Canonical(), "root")}
		}
	}
	delegation := func(f *forger, d *metadata.Delegations, name, path string) metadata.Delegation {
		return metadata.Delegation{Name: name, Paths: []string{path}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{f.key(d, "new")}, Threshold: 1}}
	}
	withdrawn := digest.FromString("gone")
	for name, c := range map[string]struct {
		make func(*forger) map[string]*metadata.File
		want string // "": it is valid
	}{
		"an entry":                           {edit("releases", "dev", func(_ *forger, t *metadata.Targets) { t.Targets["net/app:2"] = fixtures.Target("two") }), ""},
		"an entry outside of the delegation": {edit("releases", "dev", func(_ *forger, t *metadata.Targets) { t.Targets["other:2"] = fixtures.Target("two") }), "outside of its delegation"},
		"an entry of targets":                {edit("targets", "targets", func(_ *forger, t *metadata.Targets) { t.Targets["net/app:2"] = fixtures.Target("two") }), "lists no target files"},
		"a withdrawal without a notice":      {edit("revocations", "revocations", func(_ *forger, t *metadata.Targets) { t.Targets["net/app:2"] = fixtures.Target("two") }), "without a notice"},
		"an old version":                     {edit("releases", "dev", func(_ *forger, t *metadata.Targets) { t.Version-- }), "not based on the newest state"},
		"a later version":                    {edit("releases", "dev", func(_ *forger, t *metadata.Targets) { t.Version++ }), "not based on the newest state"},
		"an expired file":                    {edit("releases", "dev", func(_ *forger, t *metadata.Targets) { t.Expires = fixtures.Epoch }), "expired"},
		"signed by nobody who may":           {edit("releases", "stranger", func(_ *forger, t *metadata.Targets) { t.Targets["net/app:2"] = fixtures.Target("two") }), "nobody signed it"},
		"the withdrawal role is gone":        {edit("targets", "targets", func(_ *forger, t *metadata.Targets) { t.Delegations.Roles = t.Delegations.Roles[1:] }), "withdrawal role"},
		"the withdrawal role is second": {edit("targets", "targets", func(_ *forger, t *metadata.Targets) {
			r := t.Delegations.Roles
			r[0], r[1] = r[1], r[0]
		}), "out of the first place"},
		"the withdrawal role loses paths": {edit("targets", "targets", func(_ *forger, t *metadata.Targets) {
			t.Delegations.Roles[0].Paths = t.Delegations.Roles[0].Paths[1:]
		}), "withdrawal role"},
		"a new role without its file": {edit("targets", "targets", func(f *forger, t *metadata.Targets) {
			t.Delegations.Roles = append(t.Delegations.Roles, delegation(f, t.Delegations, "team", "team:*"))
		}), "first file is not in it"},
		"keys that did not sign the role's file": {edit("targets", "targets", func(f *forger, t *metadata.Targets) {
			t.Delegations.Roles[1].KeyIDs = []string{f.key(t.Delegations, "new")}
		}), "did not sign"},
		"a threshold above the keys": {edit("targets", "targets", func(f *forger, t *metadata.Targets) {
			t.Delegations.Roles[1].Threshold = 2
		}), "threshold of 2 and 1 usable keys"},
		"one key under two IDs": {edit("targets", "targets", func(f *forger, t *metadata.Targets) {
			id := t.Delegations.Roles[1].KeyIDs[0]
			t.Delegations.Keys["again"] = t.Delegations.Keys[id]
			t.Delegations.Roles[1].RoleKeys = metadata.RoleKeys{KeyIDs: []string{id, "again"}, Threshold: 2}
		}), "threshold of 2 and 1 usable keys"},
		"a second withdrawal role": {func(f *forger) map[string]*metadata.File {
			t := f.targets("targets")
			d := delegation(f, t.Delegations, "team", "team:*")
			d.Purpose = metadata.PurposeWithdrawal
			t.Delegations.Roles = append(t.Delegations.Roles, d)
			first := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: t.Expires}}
			return map[string]*metadata.File{"targets": f.file("targets", t.Canonical(), "targets"), "team": f.file("team", first.Canonical(), "new")}
		}, "first of targets"},
		"a role's name taken": {func(f *forger) map[string]*metadata.File {
			t := f.targets("releases")
			t.Delegations = &metadata.Delegations{Keys: metadata.Keys{}}
			t.Delegations.Roles = []metadata.Delegation{delegation(f, t.Delegations, "revocations", "net/x:*")}
			return map[string]*metadata.File{"releases": f.file("releases", t.Canonical(), "dev")}
		}, "role names are unique"},
		"a role twice in one proposal": {func(f *forger) map[string]*metadata.File {
			t, r := f.targets("targets"), f.targets("releases")
			r.Delegations = &metadata.Delegations{Keys: metadata.Keys{}}
			r.Delegations.Roles = []metadata.Delegation{delegation(f, r.Delegations, "team", "net/x:*")}
			t.Delegations.Roles = append(t.Delegations.Roles, delegation(f, t.Delegations, "team", "net/x:*"))
			first := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: t.Expires}}
			return map[string]*metadata.File{
				"targets": f.file("targets", t.Canonical(), "targets"), "releases": f.file("releases", r.Canonical(), "dev"), "team": f.file("team", first.Canonical(), "new"),
			}
		}, "role names are unique"},
		"a role that nobody delegates to": {func(f *forger) map[string]*metadata.File {
			t := f.targets("releases")
			first := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: t.Expires}}
			return map[string]*metadata.File{"releases": f.file("releases", t.Canonical(), "dev"), "team": f.file("team", first.Canonical(), "dev")}
		}, "no such role"},
		"a role that gave itself up": {func(f *forger) map[string]*metadata.File {
			_, err := f.p.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.GiveUp(ctx, "releases") })
			require.NoError(f.t, err)
			f.state, err = f.repo.Load(f.t.Context())
			require.NoError(f.t, err)
			t := f.targets("releases")
			t.Revoked = false
			t.Targets = map[string]metadata.Target{"net/app:2": fixtures.Target("two")}
			return map[string]*metadata.File{"releases": f.file("releases", t.Canonical(), "dev")}
		}, "gave itself up"},
		"a withdrawal role that delegates": {func(f *forger) map[string]*metadata.File {
			t := f.targets("revocations")
			t.Delegations = &metadata.Delegations{Keys: metadata.Keys{}}
			t.Delegations.Roles = []metadata.Delegation{delegation(f, t.Delegations, "team", "team:*")}
			return map[string]*metadata.File{"revocations": f.file("revocations", t.Canonical(), "revocations")}
		}, "delegates nothing"},
		"hash bins": {edit("releases", "dev", func(f *forger, t *metadata.Targets) {
			t.Delegations = &metadata.Delegations{Keys: metadata.Keys{}}
			t.Delegations.Succinct = &metadata.SuccinctRoles{BitLength: 1, NamePrefix: "bin", RoleKeys: metadata.RoleKeys{KeyIDs: []string{f.key(t.Delegations, "new")}, Threshold: 1}}
		}), "hash bins"},
		"a malformed pattern": {edit("targets", "targets", func(_ *forger, t *metadata.Targets) {
			t.Delegations.Roles[1].Paths = append([]string{"net/[:*"}, t.Delegations.Roles[1].Paths...)
		}), "pattern"},
		"an agreement that is out of reach": {func(f *forger) map[string]*metadata.File {
			t := f.targets("targets")
			t.Delegations.Roles = append(t.Delegations.Roles, delegation(f, t.Delegations, "team", "team:*"))
			t.Delegations.Roles[1].Agreement = &metadata.Agreement{Roles: []string{"releases", "team"}, Min: 2}
			first := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: t.Expires}}
			return map[string]*metadata.File{"targets": f.file("targets", t.Canonical(), "targets"), "team": f.file("team", first.Canonical(), "new")}
		}, "agreement"},
		"a bad role name": {func(f *forger) map[string]*metadata.File {
			t := f.targets("targets")
			t.Delegations.Roles = append(t.Delegations.Roles, delegation(f, t.Delegations, "../team", "team:*"))
			first := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: t.Expires}}
			return map[string]*metadata.File{"targets": f.file("targets", t.Canonical(), "targets"), "../team": f.file("../team", first.Canonical(), "new")}
		}, "no role name"},
		"a root":                      {root(func(f *forger, r *metadata.Root) { r.Expires = r.Expires.Add(time.Hour) }), ""},
		"a root of another publisher": {root(func(_ *forger, r *metadata.Root) { r.Carnet.ID = strings.Repeat("0", 32) }), "publisher id"},
		"a root that nobody can sign": {root(func(_ *forger, r *metadata.Root) {
			rk := r.Roles["targets"]
			rk.Threshold = 2
			r.Roles["targets"] = rk
		}), "threshold of 2 and 1 usable keys"},
		"a withdrawn artifact": {func(f *forger) map[string]*metadata.File {
			r, w := f.targets("releases"), f.targets("revocations")
			n := metadata.Notice{Digest: withdrawn, Reason: "bad", At: fixtures.Epoch}
			w.Targets[metadata.WithdrawnPath(withdrawn)] = n.Entry()
			r.Targets["net/app:2"] = metadata.NewTarget(4, withdrawn)
			return map[string]*metadata.File{"releases": f.file("releases", r.Canonical(), "dev"), "revocations": f.file("revocations", w.Canonical(), "revocations")}
		}, "is withdrawn"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForger(t)
			v, err := f.review(c.make(f))
			if c.want == "" {
				require.NoError(t, err)
				require.True(t, v.Complete())
				return
			}
			require.ErrorIs(t, err, tuf.ErrProposal)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// A signature that does not verify, or by a key that nobody lists, is not
// counted, and not handed on.
func TestForgedSignaturesAreLeftOut(t *testing.T) {
	f := newForger(t)
	edited := f.targets("releases")
	edited.Targets["net/app:2"] = fixtures.Target("two")
	good := f.file("releases", edited.Canonical(), "dev")
	forged, err := metadata.Decode("releases", metadata.Seal(good.Signed, []metadata.Signature{
		{KeyID: f.p.Key("dev").Key().ID(), Sig: make([]byte, 64)}, {KeyID: f.p.Key("stranger").Key().ID(), Sig: make([]byte, 64)},
	}))
	require.NoError(t, err)
	_, err = f.review(map[string]*metadata.File{"releases": forged})
	require.ErrorIs(t, err, tuf.ErrProposal)

	// A forged copy does not take the place of the true one.
	a, err := tuf.NewProposal(map[string]*metadata.File{"releases": forged})
	require.NoError(t, err)
	b, err := tuf.NewProposal(map[string]*metadata.File{"releases": good})
	require.NoError(t, err)
	for _, copies := range [][]*tuf.Proposal{{a, b}, {b, a}} {
		v, err := f.repo.Review(t.Context(), f.state, copies...)
		require.NoError(t, err)
		require.Len(t, v.Proposal.File("releases").Signatures, 1)
		require.True(t, v.Complete())
	}
}

// Who may push, and has no key, cannot hide or break proposals: what is listed
// and is none is passed by.
func TestGarbageBesideProposals(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	dev := newMember(t, p, "dev")
	v := dev.proposes(target("releases", "app:1", "one"))
	trust := reg.Repository(t, "trust")
	hash := tuf.RoleHash("releases")
	for _, tag := range []string{
		"proposal." + hash + ".000000000002.0123456789ab", // of the version
		"proposal." + hash + ".000000000001.0123456789ab", // over
		"proposal." + hash + ".000000000009.0123456789ab", // of none yet
		"proposal." + tuf.RoleHash("nobody") + ".000000000002.0123456789ab", "proposal.x", "proposal." + hash + ".2.0123456789ab",
	} {
		trust.PushImage(t, tag, tag)
	}
	require.Equal(t, v.Proposal.ID(), dev.only().Proposal.ID())

	r := dev.repo()
	s, err := r.Load(t.Context())
	require.NoError(t, err)
	gone, err := r.DropOver(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []string{"proposal." + hash + ".000000000001.0123456789ab"}, gone)
	gone, err = r.Prune(t.Context(), tuf.DefaultPruning)
	require.NoError(t, err)
	require.Equal(t, []string{"proposal." + hash + ".000000000002.0123456789ab"}, gone, "what is none, and is read each time")
	require.Len(t, newMember(t, p, "online").refresh(), 1)
	requireListed(t, p, "app:1", "one")
}

// A list is long, and what is read of it is bounded.
func TestBoundedNumberOfProposalsIsRead(t *testing.T) {
	w := newForger(t)
	b := &stuffed{n: 1000}
	opts := w.p.Options()
	opts.Ballot = b
	r := tuf.NewRepository(opts)
	s, err := r.Load(t.Context())
	require.NoError(t, err)
	_, err = r.Proposals(t.Context(), s)
	require.NoError(t, err)
	require.EqualValues(t, tuf.MaxProposals, b.reads.Load())
	require.EqualValues(t, 4, b.fetches.Load(), "the others are together larger than a machine bears")
}

// stuffed is a ballot that somebody filled.
type stuffed struct {
	n              int
	reads, fetches atomic.Int64
}

func (b *stuffed) Proposals(context.Context) ([]tuf.Nomination, error) {
	return slices.Repeat([]tuf.Nomination{{Role: tuf.RoleHash("releases"), Version: 3}}, b.n), nil
}

// Each says that it is as large as a file may be.
func (b *stuffed) ReadProposal(context.Context, tuf.Nomination) ([]tuf.File, error) {
	b.reads.Add(1)
	return []tuf.File{{Role: "releases", Version: 3, Length: metadata.MaxTargets, Digest: digest.FromString("x")}}, nil
}

func (b *stuffed) Fetch(context.Context, tuf.File) ([]byte, error) {
	b.fetches.Add(1)
	return []byte("{}"), nil
}

func (b *stuffed) PushProposal(context.Context, string, int64, []tuf.File) (tuf.Nomination, error) {
	return tuf.Nomination{}, errors.ErrUnsupported
}

func (b *stuffed) DropProposals(context.Context, ...tuf.Nomination) error { return nil }

// What a preview cannot show in full nobody signs, whoever proposed it.
func TestSignerRefusesWhatCannotBeShown(t *testing.T) {
	f := newForger(t)
	_, err := f.p.Publish(given(f.p, "releases", 2, "dev", "dev2"))
	require.NoError(t, err)
	f.state, err = f.repo.Load(t.Context())
	require.NoError(t, err)
	edited := f.targets("releases")
	edited.Targets["net/app:2"] = fixtures.Target("two")
	signer := newMember(t, f.p, "dev2")
	for name, hidden := range map[string]bool{"shown": false, "hidden": true} {
		value := edited.Value()
		if hidden {
			value = value.With("x-more", metadata.Text("something that this version does not know"))
		}
		p, err := tuf.NewProposal(map[string]*metadata.File{"releases": f.file("releases", value.Canonical(), "dev")})
		require.NoError(t, err)
		r := signer.repo()
		v, err := r.Review(t.Context(), f.state, p)
		require.NoError(t, err, name)
		_, err = r.Approve(t.Context(), v)
		if hidden {
			require.ErrorIs(t, err, tuf.ErrNotShown)
		} else {
			require.NoError(t, err)
			_, err = signer.record.Forget("")
			require.NoError(t, err)
		}
	}
}
