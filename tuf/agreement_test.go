package tuf_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// trusting returns a delegation of net-monitor to a role that the keys with
// these names sign, and that demands an agreement unless a is nil.
func trusting(p *fixtures.Publisher, role string, a *metadata.Agreement, keys ...string) (metadata.Delegation, metadata.Keys) {
	d := metadata.Delegation{Name: role, Paths: []string{"net-monitor:*", "net-monitor@*"}, RoleKeys: metadata.RoleKeys{Threshold: 1}, Agreement: a}
	all := metadata.Keys{}
	for _, name := range keys {
		k := p.Key(name).Key()
		all[k.ID()], d.KeyIDs = k, append(d.KeyIDs, k.ID())
	}
	return d, all
}

// agreeing is a publisher of which dev and security must list the same.
func agreeing(t *testing.T) *fixtures.Publisher {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("dev", "net-monitor", "dev")
	d, keys := trusting(p, "security", &metadata.Agreement{Roles: []string{"dev", "security"}, Min: 2}, "sec")
	_, err := p.Publish(func(ctx context.Context, draft *tuf.Draft) error { return draft.Delegate(ctx, "targets", d, keys) })
	require.NoError(t, err)
	return p
}

func lookup(t *testing.T, p *fixtures.Publisher, path string) *tuf.Finding {
	t.Helper()
	f, err := p.Client().Lookup(t.Context(), path)
	require.NoError(t, err)
	return f
}

// Whoever has the key of one role, and that of snapshot and timestamp, passes
// nothing: neither a new artifact, nor an old name for another, nor what a
// role of his own making lists.
func TestOneStolenKeyPassesNothing(t *testing.T) {
	p := agreeing(t)
	good, evil := artifact("net-monitor", "1.0", "good"), artifact("net-monitor", "1.0", "evil")
	for _, role := range []string{"dev", "security"} {
		_, err := vouchAs(t, p, tuf.Vouching{Role: role}, good)
		require.NoError(t, err)
	}
	require.True(t, lookup(t, p, "net-monitor:1.0").Listed)

	thief := p.Options()
	thief.Keys = p.Keyring("dev", "online")
	steal := func(change func(context.Context, *tuf.Draft) error) {
		t.Helper()
		_, err := tuf.NewRepository(thief).Publish(t.Context(), nil, change)
		require.NoError(t, err)
	}
	steal(func(ctx context.Context, d *tuf.Draft) error {
		_, err := d.Vouch(ctx, tuf.Vouching{Role: "dev"}, evil)
		return err
	})
	for _, path := range evil.Paths() {
		f := lookup(t, p, path)
		require.False(t, f.Listed, path)
		require.Zero(t, f.Target.Length)
		require.NotNil(t, f.Disagreement)
	}
	require.True(t, lookup(t, p, "net-monitor@"+good.Digest.String()).Listed, "what both list passes on")

	// Below dev he makes roles as he likes, also one that he calls as the
	// other is called. The other's file speaks for the other alone.
	d, keys := trusting(p, "own", nil, "dev")
	steal(func(ctx context.Context, draft *tuf.Draft) error { return draft.Delegate(ctx, "dev", d, keys) })
	steal(target("own", "net-monitor:2.0", "evil"))
	steal(func(ctx context.Context, draft *tuf.Draft) error {
		f, err := draft.Edit(ctx, "dev")
		other, keys := trusting(p, "security", nil, "sec")
		f.Delegations.Roles = append(f.Delegations.Roles, other)
		f.Delegations.Keys[other.KeyIDs[0]] = keys[other.KeyIDs[0]]
		return err
	})
	require.NotNil(t, lookup(t, p, "net-monitor:2.0").Disagreement)
	require.NotNil(t, lookup(t, p, "net-monitor:1.0").Disagreement)
}

// A role that must agree and cannot be read ends the lookup: nothing passes
// while what it says is not known.
func TestAgreementFailsClosed(t *testing.T) {
	setup := func() *tufrepository.Repository {
		repo := tufrepository.New(start)
		delegate(repo, "targets", tufrepository.Delegation{Name: "dev"})
		delegate(repo, "targets", tufrepository.Delegation{Name: "security"})
		demand(repo, "security", 2, "dev", "security")
		repo.AddTarget("dev", "x", []byte("x"))
		repo.AddTarget("security", "x", []byte("x"))
		repo.PublishAll()
		return repo
	}
	for name, c := range map[string]struct {
		spoil func(*tufrepository.Repository)
		want  error
	}{
		"it agrees":             {func(*tufrepository.Repository) {}, nil},
		"it is expired":         {func(r *tufrepository.Repository) { r.Expire("security", start) }, tuf.ErrExpired},
		"another key signed it": {func(r *tufrepository.Repository) { r.Signers["security"] = r.Signers["dev"] }, tuf.ErrThreshold},
		"it is not listed": {func(r *tufrepository.Repository) {
			delete(r.Signed["snapshot"]["meta"].(tufrepository.Object), "security.json")
		}, tuf.ErrInvalid},
		"it is no file":               {func(r *tufrepository.Repository) { r.Signed["security"]["version"] = -1 }, tuf.ErrInvalid},
		"the agreement is of nobody":  {func(r *tufrepository.Repository) { demand(r, "security", 2, "dev", "nobody") }, tuf.ErrInvalid},
		"the agreement is of one":     {func(r *tufrepository.Repository) { demand(r, "security", 1, "dev", "security") }, tuf.ErrInvalid},
		"the agreement may be missed": {func(r *tufrepository.Repository) { delete(demand(r, "security", 2, "dev", "security"), "critical") }, tuf.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			repo := setup()
			f := follow(t, repo)
			c.spoil(repo)
			if name == "it is not listed" {
				repo.Publish("snapshot", "timestamp")
			} else {
				repo.PublishAll()
			}
			client, err := f.refresh(mirrorOf("m", repo))
			var found *tuf.Finding
			if err == nil {
				found, err = client.Lookup(t.Context(), "x")
			}
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.True(t, found.Listed)
			require.Equal(t, []string{"dev", "security"}, found.Agreeing)
			require.Equal(t, []string{"targets", "dev", "security"}, found.Visited)
			require.Contains(t, found.Version, "security")
		})
	}
}

// demand lets the delegation of targets to role demand an agreement.
func demand(repo *tufrepository.Repository, role string, n int, roles ...any) tufrepository.Object {
	x := tufrepository.Object{"agreement": tufrepository.Object{"roles": roles, "min": n}, "critical": []any{"agreement"}}
	for _, d := range repo.Signed["targets"]["delegations"].(tufrepository.Object)["roles"].([]any) {
		if d.(tufrepository.Object)["name"] == role {
			d.(tufrepository.Object)["carnet"] = x
		}
	}
	return x
}

// Other TUF clients verify all files, and find what the first role lists.
func TestOtherClientsReadFilesWithAnAgreement(t *testing.T) {
	d := newDuel(t)
	delegate(d.repo, "targets", tufrepository.Delegation{Name: "dev"})
	delegate(d.repo, "targets", tufrepository.Delegation{Name: "security"})
	demand(d.repo, "security", 2, "dev", "security")
	d.repo.AddTarget("dev", "file", []byte("x"))
	d.repo.PublishAll()
	ourHash, theirHash, ours, theirs := d.verdicts("file")
	require.NoError(t, ours)
	require.NoError(t, theirs)
	require.Empty(t, ourHash)
	require.Equal(t, tufrepository.Sum("sha256", []byte("x")), theirHash, "they do not know of agreement")
	d.repo.AddTarget("security", "file", []byte("x"))
	d.repo.PublishAll()
	require.True(t, d.same("file", "both list it"))
	ourHash, _, _, _ = d.verdicts("file")
	require.NotEmpty(t, ourHash)
}

func TestDownloadNeedsTheAgreement(t *testing.T) {
	repo := tufrepository.New(start)
	delegate(repo, "targets", tufrepository.Delegation{Name: "dev"})
	delegate(repo, "targets", tufrepository.Delegation{Name: "security"})
	demand(repo, "security", 2, "dev", "security")
	repo.AddTarget("dev", "x", []byte("x"))
	repo.PublishAll()
	to, err := tuf.NewDownloads("http://localhost:1/", nil, t.TempDir())
	require.NoError(t, err)
	_, err = follow(t, repo).ok(mirrorOf("m", repo)).Download(t.Context(), "x", to)
	require.ErrorIs(t, err, tuf.ErrNotListed)
	require.ErrorContains(t, err, "security does not list it")
}

// A search among roles that ask each other ends with its deadline too.
func TestLookupEndsWithItsContext(t *testing.T) {
	c := agreeing(t).Client()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, err := c.Lookup(ctx, "net-monitor:1.0")
	require.ErrorIs(t, err, tuf.ErrUnreachable, "no verdict")
}

func TestPendingSaysWhoIsMissing(t *testing.T) {
	p := agreeing(t)
	d, keys := trusting(p, "qa", nil, "qa")
	_, err := p.Publish(func(ctx context.Context, draft *tuf.Draft) error { return draft.Delegate(ctx, "targets", d, keys) })
	require.NoError(t, err)
	a, b := artifact("net-monitor", "1.0", "a"), artifact("net-monitor", "1.0", "b")
	says := func(role string, a tuf.Artifact) (out []tuf.Pending) {
		t.Helper()
		_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
			_, err := d.Vouch(ctx, tuf.Vouching{Role: role}, a)
			if err == nil {
				out, err = d.Pending(ctx, role, a)
			}
			return err
		})
		require.NoError(t, err)
		return out
	}
	out := says("dev", a)
	require.Len(t, out, 2)
	require.Equal(t, tuf.Pending{Path: "net-monitor:1.0", Digest: a.Digest, Missing: []string{"security"}, More: 1}, out[1])
	require.Equal(t, "recorded; passes when the same digest is listed by security", out[1].String())
	require.Empty(t, says("security", a))

	require.Len(t, says("security", b), 2, "any of them may be the first to move a tag")
	require.Len(t, says("dev", a), 1, "by digest it passes; the tag is in dispute")
	_, err = vouchAs(t, p, tuf.Vouching{Role: "qa"}, b)
	require.ErrorIs(t, err, tuf.ErrShadowed, "whose agreement nobody demands must not contradict")

	_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		return d.SetAgreement(ctx, "security", &metadata.Agreement{Roles: []string{"dev", "security", "qa"}, Min: 2})
	})
	require.NoError(t, err)
	out = says("qa", a)
	require.Empty(t, out)
	out = says("qa", b)
	require.Equal(t, []string{"dev"}, out[0].Missing, "the one that is found first")
	require.Empty(t, says("dev", b))

	out = says("qa", a)
	require.Equal(t, b.Digest, out[0].Passing)
	require.Equal(t, "recorded; "+b.Digest.String()+" passes until enough of dev, security list the same digest", out[0].String())
}

// A role that a terminating one hides can agree all the same.
func TestHiddenRoleMaySign(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	dev, keys := trusting(p, "dev", nil, "dev")
	dev.Terminating = true
	security, more := trusting(p, "security", &metadata.Agreement{Roles: []string{"dev", "security"}, Min: 2}, "sec")
	_, err := p.Publish(func(ctx context.Context, draft *tuf.Draft) error {
		return errors.Join(draft.Delegate(ctx, "targets", dev, keys), draft.Delegate(ctx, "targets", security, more))
	})
	require.NoError(t, err)
	a := artifact("net-monitor", "1.0", "a")
	for _, role := range []string{"dev", "security"} {
		_, err := vouchAs(t, p, tuf.Vouching{Role: role}, a)
		require.NoError(t, err)
	}
	require.True(t, lookup(t, p, "net-monitor:1.0").Listed)
}

func TestImpossibleAgreements(t *testing.T) {
	p := agreeing(t)
	p.Delegate("qa", "net-monitor", "qa")
	p.Delegate("other", "other", "other")
	p.Delegate("all", "**", "all")
	try := func(change func(context.Context, *tuf.Draft) error) error {
		_, err := p.Publish(change)
		return err
	}
	set := func(role string, n int, roles ...string) func(context.Context, *tuf.Draft) error {
		return func(ctx context.Context, d *tuf.Draft) error {
			return d.SetAgreement(ctx, role, &metadata.Agreement{Roles: roles, Min: n})
		}
	}
	remove := func(role string) func(context.Context, *tuf.Draft) error {
		return func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, role) }
	}
	for name, c := range map[string]struct {
		change func(context.Context, *tuf.Draft) error
		says   string
	}{
		"of one":                   {set("dev", 1, "dev", "qa"), "1 of 2"},
		"of more than there are":   {set("dev", 3, "dev", "qa"), "3 of 2"},
		"twice":                    {set("dev", 2, "dev", "dev"), "named twice"},
		"of nobody":                {set("dev", 2, "dev", "nobody"), `"nobody" must be`},
		"of the withdrawal role":   {set("dev", 2, "dev", "revocations"), `"revocations" must be`},
		"at the withdrawal role":   {set("revocations", 2, "dev", "qa"), "withdrawal role"},
		"outside":                  {set("dev", 2, "dev", "other"), `"other" is not trusted with net-monitor:*`},
		"narrower":                 {set("all", 2, "all", "dev"), `"dev" is not trusted with *`},
		"without one":              {remove("dev"), `without "dev" nothing would pass`},
		"without the one at which": {remove("security"), "delegate agree security --none"},
		"a key of both": {func(ctx context.Context, d *tuf.Draft) error {
			sec, qa := p.Key("sec").Key(), p.Key("qa").Key()
			return d.SetKeys(ctx, "dev", metadata.Keys{sec.ID(): sec, qa.ID(): qa}, 1)
		}, "in common"},
	} {
		t.Run(name, func(t *testing.T) {
			err := try(c.change)
			require.ErrorIs(t, err, tuf.ErrImpossible)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.NoError(t, try(set("security", 2, "dev", "security", "qa", "all")), "a wider role covers")
	require.NoError(t, try(remove("all")))
	top, err := p.Client().Targets(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"dev", "security", "qa"}, top.Delegations.Roles[2].Agreement.Roles, "who is not needed leaves it")
	require.NoError(t, try(func(ctx context.Context, d *tuf.Draft) error { return d.SetAgreement(ctx, "security", nil) }))
	require.NoError(t, try(remove("security")))
}

// In a join an agreement that one side changed stands; two that differ, and
// one that the other side made impossible, are for a person.
func TestJoinOfAgreements(t *testing.T) {
	set := func(a *metadata.Agreement) func(context.Context, *tuf.Draft) error {
		return func(ctx context.Context, d *tuf.Draft) error { return d.SetAgreement(ctx, "c", a) }
	}
	of := func(n int, roles ...string) *metadata.Agreement { return &metadata.Agreement{Roles: roles, Min: n} }
	for name, c := range map[string]struct {
		before       *metadata.Agreement
		ours, theirs func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error
		want         *metadata.Agreement
		conflict     bool
	}{
		"one side": {
			ours: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "a", "c"))
			},
			theirs: threshold, want: of(2, "a", "c"),
		},
		"the other side": {
			ours: threshold,
			theirs: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "a", "c"))
			},
			want: of(2, "a", "c"),
		},
		"lifted on one side": {
			before: of(2, "a", "c"), ours: threshold,
			theirs: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error { return set(nil) },
		},
		"both, alike": {
			ours: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "a", "c"))
			},
			theirs: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "a", "c"))
			},
			want: of(2, "a", "c"),
		},
		"both, differently": {
			ours: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "a", "c"))
			},
			theirs: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "b", "c"))
			},
			conflict: true,
		},
		"changed and lifted": {
			before: of(2, "a", "c"),
			ours: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "b", "c"))
			},
			theirs:   func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error { return set(nil) },
			conflict: true,
		},
		"a party removed": {
			ours: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "b", "c"))
			},
			theirs: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, "b") }
			},
			conflict: true,
		},
		"a party gets another's key": {
			ours: func(*world, map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				return set(of(2, "b", "c"))
			},
			theirs: func(_ *world, keys map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
				b, c := keys["b"].Key(), keys["c"].Key()
				return func(ctx context.Context, d *tuf.Draft) error {
					return d.SetKeys(ctx, "b", metadata.Keys{b.ID(): b, c.ID(): c}, 1)
				}
			},
			conflict: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			keys := map[string]*tuf.SoftKey{"a": newKey(t), "b": newKey(t), "c": newKey(t)}
			for _, role := range []string{"a", "b", "c"} {
				w.keys = append(tuf.Keys{keys[role]}, w.keys...)
				w.must(w.delegation(role, "app", 1, keys[role]))
			}
			if c.before != nil {
				w.must(set(c.before))
			}
			var conflict *tuf.ConflictError
			err := w.meet(nil, c.ours(w, keys), func() {
				err := w.meet(nil, c.theirs(w, keys), nil)
				if c.conflict && err != nil { // both are told while both drafts are alive
					require.ErrorAs(t, err, &conflict)
				} else {
					require.NoError(t, err)
				}
			})
			if c.conflict {
				require.ErrorAs(t, err, &conflict)
				return
			}
			require.NoError(t, err)
			got := w.agreementAt("c")
			require.True(t, c.want.Equal(got), "%v", got)
		})
	}
}

// threshold changes something else of the delegation: its keys.
func threshold(_ *world, keys map[string]*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
	c := keys["c"].Key()
	other := fixtures.Key("another").Key()
	return func(ctx context.Context, d *tuf.Draft) error {
		return d.SetKeys(ctx, "c", metadata.Keys{c.ID(): c, other.ID(): other}, 1)
	}
}

func (w *world) agreementAt(role string) *metadata.Agreement {
	w.t.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: w.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{&seat{reg: w.reg}}, Now: fixtures.Epoch})
	require.NoError(w.t, err)
	require.NoError(w.t, c.Refresh(w.t.Context()))
	top, err := c.Targets(w.t.Context())
	require.NoError(w.t, err)
	for _, d := range top.Delegations.Roles {
		if d.Name == role {
			return d.Agreement
		}
	}
	return nil
}

func TestAgreementInAPreview(t *testing.T) {
	p := agreeing(t)
	p.Delegate("qa", "net-monitor", "qa")
	says := func(a *metadata.Agreement) string {
		list, err := tuf.NewRepository(p.Options()).Preview(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
			return d.SetAgreement(ctx, "security", a)
		})
		require.NoError(t, err)
		for _, d := range list {
			require.Empty(t, d.Hidden)
		}
		return words(t, list, nil)
	}
	require.Contains(t, says(&metadata.Agreement{Roles: []string{"dev", "security", "qa"}, Min: 3}),
		"  the role security: under its paths the agreement is demanded of qa\n  the role security: under its paths 3 of them must list the same, before 2\n")
	require.Contains(t, says(&metadata.Agreement{Roles: []string{"qa", "security"}, Min: 2}),
		"  the role security: under its paths the agreement is no longer demanded of dev\n")
	require.Contains(t, says(&metadata.Agreement{Roles: []string{"security", "dev"}, Min: 2}), "in another order")
	require.Contains(t, says(nil), "  the role security: under its paths one role is enough, where 2 had to agree\n")
}
