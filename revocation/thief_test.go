package revocation_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// watched is a journal on which something happens while a writer's draft is
// pushed and not yet listed.
type watched struct {
	tuf.Journal
	meanwhile func()
}

func (w *watched) List(ctx context.Context) ([]tuf.Entry, error) {
	if f := w.meanwhile; f != nil {
		w.meanwhile = nil
		f()
	}
	return w.Journal.List(ctx)
}

// blind is the journal of a writer who does not look at what others do.
type blind struct{ tuf.Journal }

func (b blind) List(context.Context) ([]tuf.Entry, error) { return nil, nil }

// A thief writes while the key is revoked, on a real registry: with the key of
// a role, with one of targets, with one that is a writer's as well. What only
// that key signed is in no state that follows.
func TestThiefWritesWhileTheKeyIsRevoked(t *testing.T) {
	evil := func(role string) func(context.Context, *tuf.Draft) error {
		return entry(role, "net-monitor:evil", fixtures.Target("evil"))
	}
	add := func(p *fixtures.Publisher, roles ...string) {
		t.Helper()
		_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
			for _, role := range roles {
				keys, rk, err := d.KeysOf(ctx, role)
				if err != nil {
					return err
				}
				k := p.Key("thief").Key()
				keys[k.ID()] = k
				if err := d.SetKeys(ctx, role, keys, rk.Threshold); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		roles []string // that list the key
		has   []string // keys that the thief has besides
		write func(*fixtures.Publisher) func(context.Context, *tuf.Draft) error
	}{
		"a delegated role's": {[]string{"releases"}, []string{"online"}, func(*fixtures.Publisher) func(context.Context, *tuf.Draft) error { return evil("releases") }},
		"of targets": {[]string{"targets"}, []string{"online", "own"}, func(p *fixtures.Publisher) func(context.Context, *tuf.Draft) error {
			k := p.Key("own").Key()
			return func(ctx context.Context, d *tuf.Draft) error {
				r := metadata.Delegation{Name: "evil", Paths: []string{"net-monitor:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1}}
				if err := d.Delegate(ctx, "targets", r, metadata.Keys{k.ID(): k}); err != nil {
					return err
				}
				return evil("evil")(ctx, d)
			}
		}},
		"a writer's and a role's": {[]string{"snapshot", "timestamp", "releases"}, nil, func(*fixtures.Publisher) func(context.Context, *tuf.Draft) error { return evil("releases") }},
	} {
		t.Run(name, func(t *testing.T) {
			p := fixtures.NewPublisher(t, fixtures.Distribution(t).Host+"/trust", registrystore.Options{})
			p.Key("thief")
			p.Key("own")
			p.Delegate("releases", "net-monitor", "dev")
			add(p, c.roles...)
			_, err := p.Sign("releases", "net-monitor:1", "one")
			require.NoError(t, err)

			thief := p.Options()
			thief.Keys, thief.Journal = p.Keyring(append(c.has, "thief")...), blind{thief.Journal}
			write := c.write(p)
			opts := p.Options()
			opts.Keys = p.Keyring("root", "targets", "online", "dev")
			opts.Journal = &watched{opts.Journal, func() {
				_, err := tuf.NewRepository(thief).Publish(t.Context(), nil, write)
				require.NoError(t, err)
			}}
			id := identity(t, p.Key("thief").Key())
			_, err = tuf.NewRepository(opts).Publish(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
				impacts, err := revocation.Impacts(ctx, d, opts.Keys, id, "")
				if err != nil {
					return err
				}
				require.Len(t, impacts, len(c.roles))
				return revocation.RevokeKey(ctx, d, id, impacts)
			})
			require.NoError(t, err)
			check := func() {
				t.Helper()
				f, err := p.Client().Lookup(t.Context(), "net-monitor:evil")
				require.NoError(t, err)
				require.False(t, f.Listed, "the thief's entry was laundered")
				f, err = p.Client().Lookup(t.Context(), "net-monitor:1")
				require.NoError(t, err)
				require.True(t, f.Listed)
			}
			check()
			// The thief goes on; so does the publisher.
			thief.Store = tuf.MemoryStore{}
			_, err = tuf.NewRepository(thief).Publish(t.Context(), nil, write)
			require.Error(t, err, "the key is worth nothing any more")
			_, err = p.Sign("releases", "net-monitor:2", "two")
			require.NoError(t, err)
			check()
		})
	}
}

// One role may have several delegators: the key goes from each delegation.
func TestKeyIsRevokedInEveryDelegation(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("one", "net-monitor", "dev")
	p.Delegate("two", "tool", "dev")
	p.Key("stolen")
	shared := keys(p, "stolen", "dev")
	trust := func(delegator string) func(context.Context, *tuf.Draft) error {
		return func(ctx context.Context, d *tuf.Draft) error {
			t, err := d.Edit(ctx, delegator)
			if err != nil {
				return err
			}
			r := metadata.Delegation{Name: "shared", Paths: []string{"*"}, RoleKeys: metadata.RoleKeys{Threshold: 1}}
			for id := range shared {
				r.KeyIDs = append(r.KeyIDs, id)
			}
			t.Delegations = &metadata.Delegations{Keys: shared, Roles: []metadata.Delegation{r}}
			return nil
		}
	}
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		k := p.Key("dev").Key()
		r := metadata.Delegation{Name: "shared", Paths: []string{"*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1}}
		if err := d.Delegate(ctx, "one", r, metadata.Keys{k.ID(): k}); err != nil {
			return err
		}
		if err := trust("one")(ctx, d); err != nil {
			return err
		}
		return trust("two")(ctx, d)
	})
	require.NoError(t, err)
	_, err = revoke(p, p.Keyring("dev", "online"), identity(t, p.Key("stolen").Key()))
	require.NoError(t, err)
	c := p.Client()
	for _, delegator := range []string{"one", "two"} {
		e, err := c.Edge(t.Context(), delegator)
		require.NoError(t, err)
		f, err := c.Open(t.Context(), e)
		require.NoError(t, err)
		require.Len(t, f.Delegations.Roles[0].KeyIDs, 1, delegator)
		require.Len(t, f.Delegations.Keys, 1, delegator)
	}
	require.NotNil(t, c)
}
