package tuf_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// The searches below run the real protocol under every order in which the
// steps of two writers can interleave on a registry, and under many orders of
// three, with crashes, and with lists that leave entries out. After each run
// one oracle looks at the repository from scratch: what was acknowledged is
// there, and a reader that looked after every step never met a rollback.

// registry is a registry in memory, as far as a journal needs one.
type registry struct {
	tags   map[string]*tuf.Publication
	latest *tuf.Publication
	blobs  map[digest.Digest][]byte
}

func (r *registry) clone() *registry {
	return &registry{tags: maps.Clone(r.tags), latest: r.latest, blobs: maps.Clone(r.blobs)}
}

var errCrashed = errors.New("crashed")

// seat is one writer's, or a reader's, connection to the registry. Before is
// called ahead of every step that others can observe or disturb.
type seat struct {
	reg    *registry
	before func(step string) error
	hide   func(tags []string) []string // entries that a list leaves out
	delete bool                         // the registry deletes tags
	open   *tuf.Publication
}

func (s *seat) String() string { return "memory" }

func (s *seat) step(name string) error {
	if s.before == nil {
		return nil
	}
	return s.before(name)
}

func (s *seat) Open(context.Context) error {
	if err := s.step("read latest"); err != nil {
		return err
	}
	if s.open = s.reg.latest; s.open == nil {
		return tuf.ErrNotFound
	}
	return nil
}

func (s *seat) Prefetch(_ context.Context, want tuf.Want) {
	for tag, p := range s.reg.tags {
		// A reader that knows of a newer state than latest looks for it.
		if e := parse(tag); !e.Draft && e.Version >= want.Timestamp && e.Version > s.open.Snapshot.Version && s.open.Snapshot.Version < want.Timestamp {
			s.open = p
		}
	}
}

func (s *seat) Publication() *tuf.Publication { return s.open }

func (s *seat) Root(_ context.Context, version int64) ([]byte, error) {
	for _, f := range s.open.Roots {
		if f.Version == version {
			return s.reg.blobs[f.Digest], nil
		}
	}
	return nil, tuf.ErrNotFound
}

func (s *seat) Timestamp(context.Context) ([]byte, error) {
	return s.reg.blobs[s.open.Timestamp.Digest], nil
}

func (s *seat) File(_ context.Context, _ string, want metadata.MetaFile) ([]byte, error) {
	if raw := s.reg.blobs[want.Hashes.Digest()]; raw != nil {
		return raw, nil
	}
	return nil, tuf.ErrNotFound
}

func (s *seat) Latest(context.Context) (*tuf.Publication, error) { return s.reg.latest, nil }

func (s *seat) List(context.Context) ([]tuf.Entry, error) {
	if err := s.step("list"); err != nil {
		return nil, err
	}
	tags := slices.Sorted(maps.Keys(s.reg.tags))
	if s.hide != nil {
		tags = s.hide(tags)
	}
	var out []tuf.Entry
	for _, tag := range tags {
		out = append(out, parse(tag))
	}
	return out, nil
}

func (s *seat) Read(_ context.Context, e tuf.Entry) (*tuf.Publication, error) {
	if p := s.reg.tags[e.Tag]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w: %w: %s", tuf.ErrUnreadable, tuf.ErrNotFound, e.Tag)
}

func (s *seat) Fetch(_ context.Context, f tuf.File) ([]byte, error) {
	if f.Data != nil {
		return f.Data, nil
	}
	if raw := s.reg.blobs[f.Digest]; raw != nil {
		return raw, nil
	}
	return nil, fmt.Errorf("%w: %s", tuf.ErrNotFound, f.Digest)
}

func (s *seat) PushDraft(_ context.Context, p *tuf.Publication) (tuf.Entry, error) {
	return s.push("push draft", fmt.Sprintf("d 0 %d %.12s", p.Snapshot.Version, p.Identity()), p)
}

func (s *seat) Commit(_ context.Context, p *tuf.Publication) (tuf.Entry, error) {
	return s.push("commit", fmt.Sprintf("s %d %d %.12s", p.Roots[len(p.Roots)-1].Version, p.Snapshot.Version, p.Identity()), p)
}

func (s *seat) push(step, tag string, p *tuf.Publication) (tuf.Entry, error) {
	if err := s.step(step); err != nil {
		return tuf.Entry{}, err
	}
	for _, f := range p.Files() {
		if f.Data != nil {
			s.reg.blobs[f.Digest] = f.Data
		}
	}
	s.reg.tags[tag] = p
	return parse(tag), nil
}

func (s *seat) Advance(_ context.Context, p *tuf.Publication) error {
	if err := s.step("move latest"); err != nil {
		return err
	}
	s.reg.latest = p
	return nil
}

func (s *seat) Delete(_ context.Context, entries ...tuf.Entry) error {
	if !s.delete {
		return errors.New("no delete here")
	}
	if err := s.step("delete"); err != nil {
		return err
	}
	for _, e := range entries {
		delete(s.reg.tags, e.Tag)
	}
	return nil
}

func parse(tag string) tuf.Entry {
	e := tuf.Entry{Tag: tag, Draft: tag[0] == 'd'}
	_, _ = fmt.Sscanf(tag[2:], "%d %d %s", &e.Root, &e.Version, &e.Digest)
	return e
}

// world is a publisher in memory with one delegated role.
type world struct {
	t    testing.TB
	reg  *registry
	root []byte
	keys tuf.Keys
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, reg: &registry{tags: map[string]*tuf.Publication{}, blobs: map[digest.Digest][]byte{}}}
	key, err := tuf.NewSoftKey(rand.Reader, tuf.KeyEd25519)
	require.NoError(t, err)
	w.keys = tuf.Keys{key}
	list := []metadata.Key{key.Key()}
	w.root, _, err = tuf.Create(t.Context(), w.options(&seat{reg: w.reg}), tuf.Spec{
		Name: "w", Root: list, Targets: list, Withdrawals: list, Snapshot: list, Timestamp: list,
	})
	require.NoError(t, err)
	_, err = w.write(&seat{reg: w.reg}, func(ctx context.Context, d *tuf.Draft) error {
		patterns, err := metadata.Patterns("**")
		if err != nil {
			return err
		}
		return d.Delegate(ctx, metadata.RoleTargets, metadata.Delegation{
			Name: "releases", Paths: patterns, RoleKeys: metadata.RoleKeys{KeyIDs: []string{key.Key().ID()}, Threshold: 1},
		}, metadata.Keys{key.Key().ID(): key.Key()})
	})
	require.NoError(t, err)
	return w
}

func (w *world) options(s *seat) tuf.RepositoryOptions {
	return tuf.RepositoryOptions{
		Root: w.root, Store: tuf.MemoryStore{}, Journal: s, Sources: []tuf.Source{s}, Keys: w.keys,
		Now: func() time.Time { return fixtures.Epoch }, Rand: rand.Reader, Wait: func(context.Context, time.Duration) error { return nil },
	}
}

func (w *world) write(s *seat, change func(context.Context, *tuf.Draft) error) (*tuf.Result, error) {
	return tuf.NewRepository(w.options(s)).Publish(w.t.Context(), nil, change)
}

func signs(n int) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, "releases")
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, fmt.Sprintf("app:%d", n), fixtures.Target(fmt.Sprint(n)))
	}
}

// schedule decides which writer takes the next step. It replays a list of
// choices and notes how many there were, so that the next can be made.
type schedule struct {
	choices []int
	options []int
	at      int
	random  *mathrand.Rand // or nil: depth first
	order   []int          // of the writers, or nil: all alike
}

func (s *schedule) pick(n int) int {
	if s.at == len(s.choices) {
		s.choices = append(s.choices, 0)
		if s.random != nil {
			s.choices[s.at] = s.random.IntN(n)
		}
	}
	s.options = append(s.options[:s.at], n)
	c := s.choices[s.at] % n
	s.at++
	return c
}

// turn picks whose step is next. With an order, writers run one after the
// other and are put behind all others now and then: so some are slow.
func (s *schedule) turn(waiting []turn) int {
	if s.order == nil {
		return s.pick(len(waiting))
	}
	for at, writer := range s.order {
		i := slices.IndexFunc(waiting, func(t turn) bool { return t.writer == writer })
		if i < 0 {
			continue
		}
		if s.random.IntN(8) > 0 {
			return i
		}
		s.order = append(slices.Delete(slices.Clone(s.order), at, at+1), writer)
		return s.turn(waiting)
	}
	panic("nobody waits")
}

// next moves on to the next list of choices, depth first.
func (s *schedule) next() bool {
	s.choices = s.choices[:s.at]
	for i := len(s.choices) - 1; i >= 0; i-- {
		if s.choices[i]+1 < s.options[i] {
			s.choices[i]++
			s.choices, s.at = s.choices[:i+1], 0
			return true
		}
	}
	return false
}

// turn is a writer that waits to take a step, or has finished.
type turn struct {
	writer int
	step   string
	done   bool
	err    error
	grant  chan error
}

// search says what may happen in a run.
type search struct {
	writers int
	refresh bool                      // all but the first writer only refresh
	crash   bool                      // one writer may crash before any of its steps
	hide    bool                      // a list may leave out its last entry
	seed    uint64                    // not 0: random schedules instead of all
	delete  bool                      // drafts can be deleted
	keys    func(writer int) tuf.Keys // or nil: everybody has all
	among   []string                  // what a crowd does, or nil: anything
	change  func(writer int) func(context.Context, *tuf.Draft) error
}

// outcome of one run.
type outcome struct {
	reg   *registry
	errs  []error
	trace []string
}

// run plays one schedule.
func (w *world) run(s *schedule, cfg search) *outcome {
	reg := w.reg.clone()
	turns := make(chan turn)
	out := &outcome{reg: reg, errs: make([]error, cfg.writers)}
	dead := make([]bool, cfg.writers)
	for i := range cfg.writers {
		st := &seat{reg: reg, delete: cfg.delete}
		st.before = func(step string) error {
			if dead[i] {
				return errCrashed
			}
			g := make(chan error)
			turns <- turn{writer: i, step: step, grant: g}
			return <-g
		}
		if cfg.hide {
			st.hide = func(tags []string) []string {
				if len(tags) > 0 && s.pick(2) == 1 {
					return tags[:len(tags)-1]
				}
				return tags
			}
		}
		go func() {
			opts := w.options(st)
			if cfg.keys != nil {
				opts.Keys = cfg.keys(i)
			}
			_, err := tuf.NewRepository(opts).Publish(w.t.Context(), nil, cfg.change(i))
			turns <- turn{writer: i, done: true, err: err}
		}()
	}
	reader := tuf.MemoryStore{}
	crashed := !cfg.crash
	for waiting, live := []turn{}, cfg.writers; live > 0; {
		for len(waiting) < live {
			t := <-turns
			if t.done {
				out.errs[t.writer] = t.err
				live--
				continue
			}
			waiting = append(waiting, t)
		}
		if live == 0 {
			break
		}
		slices.SortFunc(waiting, func(a, b turn) int { return a.writer - b.writer })
		t := waiting[s.turn(waiting)]
		waiting = slices.DeleteFunc(waiting, func(o turn) bool { return o.writer == t.writer })
		if !crashed && t.step != "read latest" && s.pick(2) == 1 {
			crashed, dead[t.writer] = true, true
			out.trace = append(out.trace, fmt.Sprintf("w%d crashes before %s", t.writer, t.step))
			t.grant <- errCrashed
			continue
		}
		out.trace = append(out.trace, fmt.Sprintf("w%d: %s", t.writer, t.step))
		t.grant <- nil
		// The step is over when the writer asks for its next one.
		n := <-turns
		if n.done {
			out.errs[n.writer] = n.err
			live--
		} else {
			waiting = append(waiting, n)
		}
		if t.step == "commit" {
			w.look(out, reader)
		}
	}
	return out
}

// look lets a reader with a memory read the greatest state.
func (w *world) look(out *outcome, store tuf.MemoryStore) {
	c, err := w.reader(out.reg, store)
	require.NoError(w.t, err, "%v", out.trace)
	require.NotNil(w.t, c)
}

func (w *world) reader(reg *registry, store tuf.MemoryStore) (*tuf.Client, error) {
	s := &seat{reg: &registry{tags: reg.tags, latest: greatest(reg), blobs: reg.blobs}}
	c, err := tuf.NewClient(tuf.Options{Root: w.root, Store: store, Sources: []tuf.Source{s}, Now: fixtures.Epoch})
	if err != nil {
		return nil, err
	}
	return c, c.Refresh(w.t.Context())
}

func greatest(reg *registry) *tuf.Publication {
	var best tuf.Entry
	for tag := range reg.tags {
		if e := parse(tag); !e.Draft && tuf.CompareEntries(e, best) > 0 {
			best = e
		}
	}
	return reg.tags[best.Tag]
}

// requireAcknowledged is the oracle.
func (w *world) requireAcknowledged(out *outcome, cfg search) {
	c, err := w.reader(out.reg, tuf.MemoryStore{})
	require.NoError(w.t, err, "%v", out.trace)
	for i, err := range out.errs {
		if err != nil || cfg.refreshes(i) {
			continue
		}
		f, err := c.Lookup(w.t.Context(), fmt.Sprintf("app:%d", i))
		require.NoError(w.t, err, "%v", out.trace)
		require.True(w.t, f.Listed, "writer %d was acknowledged and is not there: %v", i, out.trace)
	}
}

func (w *world) explore(cfg search, limit int) (runs int, complete bool) {
	if cfg.change = signs; cfg.refresh {
		cfg.change = forces
	}
	s := &schedule{}
	for runs = 1; ; runs++ {
		if s.at = 0; cfg.seed != 0 {
			s.choices, s.random = nil, mathrand.New(mathrand.NewPCG(cfg.seed, uint64(runs)))
		}
		out := w.run(s, cfg)
		for _, err := range out.errs {
			if !errors.Is(err, errCrashed) {
				require.NoError(w.t, err, "%v", out.trace)
			}
		}
		if cfg.hide {
			// Where lists leave entries out, what is missing comes back with
			// the next publication.
			_, err := w.write(&seat{reg: out.reg}, func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
			require.NoError(w.t, err, "%v", out.trace)
		}
		w.requireAcknowledged(out, cfg)
		if cfg.seed == 0 && !s.next() {
			return runs, true
		}
		if runs == limit {
			return runs, false
		}
	}
}

// forces makes the writers from the second on refresh and nothing else.
func forces(n int) func(context.Context, *tuf.Draft) error {
	if n == 0 {
		return signs(0)
	}
	return func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil }
}

func (s search) refreshes(writer int) bool { return s.refresh && writer > 0 }

// underRace says that the race detector makes everything many times slower:
// then a part of the search has to do.
var underRace bool

func TestEveryInterleavingOfTwoWriters(t *testing.T) {
	if underRace {
		newWorld(t).explore(search{writers: 2}, 300)
		return
	}
	runs, complete := newWorld(t).explore(search{writers: 2}, 100_000)
	require.True(t, complete)
	t.Logf("%d runs", runs)
	require.Greater(t, runs, 500)
}

func TestManyInterleavings(t *testing.T) {
	for name, cfg := range map[string]search{
		"two writers, one crashes":           {writers: 2, crash: true},
		"two writers, lists leave out":       {writers: 2, hide: true},
		"one signs, one refreshes":           {writers: 2, refresh: true},
		"one signs, two refresh":             {writers: 3, refresh: true},
		"three writers":                      {writers: 3},
		"three writers, one crashes":         {writers: 3, crash: true},
		"three writers, lists leave out too": {writers: 3, crash: true, hide: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.seed = 1
			newWorld(t).explore(cfg, 300)
		})
	}
}

// signsMany vouches for n paths in one publication.
func signsMany(from, n int) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		for i := range n {
			if err := signs(from+i)(ctx, d); err != nil {
				return err
			}
		}
		return nil
	}
}
