package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// theft is a random publisher and what is to be done about a stolen key.
type theft struct {
	*world
	rng   *rand.Rand
	p     *fixtures.Publisher
	keys  []string
	roles []string
	names []string
}

func newTheft(w *world, seed uint64) *theft {
	x := &theft{world: w, rng: rand.New(rand.NewPCG(seed, 1)), keys: []string{"k0", "k1", "k2", "k3"}}
	name := fmt.Sprintf("p%d", seed)
	x.p = fixtures.NewPublisher(w, w.reg.Host+"/trust/"+name, registrystore.Options{})
	w.root(name, x.p.Root)
	w.policy(fmt.Sprintf(`
version: 1
publishers:
  %s: {root: roots/%s.json, repositories: [HOST/trust/%s]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: %s}]}
`, name, name, name, name))
	for _, k := range x.keys {
		x.p.Key(k)
	}
	for i := range 2 + x.rng.IntN(2) {
		role := fmt.Sprintf("role%d", i)
		x.roles = append(x.roles, role)
		x.p.Delegate(role, "**", x.some()...)
	}
	if x.rng.IntN(2) == 0 { // keys of TUF's own roles beside the first ones
		x.change(x.p.Keyring(), func(ctx context.Context, d *tuf.Draft) error {
			for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
				keys, rk, err := d.KeysOf(ctx, role)
				if err != nil {
					return err
				}
				k := x.p.Key(x.keys[x.rng.IntN(len(x.keys))]).Key()
				keys[k.ID()] = k
				if err := d.SetKeys(ctx, role, keys, rk.Threshold); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return x
}

// some are one to three keys.
func (x *theft) some() []string {
	list := slices.Clone(x.keys)
	x.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:1+x.rng.IntN(3)]
}

func (x *theft) change(ring tuf.Keys, f func(context.Context, *tuf.Draft) error) {
	x.Helper()
	opts := x.p.Options()
	opts.Keys = ring
	_, err := tuf.NewRepository(opts).Publish(x.Context(), nil, f)
	require.NoError(x, err)
}

// sign lets some role vouch for something, by any of its keys or all.
func (x *theft) sign() {
	name := fmt.Sprintf("app%d", x.rng.IntN(2))
	a := x.push(name, "1", fmt.Sprint("content ", x.rng.IntN(3)))
	x.names = append(x.names, name+":1")
	role := x.roles[x.rng.IntN(len(x.roles))]
	x.change(x.p.Keyring(), func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return err
		}
		for _, path := range a.Paths() {
			if err := d.SetTarget(ctx, e, path, metadata.NewTarget(a.Size, a.Digest)); err != nil {
				return err
			}
		}
		return nil
	})
}

var errLook = errors.New("only to be looked at")

// said is what the verifier of policy says of the artifact of each effect.
func (x *theft) said(effects []revocation.Effect) (out []string) {
	x.Helper()
	for _, e := range effects {
		path, err := metadata.ParsePath(e.Path)
		require.NoError(x, err)
		ref := "HOST/" + path.Name + "@" + e.Digest.String()
		if path.Tag != "" {
			ref = "HOST/" + path.Name + ":" + path.Tag + "@" + e.Digest.String()
		}
		opts := x.opts
		x.opts.Resolve = true // what is at the location is another matter
		r := x.verify(ref).Results[0]
		x.opts = opts
		word := string(r.Reason)
		if n := len(r.Chain); n > 0 && (r.Reason == verify.OK || r.Reason == verify.DigestMismatch) {
			word += " by " + r.Chain[n-1]
		}
		out = append(out, word)
	}
	return out
}

func befores(effects []revocation.Effect) (out []string) {
	for _, e := range effects {
		out = append(out, e.Before.String())
	}
	return out
}

func afters(effects []revocation.Effect) (out []string) {
	for _, e := range effects {
		out = append(out, e.After.String())
	}
	return out
}

// What a dry run says of each artifact is what a verifier says of it, before
// and after it was done: for random publishers, and keys that are revoked, or
// roles that give themselves up.
func TestImpactIsWhatVerifiersSay(t *testing.T) {
	w := newWorld(t)
	done := map[string]int{}
	for seed := range uint64(24) {
		x := newTheft(w, seed)
		for range 2 + x.rng.IntN(5) {
			x.sign()
		}
		key, role := x.keys[x.rng.IntN(len(x.keys))], x.roles[x.rng.IntN(len(x.roles))]
		identity, err := tuf.KeyIdentity(x.p.Key(key).Key())
		require.NoError(t, err)
		edit := func(ctx context.Context, d *tuf.Draft) ([]revocation.Effect, error) {
			return revocation.GiveUp(ctx, d, role)
		}
		if seed%3 > 0 {
			edit = func(ctx context.Context, d *tuf.Draft) ([]revocation.Effect, error) {
				impacts, err := revocation.Impacts(ctx, d, x.p.Keyring(), identity, "")
				if err != nil {
					return nil, err
				}
				if err := revocation.RevokeKey(ctx, d, identity, impacts); err != nil {
					return nil, err
				}
				listings, err := revocation.Affected(ctx, d, impacts)
				if err != nil {
					return nil, err
				}
				return revocation.Effects(ctx, d, listings)
			}
		}
		var effects []revocation.Effect
		dry := func(ctx context.Context, d *tuf.Draft) error {
			var err error
			if effects, err = edit(ctx, d); err == nil {
				err = errLook
			}
			return err
		}
		_, err = x.p.Publish(dry)
		if errors.Is(err, revocation.ErrBelowThreshold) || errors.Is(err, revocation.ErrKeyUnused) {
			done["refused"]++
			continue
		}
		require.ErrorIs(t, err, errLook)
		require.Equal(t, x.said(effects), befores(effects), "seed %d, before", seed)
		_, err = x.p.Publish(func(ctx context.Context, d *tuf.Draft) error { _, err := edit(ctx, d); return err })
		require.NoError(t, err)
		require.Equal(t, x.said(effects), afters(effects), "seed %d, after", seed)
		for _, e := range effects {
			done[e.Before.Reason+" -> "+e.After.Reason]++
		}
	}
	t.Log(done)
	for _, kind := range []string{"refused", "ok -> ok", "ok -> not-listed", "ok -> digest-mismatch"} {
		require.NotZero(t, done[kind], kind)
	}
}
