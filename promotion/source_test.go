package promotion_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// A manifest is nobody's word. What a registry would make of its other members
// does not come along.
func TestSyncTakesNothingBesideTheFiles(t *testing.T) {
	for name, spoil := range map[string]func(*ocispec.Manifest, ocispec.Descriptor){
		"a subject": func(m *ocispec.Manifest, d ocispec.Descriptor) { m.Subject = &d },
		"a config":  func(m *ocispec.Manifest, d ocispec.Descriptor) { m.Config = d },
	} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Registry11(t)
			p := newPair(t, onRegistry(reg), onLayout(t))
			last := p.sign(t, "1.0")
			trust := p.from.trust(t, nil)
			require.NoError(t, trust.Open(t.Context()))
			var m ocispec.Manifest
			require.NoError(t, json.Unmarshal(trust.Manifest(), &m))
			spoil(&m, reg.Repository(t, "trust").PushBlob(t, "text/plain", []byte("a payload")))
			for _, tag := range []string{metadata.TagLatest, last.Tag} {
				reg.Repository(t, "trust").PushManifest(t, tag, ocispec.MediaTypeImageManifest, must1(json.Marshal(m)))
			}
			_, err := p.sync(t)
			require.ErrorIs(t, err, tuf.ErrUnreadable)
			assertSide(t, promotion.Source, err)
			assert.NoDirExists(t, strings.TrimPrefix(p.to.name, "oci:"), "nothing was written")
		})
	}
}

// A source dies at every answer in turn: the destination keeps what it has.
func TestSyncWhenTheSourceDies(t *testing.T) {
	from := fixtures.Registry11(t)
	p := newPair(t, onRegistry(from), onLayout(t))
	large(t, p, 30)
	p.synced(t)
	p.sign(t, "1.0")
	p.cache = nil
	for nth := 1; ; nth++ {
		before := snapshotOf(t, p.to)
		var n int
		fault := from.Inject(fixtures.Fault{On: func(*http.Request) bool { n++; return n >= nth }, Then: fixtures.Status(http.StatusForbidden)})
		_, err := p.sync(t)
		fault.Remove()
		if fault.Hits() == 0 {
			require.NoError(t, err)
			require.Greater(t, nth, 2, "too few answers were seen")
			break
		}
		require.Error(t, err)
		assertSide(t, promotion.Source, err)
		require.Equal(t, before, snapshotOf(t, p.to))
	}
	assert.True(t, p.has(t, p.to, "1.0"))
}

// The source turns malicious once it was verified: what was verified by its
// digest is what is copied.
func TestSyncFromASourceThatTurnsMalicious(t *testing.T) {
	reg := fixtures.Registry11(t)
	p := newPair(t, onRegistry(reg), onLayout(t))
	p.sign(t, "1.0")
	thief := fixtures.NewPublisher(t, reg.Host+"/thief", reg.Options())
	foreign := thief.Source()
	require.NoError(t, foreign.Open(t.Context()))
	_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { // too much to be inlined
		e, err := d.Edge(ctx, "releases")
		for i := 0; i < 400 && err == nil; i++ {
			err = d.SetTarget(ctx, e, fmt.Sprintf("net-monitor:%d", i), fixtures.Target("filling"))
		}
		return err
	})
	require.NoError(t, err)
	want := p.published(t).Identity()
	f, _ := p.published(t).Role("releases")
	require.Nil(t, f.Data)
	turned := false
	turn := reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/blobs/" + f.Digest.String()), First: 1, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		for _, e := range must1(p.from.trust(t, nil).List(t.Context())) {
			reg.Repository(t, "trust").PushManifest(t, e.Tag, ocispec.MediaTypeImageManifest, foreign.Manifest())
		}
		reg.Repository(t, "trust").PushManifest(t, metadata.TagLatest, ocispec.MediaTypeImageManifest, foreign.Manifest())
		turned = true
		next.ServeHTTP(w, r)
	}})
	defer turn.Remove()
	out := p.synced(t)
	require.True(t, turned)
	assert.Equal(t, want, out.Identity)
	assert.True(t, p.has(t, p.to, "399"))
}

// Two publications mixed, roots with a gap, another publisher's root, an older
// state under the newest tag: nothing of it gets through, and the destination
// stays as it is.
func TestSyncRefusesMixedPublications(t *testing.T) {
	reg := fixtures.Registry11(t)
	p := newPair(t, onRegistry(reg), onLayout(t))
	for range 2 {
		_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
		require.NoError(t, err)
	}
	p.synced(t)
	layersOf := func() map[string]ocispec.Descriptor {
		trust := p.from.trust(t, nil)
		require.NoError(t, trust.Open(t.Context()))
		var m ocispec.Manifest
		require.NoError(t, json.Unmarshal(trust.Manifest(), &m))
		out := map[string]ocispec.Descriptor{}
		for _, l := range m.Layers {
			_, role, _ := strings.Cut(strings.TrimSuffix(l.Annotations[metadata.AnnotationFilename], ".json"), ".")
			out[role] = l
		}
		return out
	}
	old := layersOf()
	last := p.sign(t, "1.0")
	thief := fixtures.NewPublisher(t, reg.Host+"/thief", reg.Options())
	foreign := thief.Source()
	require.NoError(t, foreign.Open(t.Context()))
	strange := foreign.Publication().Roots[0]
	reg.Repository(t, "trust").PushBlob(t, metadata.MediaTypeFile, must1(foreign.Fetch(t.Context(), strange)))
	swap := func(role string) func([]ocispec.Descriptor) []ocispec.Descriptor {
		return func(l []ocispec.Descriptor) []ocispec.Descriptor {
			for i, d := range l {
				if strings.HasSuffix(d.Annotations[metadata.AnnotationFilename], role+".json") {
					l[i] = old[role]
				}
			}
			return l
		}
	}
	leading := p.rootBefore(t)
	reg.Repository(t, "trust").PushBlob(t, metadata.MediaTypeFile, leading)
	trust := p.from.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	good := trust.Manifest()
	for name, edit := range map[string]func([]ocispec.Descriptor) []ocispec.Descriptor{
		"an older snapshot":        swap("snapshot"),
		"an older role":            swap("releases"),
		"roots with a gap":         func(l []ocispec.Descriptor) []ocispec.Descriptor { return without(l, "2.root.json") },
		"roots that end too early": func(l []ocispec.Descriptor) []ocispec.Descriptor { return without(l, "3.root.json") },
		"another publisher's root": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			for i, d := range l {
				if d.Annotations[metadata.AnnotationFilename] == "3.root.json" {
					l[i].Digest, l[i].Size = strange.Digest, strange.Length
				}
			}
			return l
		},
		"a root in the pinned one's place, which leads to the newest": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			d := &l[slices.IndexFunc(l, named("1.root.json"))]
			d.Digest, d.Size = digest.FromBytes(leading), int64(len(leading))
			return l
		},
		"the newest root once more, as the next": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			d := l[slices.IndexFunc(l, named("3.root.json"))]
			d.Annotations = map[string]string{metadata.AnnotationFilename: "4.root.json"}
			return append(l, d)
		},
		"a root more, which nobody signed": func(l []ocispec.Descriptor) []ocispec.Descriptor {
			return append(l, ocispec.Descriptor{MediaType: metadata.MediaTypeFile, Digest: strange.Digest, Size: strange.Length, Annotations: map[string]string{metadata.AnnotationFilename: "4.root.json"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshotOf(t, p.to)
			for _, tag := range []string{metadata.TagLatest, last.Tag} {
				reg.Repository(t, "trust").PushManifest(t, tag, ocispec.MediaTypeImageManifest, edited(t, good, edit))
			}
			if out, err := p.sync(t); err == nil { // the state before is listed, and known
				require.False(t, out.Changed)
			} else {
				assertSide(t, promotion.Source, err)
			}
			require.Equal(t, before, snapshotOf(t, p.to))
			p.store = tuf.MemoryStore{} // who knows nothing takes nothing older either
			if out, err := p.sync(t); err == nil {
				require.False(t, out.Changed)
			}
			require.Equal(t, before, snapshotOf(t, p.to))
		})
	}
	for _, tag := range []string{metadata.TagLatest, last.Tag} {
		reg.Repository(t, "trust").PushManifest(t, tag, ocispec.MediaTypeImageManifest, good)
	}
	p.synced(t)
	assert.True(t, p.has(t, p.to, "1.0"))
}

// rootBefore is a root version 1 that the publisher never made and that leads
// to its version 2: it trusts the publisher's key beside the thief's own.
func (p *pair) rootBefore(t *testing.T) []byte {
	t.Helper()
	f, err := metadata.Decode(metadata.RoleRoot, p.publisher.Root)
	require.NoError(t, err)
	thief := must1(tuf.NewSoftKey(rand.Reader, tuf.KeyEd25519))
	id, keys := thief.Key().ID(), f.Root.Roles[metadata.RoleRoot]
	f.Root.Keys[id] = thief.Key()
	keys.KeyIDs = append(keys.KeyIDs, id)
	f.Root.Roles[metadata.RoleRoot] = keys
	signed := f.Root.Canonical()
	return metadata.Seal(signed, []metadata.Signature{{KeyID: id, Sig: must1(thief.Sign(t.Context(), signed))}})
}

// A source that holds another state of the version that is known, and makes
// who knows nothing stumble over it, has an older one taken in its place by
// nobody.
func TestSyncTakesNothingOlderForAnotherState(t *testing.T) {
	for _, c := range []struct {
		what       string
		root, more int64 // of the older state, and versions that it is ahead
	}{{"an older timestamp", 3, -1}, {"an older root, with a newer timestamp by its keys", 2, 2}} {
		t.Run(c.what, func(t *testing.T) {
			p := newPair(t, onLayout(t), onLayout(t))
			renewRoot(t, p)
			early := snapshotOf(t, p.from)
			renewRoot(t, p)
			if c.root == 3 {
				early = snapshotOf(t, p.from)
			}
			middle := snapshotOf(t, p.from)
			known := p.sign(t, "1.0").Timestamp
			p.synced(t)

			restore(t, p.from, early)
			for i := p.published(t).Snapshot.Version; i < known+c.more; i++ {
				p.sign(t, fmt.Sprint("older-", i))
			}
			older := p.manifest(t)
			restore(t, p.from, middle)
			p.sign(t, "2.0")
			strange := p.rootBefore(t)
			fixtures.Layout(t, strings.TrimPrefix(p.from.name, "oci:")).PushBlob(t, metadata.MediaTypeFile, strange)
			other := edited(t, p.manifest(t), func(l []ocispec.Descriptor) []ocispec.Descriptor {
				d := &l[slices.IndexFunc(l, named("2.root.json"))]
				d.Digest, d.Size = digest.FromBytes(strange), int64(len(strange))
				return l
			})
			p.holdsOnly(t, other, older)

			p.to = onLayout(t)
			_, err := p.sync(t)
			require.ErrorIs(t, err, tuf.ErrRollback)
			assertSide(t, promotion.Source, err)
			assert.NoDirExists(t, strings.TrimPrefix(p.to.name, "oci:"), "nothing was written")
		})
	}
}

func renewRoot(t *testing.T, p *pair) {
	t.Helper()
	_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
	require.NoError(t, err)
}

// holdsOnly lets the source, a layout, have these states and no other; latest
// names the first.
func (p *pair) holdsOnly(t *testing.T, states ...[]byte) {
	t.Helper()
	restore(t, p.from, []byte(`{"schemaVersion":2,"manifests":[]}`))
	layout := fixtures.Layout(t, strings.TrimPrefix(p.from.name, "oci:"))
	for _, raw := range states {
		layout.PushManifest(t, must1(registrystore.StateTag(raw)), ocispec.MediaTypeImageManifest, raw)
	}
	layout.PushManifest(t, metadata.TagLatest, ocispec.MediaTypeImageManifest, states[0])
}

func without(l []ocispec.Descriptor, name string) []ocispec.Descriptor {
	out := l[:0:0]
	for _, d := range l {
		if d.Annotations[metadata.AnnotationFilename] != name {
			out = append(out, d)
		}
	}
	return out
}

// Drafts and proposals stay where they are, and thousands of listed states
// cost as many requests as the history that is wanted.
func TestHistoryIsBoundedAndHasNoDrafts(t *testing.T) {
	from := fixtures.Registry11(t)
	p := newPair(t, onRegistry(from), onLayout(t))
	for _, tag := range []string{"1", "2", "3"} {
		p.sign(t, tag)
	}
	trust := p.from.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	repo := from.Repository(t, "trust")
	for i := range 3000 {
		repo.PushManifest(t, fmt.Sprintf("state.%012d.%012d.%.12s", 1, 5, digest.FromString(fmt.Sprint(i)).Encoded()), ocispec.MediaTypeImageManifest, trust.Manifest())
	}
	from.Reset()
	p.history = 2
	p.synced(t)
	assert.Less(t, len(from.Requests()), 40)
	entries, err := p.to.trust(t, nil).List(t.Context())
	require.NoError(t, err)
	for _, e := range entries {
		assert.False(t, e.Draft)
	}
}

// The states of the history verify by themselves, each under its own root.
func TestHistoryVerifies(t *testing.T) {
	p := newPair(t, onLayout(t), onRegistry(fixtures.Distribution(t)))
	p.sign(t, "1")
	_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
	require.NoError(t, err)
	p.sign(t, "2")
	p.history = 9
	p.synced(t)
	trust := p.to.trust(t, nil)
	entries, err := trust.List(t.Context())
	require.NoError(t, err)
	require.Len(t, entries, 5, "every publication")
	roots := map[int64]int{}
	for _, e := range entries {
		l, err := trust.At(t.Context(), e)
		require.NoError(t, err)
		c, err := tuf.NewClient(tuf.Options{Root: p.publisher.Root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{l}, Now: p.publisher.Now()})
		require.NoError(t, err)
		require.NoError(t, c.Refresh(t.Context()))
		for role := range c.Snapshot().Snapshot.Meta {
			f, ok := l.Publication().Role(role)
			require.True(t, ok)
			_, err := l.Fetch(t.Context(), f)
			require.NoError(t, err)
		}
		roots[c.Root().Version]++
	}
	assert.Len(t, roots, 2)
}
