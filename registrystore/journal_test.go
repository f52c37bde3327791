package registrystore_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// What was published is what another process reads.
func TestPublicationsComeBack(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		want := publication(7)
		writer := p.trust(t, nil)
		list, err := writer.List(ctx)
		require.NoError(t, err)
		require.Empty(t, list, "a repository that does not exist is empty")
		_, err = writer.Latest(ctx)
		require.ErrorIs(t, err, tuf.ErrNotFound)

		draft, err := writer.PushDraft(ctx, want)
		require.NoError(t, err)
		require.Equal(t, tuf.Entry{Tag: "draft.000000000007." + want.Identity()[:12], Draft: true, Version: 7, Digest: want.Identity()[:12]}, draft)
		state := commit(t, writer, want)
		require.Equal(t, tuf.Entry{Tag: "state.000000000001.000000000007." + want.Identity()[:12], Root: 1, Version: 7, Digest: want.Identity()[:12]}, state)

		reader := p.trust(t, nil)
		list, err = reader.List(ctx)
		require.NoError(t, err)
		require.ElementsMatch(t, []tuf.Entry{draft, state}, list)
		for _, e := range list {
			got, err := reader.Read(ctx, e)
			require.NoError(t, err)
			require.Equal(t, e.Draft, got.IsDraft())
			require.Equal(t, want.Identity(), got.Identity())
			for _, f := range want.Files() {
				if f.Role == "timestamp" && e.Draft {
					continue
				}
				requireFile(t, reader, got, f)
			}
		}
		latest, err := reader.Latest(ctx)
		require.NoError(t, err)
		require.Equal(t, want.Identity(), latest.Identity())
		require.Equal(t, []string{"b*"}, latest.Roles[0].Patterns)

		require.NoError(t, reader.Delete(ctx, draft))
		list, err = reader.List(ctx)
		require.NoError(t, err)
		require.Equal(t, []tuf.Entry{state}, list)
		require.NoError(t, reader.Delete(ctx, draft), "what is gone is gone")
	})
}

func requireFile(t *testing.T, reader *registrystore.Trust, p *tuf.Publication, want tuf.File) {
	t.Helper()
	for _, f := range p.Files() {
		if f.Role == want.Role && f.Version == want.Version {
			raw, err := reader.Fetch(ctx, f)
			require.NoError(t, err)
			require.Equal(t, want.Data, raw)
			return
		}
	}
	t.Fatalf("%s version %d is missing", want.Role, want.Version)
}

// The files that every reader needs come with the manifest, as far as there
// is room, and big ones do not.
func TestSmallFilesAreInlined(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		commit(t, p.trust(t, nil), publication(1))
		got, err := p.trust(t, nil).Latest(ctx)
		require.NoError(t, err)
		require.NotNil(t, got.Timestamp.Data)
		require.NotNil(t, got.Snapshot.Data)
		require.NotNil(t, got.Targets.Data)
		require.NotNil(t, got.Roles[1].Data)
		require.Nil(t, got.Roles[0].Data)
		require.Nil(t, got.Roots[0].Data)
	})
}

// Files that are there are not sent again: a publication that changes one
// role costs that role, snapshot and timestamp.
func TestPushesNothingThatIsThere(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	commit(t, p.trust(t, nil), publication(1))
	trust := p.trust(t, nil)
	next, err := trust.Latest(ctx)
	require.NoError(t, err)
	next.Timestamp = tuf.NewFile("timestamp", 0, []byte("timestamp 2"))
	next.Snapshot = tuf.NewFile("snapshot", 2, []byte("snapshot 2"))
	next.SetRole(role("small", 2, "small 2", "a*"))
	reg.Reset()
	e, err := trust.Commit(ctx, next)
	require.NoError(t, err)
	var puts []string
	for _, r := range reg.Log() {
		if r.Method == http.MethodPut {
			puts = append(puts, r.String())
		}
	}
	require.Len(t, puts, 4)
	require.Equal(t, "PUT /v2/trust/manifests/"+e.Tag, puts[3])
	for _, f := range []tuf.File{next.Timestamp, next.Snapshot, next.Roles[1]} {
		require.NotEmpty(t, pushOf(reg, f.Digest), f.Role)
	}
}

func pushOf(reg *fixtures.Registry, d digest.Digest) []string {
	var out []string
	for _, r := range reg.Log() {
		if r.Method == http.MethodPut && strings.Contains(r.Query, "digest="+strings.Replace(d.String(), ":", "%3A", 1)) {
			out = append(out, r.String())
		}
	}
	return out
}

// Every way in which the state's write can fail, times whether it took
// effect: an acknowledged state is there, an unclear outcome is called so.
func TestCommitWhoseAnswerIsLost(t *testing.T) {
	state := fixtures.Put("/manifests/state.")
	cases := map[string]struct {
		faults []fixtures.Fault
		want   error // nil: committed
		there  bool
	}{
		"lost before, once":   {[]fixtures.Fault{{On: state, Nth: 1, Then: fixtures.DropBefore}}, nil, true},
		"lost after":          {[]fixtures.Fault{{On: state, Then: fixtures.DropAfter}}, nil, true},
		"500 after":           {[]fixtures.Fault{{On: state, Nth: 1, Then: fixtures.StatusAfter(500)}}, nil, true},
		"503 once":            {[]fixtures.Fault{{On: state, Nth: 1, Then: fixtures.Status(503)}}, nil, true},
		"429 once":            {[]fixtures.Fault{{On: state, Nth: 1, Then: fixtures.RateLimit(0)}}, nil, true},
		"lost before, always": {[]fixtures.Fault{{On: state, Then: fixtures.DropBefore}}, tuf.ErrOutcomeUnknown, false},
		"refused":             {[]fixtures.Fault{{On: state, Then: fixtures.Status(403)}}, registrystore.ErrReadOnly, false},
		"refused, blind": {[]fixtures.Fault{{On: state, Then: fixtures.Status(405)}, {On: fixtures.Head("/manifests/state."), Then: fixtures.Status(403)}},
			registrystore.ErrReadOnly, false},
		"lost after, blind": {[]fixtures.Fault{{On: state, Then: fixtures.DropAfter}, {On: fixtures.Head("/manifests/state."), Then: fixtures.Status(403)}},
			tuf.ErrOutcomeUnknown, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := onRegistry(reg)
			for _, f := range c.faults {
				reg.Inject(f)
			}
			e, err := p.trust(t, nil).Commit(ctx, publication(1))
			if c.want == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.want)
			}
			_, err = reg.Repository(t, "trust").Target.Resolve(ctx, e.Tag)
			if c.there && len(c.faults) == 1 {
				require.NoError(t, err)
			}
			if !c.there && len(c.faults) == 1 {
				require.Error(t, err)
			}
		})
	}
}

// On a registry that forbids moving tags, the same state again is committed,
// another one under its tag is not ours.
func TestCommitOnImmutableTags(t *testing.T) {
	for _, status := range []int{400, 409, 412} {
		p := onRegistry(fixtures.Distribution(t, fixtures.WithImmutableTags(status)))
		want := publication(1)
		commit(t, p.trust(t, nil), want)
		_, err := p.trust(t, nil).Commit(ctx, want)
		require.NoError(t, err)

		other := publication(1)
		other.Timestamp = tuf.NewFile("timestamp", 0, []byte("sealed by another writer"))
		_, err = p.trust(t, nil).Commit(ctx, other)
		require.ErrorIs(t, err, tuf.ErrOccupied)
		require.ErrorIs(t, err, registrystore.ErrImmutable)
		err = p.trust(t, nil).Advance(ctx, publication(2))
		require.ErrorIs(t, err, registrystore.ErrImmutable)
	}
}

// Latest is written once, whatever the answer: a late second write could move
// it back.
func TestAdvanceIsNeverRepeated(t *testing.T) {
	for name, then := range map[string]fixtures.Action{
		"500": fixtures.Status(500), "429": fixtures.RateLimit(0), "lost": fixtures.DropBefore, "lost after": fixtures.DropAfter,
	} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			trust := onRegistry(reg).trust(t, nil)
			p := publication(1)
			_, err := trust.Commit(ctx, p)
			require.NoError(t, err)
			fault := reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Then: then})
			require.Error(t, trust.Advance(ctx, p))
			require.Equal(t, 1, fault.Hits())
		})
	}
}

// An upload whose outcome is not clear begins anew, with a session of its own,
// and not if the blob is there.
func TestUploadsBeginAnew(t *testing.T) {
	upload := fixtures.Put("/blobs/uploads/")
	for name, fault := range map[string]fixtures.Fault{
		"begin fails": {On: fixtures.On("POST", "/blobs/uploads/"), First: 2, Then: fixtures.Status(503)},
		"begin lost":  {On: fixtures.On("POST", "/blobs/uploads/"), First: 2, Then: fixtures.DropBefore},
		"end fails":   {On: upload, Nth: 1, Then: fixtures.Status(500)},
		"end lost":    {On: upload, Nth: 1, Then: fixtures.DropBefore},
		"answer lost": {On: upload, First: 2, Then: fixtures.DropAfter},
		"answer 500":  {On: upload, First: 2, Then: fixtures.StatusAfter(500)},
	} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := onRegistry(reg)
			injected := reg.Inject(fault)
			want := publication(1)
			_, err := p.trust(t, nil).Commit(ctx, want)
			require.NoError(t, err)
			require.Positive(t, injected.Hits())
			if strings.HasPrefix(name, "answer") {
				for _, f := range want.Files() {
					require.LessOrEqual(t, len(pushOf(reg, f.Digest)), 1, f.Role)
				}
			}
		})
	}
}

// A registry that takes the bytes of a role and does not have them is found
// out before the state is committed.
func TestRoleFilesAreReadBack(t *testing.T) {
	reg := fixtures.Distribution(t)
	want := publication(1)
	reg.Inject(fixtures.Fault{On: fixtures.Get("/blobs/" + want.Roles[0].Digest.String()), Then: fixtures.Status(404)})
	_, err := onRegistry(reg).trust(t, nil).Commit(ctx, want)
	require.ErrorIs(t, err, registrystore.ErrNotFound)
	require.NotContains(t, strings.Join(reg.Requests(), "\n"), "PUT /v2/trust/manifests/")
}

// Whoever may push can put garbage under the tags of the protocol.
func TestForgedTags(t *testing.T) {
	layer := func(mediaType, name string, size int64, data []byte) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: size, Data: data, Annotations: map[string]string{metadata.AnnotationFilename: name}}
	}
	file := func(name, content string) ocispec.Descriptor {
		return layer(metadata.MediaTypeFile, name, int64(len(content)), []byte(content))
	}
	whole := []ocispec.Descriptor{file("timestamp.json", "t"), file("1.snapshot.json", "s"), file("1.targets.json", "g"), file("1.root.json", "r")}
	with := func(extra ...ocispec.Descriptor) []ocispec.Descriptor { return append(extra, whole...) }
	lie := file("1.a.json", "a")
	lie.Data = []byte("b")
	huge := file("1.a.json", "a")
	huge.Size, huge.Data = 1<<40, nil
	cases := map[string]any{
		"no JSON":        "garbage",
		"an image":       ocispec.Manifest{MediaType: manifestType, Config: ocispec.DescriptorEmptyJSON},
		"no timestamp":   state(whole[1:]),
		"no root":        state(whole[:3]),
		"twice":          state(with(file("2.targets.json", "h"))),
		"a root missing": state(with(file("3.root.json", "h"))),
		"a path":         state(with(file("1.../../x.json", "h"))),
		"no version":     state(with(file("x.json", "h"))),
		"leading zero":   state(with(file("01.x.json", "h"))),
		"inlined lie":    state(with(lie)),
		"a huge file":    state(with(huge)),
		"reserved name":  state(with(file("1.root-pack.json", "h"))),
	}
	tag := "state.000000000001.000000000001." + digest.FromString("s").Encoded()[:12]
	another := "state.000000000001.000000000001." + digest.FromString("other").Encoded()[:12]
	everywhere(t, func(t *testing.T, p *place) {
		read := func(t *testing.T, tag string, m any) error {
			data, err := json.Marshal(m)
			require.NoError(t, err)
			if p.reg != nil {
				f := p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/" + tag), Then: serveManifest(data)})
				defer f.Remove()
			} else {
				p.forge(t, tag, data)
			}
			_, err = p.trust(t, nil).Read(ctx, tuf.Entry{Tag: tag, Root: 1, Version: 1, Digest: tag[len(tag)-12:]})
			return err
		}
		require.NoError(t, read(t, tag, state(whole)))
		require.ErrorIs(t, read(t, another, state(whole)), tuf.ErrUnreadable, "it is another publication's tag")
		for name, m := range cases {
			t.Run(name, func(t *testing.T) { require.ErrorIs(t, read(t, tag, m), tuf.ErrUnreadable) })
		}
	})
}

func state(layers []ocispec.Descriptor) ocispec.Manifest {
	m := ocispec.Manifest{MediaType: manifestType, ArtifactType: metadata.ArtifactTypeState, Config: ocispec.DescriptorEmptyJSON, Layers: layers}
	m.SchemaVersion = 2
	return m
}

// serveManifest answers with data as a manifest, with headers that fit.
func serveManifest(data []byte) fixtures.Action {
	return fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
		rec.Code = 200
		rec.Body.Reset()
		rec.Body.Write(data)
		rec.Header().Set("Content-Type", manifestType)
		rec.Header().Set("Docker-Content-Digest", digest.FromBytes(data).String())
	})
}

// Tags that only look like the protocol's are nobody's.
func TestOtherTagsAreNotListed(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		commit(t, p.trust(t, nil), publication(1))
		raw := p.raw(t)
		for _, tag := range []string{
			"state.1.1.abcdefabcdef", "state.000000000001.000000000001.xyz", "state.000000000001.abcdefabcdef", "draft.000000000000.abcdefabcdef",
			"state.99999999999999999999.000000000001.abcdefabcdef", "state.0000000000001.000000000001.abcdefabcdef", "draft.000000000001.ABCDEFABCDEF", "draft.", "1.0",
		} {
			raw.PushImage(t, tag, "hello")
		}
		list, err := p.trust(t, nil).List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}

func TestReservedRoleName(t *testing.T) {
	p := publication(1)
	p.SetRole(role(tuf.RootPack, 1, "x"))
	_, err := onLayout(t).trust(t, nil).Commit(ctx, p)
	require.ErrorContains(t, err, "reserved")
	p = publication(1)
	p.Roles = append(p.Roles, role(tuf.RootPack, 1, "x"))
	_, err = onLayout(t).trust(t, nil).Commit(ctx, p)
	require.ErrorContains(t, err, "reserved")
}

// A publication that no registry would take is refused before it is sent.
func TestTooManyRoles(t *testing.T) {
	p := publication(1)
	for i := range 20_000 {
		p.Roles = append(p.Roles, role("role-"+strings.Repeat("0", 20)+string(rune('a'+i%26)), int64(i+1), "x", strings.Repeat("p", 200)))
	}
	reg := fixtures.Distribution(t)
	_, err := onRegistry(reg).trust(t, nil).Commit(ctx, p)
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.Empty(t, reg.Requests())
}

// Where tags cannot be deleted, the manifest is.
func TestDeleteByDigest(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	e := commit(t, p.trust(t, nil), publication(1))
	other := commit(t, p.trust(t, nil), publication(2))
	reg.Inject(fixtures.Fault{On: fixtures.On("DELETE", "/manifests/state."), Then: fixtures.Status(400)})
	require.NoError(t, p.trust(t, nil).Delete(ctx, e))
	list, err := p.trust(t, nil).List(ctx)
	require.NoError(t, err)
	require.Equal(t, []tuf.Entry{other}, list)
}

func TestDeleteRefused(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t, fixtures.WithoutDelete()))
	e := commit(t, p.trust(t, nil), publication(1))
	require.ErrorIs(t, p.trust(t, nil).Delete(ctx, e), registrystore.ErrReadOnly)
}
