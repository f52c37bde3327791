package tuf_test

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// crowd is a publisher whose writers have keys of their own and do different
// things: what a writer lacks the keys of it must leave alone.
type crowd struct {
	*world
	online   []*tuf.SoftKey // snapshot and timestamp, one for each writer
	one, two *tuf.SoftKey
}

const crowdSize = 4

func newCrowd(t testing.TB) *crowd {
	random := mathrand.NewChaCha8([32]byte{1})
	key := func() *tuf.SoftKey {
		k, err := tuf.NewSoftKey(random, tuf.KeyEd25519)
		require.NoError(t, err)
		return k
	}
	c := &crowd{world: &world{t: t, reg: &registry{tags: map[string]*tuf.Publication{}, blobs: map[digest.Digest][]byte{}}}}
	main := key()
	c.one, c.two = key(), key()
	c.keys = tuf.Keys{main, c.one, c.two}
	var online []metadata.Key
	for range crowdSize {
		k := key()
		c.online, online, c.keys = append(c.online, k), append(online, k.Key()), append(c.keys, k)
	}
	list := []metadata.Key{main.Key()}
	var err error
	c.root, _, err = tuf.Create(t.Context(), c.options(&seat{reg: c.reg}), tuf.Spec{
		Name: "w", Root: list, Targets: list, Withdrawals: list, Snapshot: online, Timestamp: online,
	})
	require.NoError(t, err)
	c.must(c.delegation("releases", "app", 1, main))
	c.must(c.delegation("ones", "one", 1, c.one))
	c.must(c.delegation("twos", "two", 1, c.two))
	c.must(target("releases", "app:old", "old"))
	return c
}

// deed is something that a writer does, the keys that it has for that, and
// how to see that it is done.
type deed struct {
	name   string
	keys   tuf.Keys
	change func(context.Context, *tuf.Draft) error
	done   func(testing.TB, *tuf.Client) bool
}

func (c *crowd) deeds(writer int) []deed {
	listed := func(path string, want bool) func(testing.TB, *tuf.Client) bool {
		return func(t testing.TB, cl *tuf.Client) bool {
			f, err := cl.Lookup(t.Context(), path)
			require.NoError(t, err)
			return f.Listed == want
		}
	}
	own := fmt.Sprint(writer)
	main := c.keys[0]
	online := c.online[writer]
	return []deed{
		{"adds", tuf.Keys{online, main}, target("releases", "app:"+own, own), listed("app:"+own, true)},
		{"adds to ones", tuf.Keys{online, c.one}, target("ones", "one:"+own, own), listed("one:"+own, true)},
		{"adds to twos", tuf.Keys{online, c.two}, target("twos", "two:"+own, own), listed("two:"+own, true)},
		{"removes", tuf.Keys{online, main}, drop("releases", "app:old"), listed("app:old", false)},
		{"withdraws", tuf.Keys{online, main}, withdrawing(own), func(t testing.TB, cl *tuf.Client) bool {
			n, err := cl.Withdrawn(t.Context(), digest.FromString(own))
			require.NoError(t, err)
			return n != nil
		}},
		{"refreshes", tuf.Keys{online}, func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil }, func(testing.TB, *tuf.Client) bool { return true }},
		{"signs again", tuf.Keys{online, c.one}, func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, "ones") }, func(_ testing.TB, cl *tuf.Client) bool {
			return cl.Snapshot().Snapshot.Meta["ones"].Version > 1
		}},
		{"contends", tuf.Keys{online, main}, target("releases", "app:same", own), listed("app:same", true)},
	}
}

// play lets writers with random deeds meet in a random order, and returns how
// many were told that it is done.
func (c *crowd) play(run int, cfg search) (done int) {
	random := mathrand.New(mathrand.NewPCG(cfg.seed, uint64(run)))
	deeds := make([]deed, cfg.writers)
	var story []string
	for i := range deeds {
		all := c.deeds(i)
		if cfg.among != nil {
			all = slices.DeleteFunc(all, func(d deed) bool { return !slices.Contains(cfg.among, d.name) })
		}
		deeds[i] = all[random.IntN(len(all))]
		story = append(story, fmt.Sprintf("w%d %s", i, deeds[i].name))
	}
	cfg.change = func(i int) func(context.Context, *tuf.Draft) error { return deeds[i].change }
	cfg.keys = func(i int) tuf.Keys { return deeds[i].keys }
	out := c.run(&schedule{random: random, order: random.Perm(cfg.writers)}, cfg)
	story = append(story, out.trace...)
	cl, err := c.reader(out.reg, tuf.MemoryStore{})
	require.NoError(c.t, err, "run %d: %v", run, story)
	for i, err := range out.errs {
		if errors.Is(err, errCrashed) {
			continue
		}
		if conflict := (*tuf.ConflictError)(nil); errors.As(err, &conflict) {
			require.Equal(c.t, "contends", deeds[i].name, "run %d: %v: %v", run, err, story)
			continue
		}
		require.NoError(c.t, err, "run %d: %v", run, story)
		require.True(c.t, deeds[i].done(c.t, cl), "run %d: writer %d was acknowledged and its change is not there: %v", run, i, story)
		done++
	}
	return done
}

// What can be refused: two entries for one path, and nothing else.
func TestCrowds(t *testing.T) {
	runs := 150
	if underRace {
		runs = 15
	}
	for name, cfg := range map[string]search{
		"three writers":                               {writers: 3, seed: 1},
		"four writers, drafts go":                     {writers: 4, seed: 2, delete: true},
		"four writers, one crashes, drafts go":        {writers: 4, seed: 3, delete: true, crash: true},
		"four writers of few deeds, drafts go":        {writers: 4, seed: 4, delete: true, among: []string{"contends", "refreshes", "adds to ones"}},
		"four writers of few deeds, one crashes":      {writers: 4, seed: 5, crash: true, among: []string{"adds to ones", "adds to twos"}},
		"signers again, refreshers and one that adds": {writers: 4, seed: 7, delete: true, among: []string{"signs again", "refreshes", "adds to ones"}},
		"a remover, adders and withdrawals":           {writers: 3, seed: 6, delete: true, among: []string{"removes", "adds", "withdraws"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t)
			done := 0
			for run := range runs {
				done += c.play(run, cfg)
			}
			require.Greater(t, done, runs)
		})
	}
}

// A writer that fails takes its drafts away, but none that others may commit:
// who comes after that would not see what they commit.
func TestDraftThatOthersMayCommitIsNotTakenAway(t *testing.T) {
	c := newCrowd(t)
	write := func(writer int, name string, before func(step string) error) error {
		t.Helper()
		all := c.deeds(writer)
		d := all[slices.IndexFunc(all, func(d deed) bool { return d.name == name })]
		opts := c.options(&seat{reg: c.reg, delete: true, before: before})
		opts.Keys = d.keys
		_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, d.change)
		return err
	}
	// A joins B's draft and that of a dead writer, and waits before it lists again.
	joined, goOn, failed := make(chan bool), make(chan bool), make(chan error)
	lists := 0
	a := func(step string) error {
		if step != "list" {
			return nil
		}
		switch lists++; lists {
		case 2:
			require.ErrorIs(t, write(2, "adds to twos", diesBefore("list", "delete")), errCrashed)
		case 3:
			close(joined)
			<-goOn
		}
		return nil
	}
	started, committed := false, false
	err := write(1, "refreshes", func(step string) error {
		switch {
		case step == "list" && !started:
			started = true
			go func() { failed <- write(0, "contends", a) }()
			<-joined
		case step == "commit": // of what A joined
			committed = true
			require.ErrorIs(t, write(2, "contends", diesBefore("list", "delete")), errCrashed)
			close(goOn)
			conflict := (*tuf.ConflictError)(nil)
			require.ErrorAs(t, <-failed, &conflict)
			require.NoError(t, write(3, "adds to ones", nil))
		}
		return nil
	})
	require.NoError(t, err)
	require.True(t, committed)
	cl, err := c.reader(c.reg, tuf.MemoryStore{})
	require.NoError(t, err)
	f, err := cl.Lookup(t.Context(), "one:3")
	require.NoError(t, err)
	require.True(t, f.Listed)
}
