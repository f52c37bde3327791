package tuf_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// meet lets a writer with these keys make change, and while its draft is
// pushed and not yet listed, lets others happen.
func (w *world) meet(keys tuf.Keys, change func(context.Context, *tuf.Draft) error, others func()) error {
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		if f := others; step == "list" && f != nil {
			others = nil
			f()
		}
		return nil
	}
	opts := w.options(s)
	if keys != nil {
		opts.Keys = keys
	}
	_, err := tuf.NewRepository(opts).Publish(w.t.Context(), nil, change)
	return err
}

func (w *world) must(change func(context.Context, *tuf.Draft) error) {
	w.t.Helper()
	_, err := w.write(&seat{reg: w.reg}, change)
	require.NoError(w.t, err)
}

func (w *world) lookup(path string) *tuf.Finding {
	w.t.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: w.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{&seat{reg: w.reg}}, Now: fixtures.Epoch})
	require.NoError(w.t, err)
	require.NoError(w.t, c.Refresh(w.t.Context()))
	f, err := c.Lookup(w.t.Context(), path)
	require.NoError(w.t, err)
	return f
}

func target(role, path, content string) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, path, fixtures.Target(content))
	}
}

func drop(role, path string) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return err
		}
		return d.DropTarget(ctx, e, path)
	}
}

func (w *world) delegation(role, key string, threshold int, keys ...*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		r := metadata.Delegation{Name: role, Paths: []string{key + ":*"}, RoleKeys: metadata.RoleKeys{Threshold: threshold}}
		all := metadata.Keys{}
		for _, k := range keys {
			all[k.Key().ID()] = k.Key()
			r.KeyIDs = append(r.KeyIDs, k.Key().ID())
		}
		return d.Delegate(ctx, metadata.RoleTargets, r, all)
	}
}

func newKey(t testing.TB) *tuf.SoftKey {
	k, err := tuf.NewSoftKey(rand.Reader, tuf.KeyEd25519)
	require.NoError(t, err)
	return k
}

func TestJoinTellsTheLaterWriterOfAnotherDigest(t *testing.T) {
	w := newWorld(t)
	err := w.meet(nil, target("releases", "app:1", "mine"), func() {
		require.NoError(t, w.meet(nil, target("releases", "other:1", "x"), nil))
	})
	require.NoError(t, err)

	var conflict *tuf.ConflictError
	err = w.meet(nil, target("releases", "app:2", "mine"), func() {
		// This one lists the draft above and is told; nothing is lost.
		err := w.meet(nil, target("releases", "app:2", "theirs"), nil)
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, "app:2", conflict.What)
	})
	require.ErrorAs(t, err, &conflict, "while a draft that contradicts it is alive, neither commits")
	require.False(t, w.lookup("app:2").Listed)
}

func TestJoinKeepsARemoval(t *testing.T) {
	w := newWorld(t)
	w.must(target("releases", "app:1", "one"))
	err := w.meet(nil, target("releases", "app:2", "two"), func() { w.must(drop("releases", "app:1")) })
	require.NoError(t, err)
	require.False(t, w.lookup("app:1").Listed, "a removal wins over no change")
	require.True(t, w.lookup("app:2").Listed)
}

func TestJoinNeverSignsWhatAnUntrustedKeyWrote(t *testing.T) {
	w := newWorld(t)
	thief, dev := newKey(t), newKey(t)
	all := append(tuf.Keys{thief, dev}, w.keys...)
	w.keys = all
	w.must(w.delegation("apps", "app", 1, thief, dev))

	// The key is revoked while the thief, who does not look at what others
	// do, commits an entry.
	blind := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
	opts := w.options(blind)
	opts.Keys = tuf.Keys{thief, all[2]}
	revoke := func(ctx context.Context, d *tuf.Draft) error {
		return d.SetKeys(ctx, "apps", metadata.Keys{dev.Key().ID(): dev.Key()}, 1)
	}
	online := all[2]
	err := w.meet(nil, revoke, func() {
		_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, target("apps", "app:evil", "evil"))
		require.NoError(t, err)
	})
	require.NoError(t, err)
	require.False(t, w.lookup("app:evil").Listed, "the thief's entry was laundered by the join")

	require.NoError(t, w.meet(tuf.Keys{dev, online}, target("apps", "app:good", "good"), nil))
	require.True(t, w.lookup("app:good").Listed)
	require.False(t, w.lookup("app:evil").Listed)
}

func TestJoinOfRolesWithoutTheirKeys(t *testing.T) {
	w := newWorld(t)
	one, two := newKey(t), newKey(t)
	online := w.keys[0]
	w.keys = append(w.keys, one, two)
	w.must(w.delegation("ones", "one", 1, one))
	w.must(w.delegation("twos", "two", 1, two))
	// Each has the key of one role: each takes the other's file as it is.
	err := w.meet(tuf.Keys{one, online}, target("ones", "one:1", "x"), func() {
		require.NoError(t, w.meet(tuf.Keys{two, online}, target("twos", "two:1", "y"), nil))
	})
	require.NoError(t, err)
	require.True(t, w.lookup("one:1").Listed)
	require.True(t, w.lookup("two:1").Listed)
}

func TestRoleOfSeveralSignaturesIsNeverJoined(t *testing.T) {
	w := newWorld(t)
	a, b := newKey(t), newKey(t)
	w.keys = append(w.keys, a, b)
	w.must(w.delegation("pairs", "pair", 2, a, b))
	// A competing version that is committed: start over on top of it.
	tries := 0
	err := w.meet(nil, func(ctx context.Context, d *tuf.Draft) error {
		tries++
		return target("pairs", "pair:1", "x")(ctx, d)
	}, func() {
		require.ErrorIs(t, w.meet(nil, target("pairs", "pair:2", "y"), nil), tuf.ErrContended, "a living draft of the same role stands in the way")
	})
	require.ErrorIs(t, err, tuf.ErrContended)
	require.False(t, w.lookup("pair:1").Listed)
	require.Equal(t, 1, tries)
}

func TestWriterStartsOverOnACommittedVersionOfAThresholdRole(t *testing.T) {
	w := newWorld(t)
	a, b := newKey(t), newKey(t)
	w.keys = append(w.keys, a, b)
	w.must(w.delegation("pairs", "pair", 2, a, b))
	tries := 0
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		if step == "push draft" && tries == 1 {
			w.must(target("pairs", "pair:2", "y"))
		}
		return nil
	}
	_, err := w.write(s, func(ctx context.Context, d *tuf.Draft) error {
		tries++
		return target("pairs", "pair:1", "x")(ctx, d)
	})
	require.NoError(t, err)
	require.Equal(t, 2, tries)
	require.True(t, w.lookup("pair:1").Listed)
	require.True(t, w.lookup("pair:2").Listed)
}

func TestForgedPublicationsAreNotJoined(t *testing.T) {
	w := newWorld(t)
	forger := newWorld(t) // another publisher's, all properly signed by its own keys
	forger.must(target("releases", "app:evil", "evil"))
	err := w.meet(nil, target("releases", "app:1", "x"), func() {
		for tag, p := range forger.reg.tags {
			w.reg.tags[tag] = p
		}
		for d, raw := range forger.reg.blobs {
			w.reg.blobs[d] = raw
		}
	})
	require.NoError(t, err)
	require.False(t, w.lookup("app:evil").Listed)
	require.True(t, w.lookup("app:1").Listed)
}

func TestTwoPublishersAreNotMadeInOneRepository(t *testing.T) {
	w := &world{t: t, reg: &registry{tags: map[string]*tuf.Publication{}, blobs: map[digest.Digest][]byte{}}}
	w.keys = tuf.Keys{newKey(t), newKey(t)}
	spec := func(i int) tuf.Spec {
		list := []metadata.Key{w.keys[i].Key()}
		return tuf.Spec{Name: "w", Root: list, Targets: list, Withdrawals: list, Snapshot: list, Timestamp: list}
	}
	var other error
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		if step == "commit" {
			s.before = nil
			_, _, other = tuf.Create(t.Context(), w.options(&seat{reg: w.reg}), spec(1))
		}
		return nil
	}
	_, _, err := tuf.Create(t.Context(), w.options(s), spec(0))
	require.NoError(t, other)
	require.ErrorIs(t, err, tuf.ErrExists)
}

// Others publish without a pause for longer than one attempt joins: the writer
// starts over from what they committed, and gets through.
func TestWriterOutlastsManyOthers(t *testing.T) {
	w := newWorld(t)
	n, listing := 0, false
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		if step == "list" && n < 20 && !listing {
			listing = true
			n++
			w.must(target("releases", fmt.Sprintf("other:%d", n), "x"))
			listing = false
		}
		return nil
	}
	_, err := w.write(s, target("releases", "app:1", "mine"))
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
	for i := 1; i <= n; i++ {
		require.True(t, w.lookup(fmt.Sprintf("other:%d", i)).Listed)
	}
}

// Others who change a role of two signatures each time end the attempts of a
// writer, who says that nothing was committed.
func TestWriterGivesUpWhenOthersAreAlwaysFirst(t *testing.T) {
	w := newWorld(t)
	a, b := newKey(t), newKey(t)
	w.keys = append(w.keys, a, b)
	w.must(w.delegation("pairs", "pair", 2, a, b))
	tries := 0
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		require.NotEqual(t, "commit", step)
		if step == "push draft" {
			maps.DeleteFunc(w.reg.tags, func(tag string, _ *tuf.Publication) bool { return tag[0] == 'd' }) // as the writer would
			w.must(target("pairs", fmt.Sprintf("pair:other-%d", tries), "y"))
		}
		return nil
	}
	_, err := w.write(s, func(ctx context.Context, d *tuf.Draft) error {
		tries++
		return target("pairs", "pair:1", "x")(ctx, d)
	})
	require.ErrorIs(t, err, tuf.ErrContended)
	require.Equal(t, 8, tries)
	require.False(t, w.lookup("pair:1").Listed)
	require.True(t, w.lookup("pair:other-8").Listed)
}

// Two drafts change a role whose key the joiner does not have. One writer is
// dead, the other is about to commit: the joiner gives it the time.
func TestJoinerWaitsForDraftsThatItCannotJoin(t *testing.T) {
	w := newWorld(t)
	app, one := newKey(t), newKey(t)
	online := w.keys[0]
	w.keys = append(w.keys, app, one)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(w.delegation("ones", "one", 1, one))

	// B has listed, saw nobody, and takes its time before the commit.
	listed, goOn, done := make(chan bool), make(chan bool), make(chan error)
	b := &seat{reg: w.reg}
	b.before = func(step string) error {
		if step == "commit" {
			close(listed)
			<-goOn
		}
		return nil
	}
	go func() {
		_, err := w.write(b, target("apps", "app:b", "b"))
		done <- err
	}()
	<-listed
	// A dies after its draft.
	dead := &seat{reg: w.reg}
	dead.before = func(step string) error {
		if step == "list" {
			return errCrashed
		}
		return nil
	}
	_, err := w.write(dead, target("apps", "app:a", "a"))
	require.ErrorIs(t, err, errCrashed)

	opts := w.options(&seat{reg: w.reg})
	opts.Keys = tuf.Keys{one, online}
	waits := 0
	opts.Wait = func(context.Context, time.Duration) error {
		if waits++; waits == 2 {
			close(goOn)
			require.NoError(t, <-done)
		}
		return nil
	}
	_, err = tuf.NewRepository(opts).Publish(t.Context(), nil, target("ones", "one:1", "x"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, waits, 2)
	require.True(t, w.lookup("one:1").Listed)
	require.True(t, w.lookup("app:b").Listed, "what B was told is committed stays in sight")
}

// The joiner has given up waiting and committed without what B, whose signer
// is a slow person, commits then: B must not be told that all is well while
// every reader takes the joiner's.
func TestWriterWhoseStateIsHiddenWhenItIsCommittedJoinsAgain(t *testing.T) {
	w := newWorld(t)
	app, one := newKey(t), newKey(t)
	online := w.keys[0]
	w.keys = append(w.keys, app, one)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(w.delegation("ones", "one", 1, one))
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		if step != "commit" {
			return nil
		}
		s.before = nil
		drafts := slices.Collect(maps.Keys(w.reg.tags))
		// Two who do not see B's draft die after they joined each other: the
		// joiner takes theirs, which is of a higher version.
		blind := func(tags []string) []string {
			return slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(drafts, tag) })
		}
		for i, end := range []string{"list", "commit"} {
			dead := &seat{reg: w.reg, before: diesBefore(end), hide: blind}
			_, err := w.write(dead, target("apps", fmt.Sprintf("app:%d", i), "x"))
			require.ErrorIs(t, err, errCrashed)
		}
		require.NoError(t, w.meet(tuf.Keys{one, online}, target("ones", "one:1", "x"), nil))
		return nil
	}
	_, err := w.write(s, target("apps", "app:b", "b"))
	require.NoError(t, err)
	require.True(t, w.lookup("one:1").Listed)
	require.True(t, w.lookup("app:b").Listed)
}

func diesBefore(steps ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(steps, s) {
			return errCrashed
		}
		return nil
	}
}
