package promotion_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/tuf"
)

// Where tags cannot be moved, latest stays at the first state. What is there
// under its own tag is not sent again, and is no news.
func TestSyncToImmutableTagsSendsNothingTwice(t *testing.T) {
	to := fixtures.Distribution(t, fixtures.WithImmutableTags(http.StatusConflict))
	p := newPair(t, onLayout(t), onRegistry(to))
	p.synced(t)
	p.sign(t, "1.0")
	assert.True(t, p.synced(t).Changed)
	entries, err := p.to.trust(t, nil).List(t.Context())
	require.NoError(t, err)
	assert.Len(t, entries, 2)
	to.Reset()
	again := p.synced(t)
	assert.False(t, again.Changed)
	assert.Zero(t, again.Files)
	assert.Empty(t, uploads(to))
}

// uploads are the blobs that a registry was sent, in the order of their end.
func uploads(reg *fixtures.Registry) []string {
	out := []string{}
	for _, r := range reg.Log() {
		if r.Method == http.MethodPut && strings.Contains(r.Path, "/blobs/") && r.Status == http.StatusCreated {
			out = append(out, r.Path)
		}
	}
	return out
}

// What interrupted a copy between a state's own tag and latest is made good
// without a byte of a file.
func TestSyncGoesOnFromACommittedState(t *testing.T) {
	to := fixtures.Distribution(t)
	p := newPair(t, onLayout(t), onRegistry(to))
	p.synced(t)
	p.sign(t, "1.0")
	fault := to.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Then: fixtures.Status(http.StatusForbidden)})
	_, err := p.sync(t)
	require.Error(t, err)
	fault.Remove()
	to.Reset()
	out := p.synced(t)
	assert.True(t, out.Changed)
	assert.Zero(t, out.Files)
	assert.Empty(t, uploads(to))
	assert.True(t, p.has(t, p.to, "1.0"))
}

// What the network does to the destination is no word about what it holds.
func TestSyncTellsAFailureFromForeignContent(t *testing.T) {
	to := fixtures.Distribution(t)
	p := newPair(t, onLayout(t), onRegistry(to))
	large(t, p, 400) // targets and snapshot are not inlined
	p.synced(t)
	p.sign(t, "1.0")
	p.cache = nil
	fault := to.Inject(fixtures.Fault{On: fixtures.Get("/blobs/"), Then: fixtures.Status(http.StatusForbidden)})
	_, err := p.sync(t)
	fault.Remove()
	require.Error(t, err)
	assertSide(t, promotion.Destination, err)
	assert.NotContains(t, err.Error(), "no state that this publisher signed")
	p.synced(t)
}

// lose takes blobs away from a Distribution registry, as a collector does that
// ran at a bad time.
func lose(t *testing.T, reg *fixtures.Registry, lost ...digest.Digest) {
	t.Helper()
	for _, d := range lost {
		hex := d.Encoded()
		require.NoError(t, os.RemoveAll(filepath.Join(reg.Dir, "docker/registry/v2/blobs/sha256", hex[:2], hex)))
		for _, link := range must1(filepath.Glob(filepath.Join(reg.Dir, "docker/registry/v2/repositories/*/_layers/sha256", hex))) {
			require.NoError(t, os.RemoveAll(link))
		}
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (p *pair) published(t *testing.T) *tuf.Publication {
	t.Helper()
	trust := p.from.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	return trust.Publication()
}

func (p *pair) manifest(t *testing.T) []byte {
	t.Helper()
	trust := p.from.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	return trust.Manifest()
}

// A registry that lost files of a state refuses the next one that shares them:
// they are sent again.
func TestSyncSendsAgainWhatARegistryRefusesToMiss(t *testing.T) {
	to := fixtures.Distribution(t)
	p := newPair(t, onLayout(t), onRegistry(to))
	p.synced(t)
	revocations, _ := p.published(t).Role("revocations")
	p.sign(t, "1.0")
	lose(t, to, revocations.Digest)
	out := p.synced(t)
	assert.Equal(t, 4, out.Files, "the three that are new, and the one that was lost")
	assert.True(t, p.has(t, p.to, "1.0"))
	_, err := p.reader(t, p.to).Withdrawn(t.Context(), digest.FromString("1.0"))
	require.NoError(t, err, "the lost file is there again")
}

// An unchanged mirror costs two requests, and is not looked after; --repair
// asks for every file.
func TestRepairSendsWhatTheDestinationLost(t *testing.T) {
	for name, c := range map[string]struct {
		to    func(*testing.T) end
		spoil func(*testing.T, *pair, digest.Digest)
	}{
		"a blob that a registry lost": {func(t *testing.T) end { return onRegistry(fixtures.Distribution(t)) }, func(t *testing.T, p *pair, d digest.Digest) {
			lose(t, p.to.reg, d)
		}},
		"a blob that a layout lost": {onLayout, func(t *testing.T, p *pair, d digest.Digest) {
			require.NoError(t, os.Remove(blobPath(p.to, d)))
		}},
		"a blob that is damaged": {onLayout, func(t *testing.T, p *pair, d digest.Digest) {
			require.NoError(t, os.WriteFile(blobPath(p.to, d), []byte("damaged"), 0o644))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, onLayout(t), c.to(t))
			for _, tag := range []string{"1", "2"} {
				p.sign(t, tag)
			}
			p.history = 1
			p.synced(t)
			revocations, _ := p.published(t).Role("revocations")
			c.spoil(t, p, revocations.Digest)
			assert.False(t, p.synced(t).Changed, "it is not looked after")
			p.repair = true
			out := p.synced(t)
			assert.Equal(t, 1, out.Repaired)
			assert.Equal(t, 1, out.Files)
			_, err := p.reader(t, p.to).Withdrawn(t.Context(), digest.FromString("1.0"))
			require.NoError(t, err)
			assert.Zero(t, p.synced(t).Repaired)
		})
	}
}

func blobPath(at end, d digest.Digest) string {
	return filepath.Join(strings.TrimPrefix(at.name, "oci:"), "blobs/sha256", d.Encoded())
}

// A destination that lost what its own newest state is verified by is no
// foreign one: the source has the file.
func TestSyncVerifiesADamagedDestinationByTheSource(t *testing.T) {
	to := fixtures.Distribution(t)
	p := newPair(t, onLayout(t), onRegistry(to))
	large(t, p, 400)
	p.synced(t)
	targets := p.published(t).Targets
	require.Nil(t, targets.Data, "it must not be inlined")
	p.sign(t, "1.0")
	p.cache = nil
	lose(t, to, targets.Digest)
	p.synced(t)
	assert.True(t, p.has(t, p.to, "1.0"))
}

// A mirror that lost latest, or whose latest somebody moved to something else,
// gets it back: the states say whose it is.
func TestSyncBringsLatestBack(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *pair){
		"it is gone": func(t *testing.T, p *pair) { dropTag(t, p.to, metadata.TagLatest) },
		"it is an image": func(t *testing.T, p *pair) {
			fixtures.Layout(t, strings.TrimPrefix(p.to.name, "oci:")).PushImage(t, metadata.TagLatest, "an image")
		},
		"it is an older state": func(t *testing.T, p *pair) {
			trust := p.to.trust(t, nil)
			entries := must1(trust.List(t.Context()))
			slices.SortFunc(entries, tuf.CompareEntries)
			old, err := trust.At(t.Context(), entries[0])
			require.NoError(t, err)
			require.NoError(t, trust.AdvanceManifest(t.Context(), old.Manifest()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, onLayout(t), onLayout(t))
			p.synced(t)
			p.sign(t, "1.0")
			p.synced(t)
			spoil(t, p)
			out := p.synced(t)
			assert.True(t, out.Changed)
			assert.Zero(t, out.Files)
			trust := p.to.trust(t, nil)
			latest, err := trust.Latest(t.Context())
			require.NoError(t, err)
			assert.Equal(t, p.published(t).Identity(), latest.Identity())
			assert.False(t, p.synced(t).Changed)
		})
	}
}

// dropTag takes a tag out of a layout's index.
func dropTag(t *testing.T, at end, tag string) {
	t.Helper()
	var idx ocispec.Index
	require.NoError(t, json.Unmarshal(snapshotOf(t, at), &idx))
	idx.Manifests = slices.DeleteFunc(idx.Manifests, func(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] == tag })
	restore(t, at, must1(json.Marshal(idx)))
}

// Whoever may push to the destination cannot stop a mirror by roots that
// nobody signed.
func TestSyncIsNotStoppedByForgedRootsAtTheDestination(t *testing.T) {
	p := newPair(t, onLayout(t), onRegistry(fixtures.Registry11(t)))
	for range 2 {
		_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
		require.NoError(t, err)
	}
	p.synced(t)
	p.sign(t, "1.0")
	// The source begins with root version 2 from here on, which is pinned.
	pinned := p.published(t).Roots[1]
	root, err := p.from.trust(t, nil).Fetch(t.Context(), pinned)
	require.NoError(t, err)
	p.publisher.Root = root
	p.store = tuf.MemoryStore{}
	trust := p.from.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	without := edited(t, trust.Manifest(), func(l []ocispec.Descriptor) []ocispec.Descriptor {
		return slices.DeleteFunc(l, named("1.root.json"))
	})
	fixtures.Layout(t, strings.TrimPrefix(p.from.name, "oci:")).PushManifest(t, metadata.TagLatest, ocispec.MediaTypeImageManifest, without)
	_, err = p.sync(t)
	require.ErrorIs(t, err, tuf.ErrInvalid, "the destination has an older root, by an unbroken chain: it must not be lost")
	there := p.to.trust(t, nil)
	require.NoError(t, there.Open(t.Context()))
	forged := edited(t, there.Manifest(), func(l []ocispec.Descriptor) []ocispec.Descriptor {
		i, j := slices.IndexFunc(l, named("1.root.json")), slices.IndexFunc(l, named("2.root.json"))
		l[i].Digest, l[i].Size = l[j].Digest, l[j].Size
		return l
	})
	p.to.reg.Repository(t, "trust").PushManifest(t, metadata.TagLatest, ocispec.MediaTypeImageManifest, forged)
	p.synced(t)
	assert.True(t, p.has(t, p.to, "1.0"))
}

func named(name string) func(ocispec.Descriptor) bool {
	return func(d ocispec.Descriptor) bool { return d.Annotations[metadata.AnnotationFilename] == name }
}

// edited returns a manifest with other layers.
func edited(t *testing.T, raw []byte, edit func([]ocispec.Descriptor) []ocispec.Descriptor) []byte {
	t.Helper()
	var m ocispec.Manifest
	require.NoError(t, json.Unmarshal(raw, &m))
	m.Layers = edit(m.Layers)
	return must1(json.Marshal(m))
}

// Under a state's own tag, which does not move, somebody put the same state in
// a form that lacks a role: it is not taken for the state.
func TestSyncTakesNoOtherFormThatLacksAFile(t *testing.T) {
	reg := fixtures.Registry11(t, fixtures.WithImmutableTags(http.StatusConflict))
	p := newPair(t, onLayout(t), onRegistry(reg))
	last := p.sign(t, "1.0")
	trust := p.from.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	poor := edited(t, trust.Manifest(), func(l []ocispec.Descriptor) []ocispec.Descriptor {
		return slices.DeleteFunc(l, named("1.revocations.json"))
	})
	reg.Repository(t, "trust").PushManifest(t, last.Tag, ocispec.MediaTypeImageManifest, poor)
	for _, f := range trust.Publication().Files() { // it verifies, as far as it goes
		reg.Repository(t, "trust").PushBlob(t, metadata.MediaTypeFile, must1(trust.Fetch(t.Context(), f)))
	}
	_, err := p.sync(t)
	require.Error(t, err)
	assertSide(t, promotion.Destination, err)
	require.ErrorIs(t, err, tuf.ErrOccupied)
}

// A source that does not answer keeps nobody out of a layout that is the
// destination, and makes none.
func TestASlowSourceLocksNothing(t *testing.T) {
	from := fixtures.Registry11(t)
	p := newPair(t, onRegistry(from), onLayout(t))
	for _, first := range []bool{true, false} {
		fault := from.Inject(fixtures.Fault{Then: fixtures.Stall})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { _, err := p.syncWithin(ctx, t); ended <- err }()
		require.Eventually(t, func() bool { return fault.Hits() > 0 }, 10*time.Second, time.Millisecond)
		if first {
			assert.NoDirExists(t, strings.TrimPrefix(p.to.name, "oci:"))
		} else {
			soon, stop := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := tuf.NewRepository(p.writerAt(t, p.to)).Publish(soon, nil, func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleTargets) })
			stop()
			require.NoError(t, err, "the publisher writes there meanwhile")
		}
		cancel()
		require.Error(t, <-ended)
		fault.Remove()
		if first {
			p.synced(t)
		}
	}
}

// writerAt is the publisher with another place for its metadata.
func (p *pair) writerAt(t *testing.T, at end) tuf.RepositoryOptions {
	opts := p.publisher.Options()
	trust := at.trust(t, nil)
	opts.Journal, opts.Sources = trust.Journal(), []tuf.Source{trust}
	return opts
}

// A registry that takes a file and does not have it afterwards, or has another
// length of it, gets no manifest that lists the file: an answer to HEAD proves
// nothing.
func TestSyncNoticesWhatARegistryTookAndDoesNotHave(t *testing.T) {
	for name, answer := range map[string]fixtures.Action{
		"gone": fixtures.Status(http.StatusNotFound), "shorter": fixtures.Serve([]byte("{}")), "empty": fixtures.Serve(nil),
	} {
		t.Run(name, func(t *testing.T) {
			to := fixtures.Registry11(t) // which would take the manifest
			p := newPair(t, onLayout(t), onRegistry(to))
			fault := to.Inject(fixtures.Fault{On: fixtures.On(http.MethodGet, "/blobs/"), Then: answer})
			_, err := p.sync(t)
			fault.Remove()
			require.Error(t, err)
			assertSide(t, promotion.Destination, err)
			entries, err := p.to.trust(t, nil).List(t.Context())
			require.NoError(t, err)
			assert.Empty(t, entries)
			p.synced(t)
			assert.NotNil(t, p.reader(t, p.to).Timestamp())
		})
	}
}

// A copy of the history dies at every write in turn: readers have the newest
// state meanwhile, and the next run ends it.
func TestHistoryDiesAtEveryWrite(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := newPair(t, onLayout(t), onRegistry(reg))
	for _, tag := range []string{"1", "2"} {
		p.sign(t, tag)
	}
	p.synced(t)
	p.history = 9
	nth := 1
	for ; ; nth++ {
		alive := reg.Inject(dead(nth, fixtures.DropBefore))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := p.syncWithin(ctx, t)
		cancel()
		alive.Remove()
		require.True(t, p.has(t, p.to, "2"))
		if alive.Hits() == 0 {
			require.NoError(t, err)
			break
		}
		if err != nil {
			assertSide(t, promotion.Destination, err)
		}
	}
	require.Greater(t, nth, 3, "too few writes were seen")
	assert.Len(t, must1(p.to.trust(t, nil).List(t.Context())), 4)
}

// The publisher itself writes at the destination while a mirror is under way,
// at each of its writes: the next publication there has what both brought.
func TestSyncWhileThePublisherWritesThere(t *testing.T) {
	for nth := 1; ; nth++ {
		to := fixtures.Distribution(t)
		p := newPair(t, onLayout(t), onRegistry(to))
		p.synced(t)
		p.sign(t, "mirrored")
		between := to.Inject(fixtures.Fault{On: fixtures.Writes, Nth: nth, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			p.signAt(t, p.to, "meanwhile")
			next.ServeHTTP(w, r)
		}})
		out := p.synced(t)
		between.Remove()
		if between.Hits() == 0 {
			require.Greater(t, nth, 5, "too few writes were seen")
			return
		}
		require.True(t, p.has(t, p.to, "mirrored") || p.has(t, p.to, "meanwhile"), "write %d: %v", nth, out)
		p.signAt(t, p.to, "after")
		for _, tag := range []string{"mirrored", "meanwhile", "after"} {
			require.True(t, p.has(t, p.to, tag), "write %d: %s", nth, tag)
		}
		require.True(t, p.synced(t).Behind)
	}
}

// signAt is sign by a writer that publishes at another place.
func (p *pair) signAt(t *testing.T, at end, tag string) {
	t.Helper()
	_, err := tuf.NewRepository(p.writerAt(t, at)).Publish(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, "releases")
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, "net-monitor:"+tag, fixtures.Target(tag))
	})
	assert.NoError(t, err)
}

// A mirror of a mirror is as good as one, and one back to the origin, whose
// machine has seen nothing, never takes anything back.
func TestSyncInACircle(t *testing.T) {
	a, b, c := onLayout(t), onRegistry(fixtures.Distribution(t)), onLayout(t)
	there := newPair(t, a, b)
	on, back := *there, *there
	on.from, on.to, on.store, on.cache = b, c, tuf.MemoryStore{}, nil
	back.from, back.to, back.store, back.cache = c, a, tuf.MemoryStore{}, nil
	there.synced(t)
	on.synced(t)
	for _, tag := range []string{"1", "2"} {
		there.sign(t, tag)
		newest := there.published(t).Identity()
		assert.True(t, back.synced(t).Behind, "the circle is not round yet")
		assert.Equal(t, newest, there.published(t).Identity())
		there.synced(t)
		on.synced(t)
		assert.True(t, there.has(t, c, tag))
		for _, p := range []*pair{&back, there, &on} {
			out := p.synced(t)
			assert.False(t, out.Changed)
			assert.False(t, out.Behind)
			assert.Zero(t, out.Files)
			assert.Equal(t, newest, out.Identity)
		}
	}
}
