package registrystore_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
)

// A tag is resolved by one HEAD, a digest by none.
func TestResolve(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		image := p.raw(t).PushImage(t, "1.0", "hello")
		other := p.raw(t).PushImage(t, "2.0", "other")
		a := p.artifacts(t)
		if p.reg != nil {
			p.reg.Reset()
		}
		for _, suffix := range []string{":1.0", "@" + image.Digest.String(), ":1.0@" + image.Digest.String()} {
			d, err := a.Resolve(ctx, p.ref(t, suffix))
			require.NoError(t, err)
			require.Equal(t, image.Digest, d)
		}
		if p.reg != nil {
			require.Equal(t, []string{"HEAD /v2/trust/manifests/1.0", "HEAD /v2/trust/manifests/1.0"}, p.reg.Requests())
		}
		_, err := a.Resolve(ctx, p.ref(t, ":1.0@"+other.Digest.String()))
		var disagree *registrystore.DisagreeError
		require.ErrorAs(t, err, &disagree)
		require.Equal(t, image.Digest, disagree.Found)
		_, err = a.Resolve(ctx, p.ref(t, ":3.0"))
		require.ErrorIs(t, err, registrystore.ErrNotFound)
		_, err = a.Read(ctx, p.ref(t, ":1.0@"+other.Digest.String()))
		require.ErrorAs(t, err, &disagree)
	})
}

// dropDigest leaves the digest's header out.
type dropDigest struct{ http.ResponseWriter }

func (d dropDigest) WriteHeader(status int) {
	d.Header().Del("Docker-Content-Digest")
	d.ResponseWriter.WriteHeader(status)
}

// A registry whose HEAD names no digest is asked by GET.
func TestResolveWithoutDigestHeader(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	image := p.raw(t).PushImage(t, "1.0", "hello")
	p.reg.Inject(fixtures.Fault{Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(dropDigest{w}, r)
	}})
	d, err := p.artifacts(t).Resolve(ctx, p.ref(t, ":1.0"))
	require.NoError(t, err)
	require.Equal(t, image.Digest, d)
	require.Equal(t, []string{"HEAD /v2/trust/manifests/1.0", "GET /v2/trust/manifests/1.0"}, p.reg.Requests()[len(p.reg.Requests())-2:])
}

func TestReadArtifacts(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		raw := p.raw(t)
		image := raw.PushImage(t, "1.0", "hello")
		index, children := raw.PushIndex(t, "2.0", "hello")
		sbom := raw.PushReferrer(t, image, "application/spdx+json", "{}")

		a := p.artifacts(t)
		got, err := a.Read(ctx, p.ref(t, ":1.0"))
		require.NoError(t, err)
		require.Equal(t, image.Digest, got.Digest)
		require.Equal(t, image.Size, got.Size)
		require.Equal(t, ocispec.MediaTypeImageConfig, got.ArtifactType)
		got, err = a.Read(ctx, p.ref(t, ":2.0"))
		require.NoError(t, err)
		require.Equal(t, index.Digest, got.Digest)
		require.Equal(t, ocispec.MediaTypeImageIndex, got.MediaType)
		require.Len(t, got.Manifests, 2)
		require.Equal(t, children[1].Digest, got.Manifests[1].Digest)
		got, err = a.Read(ctx, p.ref(t, "@"+sbom.Digest.String()))
		require.NoError(t, err)
		require.Equal(t, "application/spdx+json", got.ArtifactType)
		require.Equal(t, image.Digest, got.Subject)
	})
}

// What is no manifest, or could be read as two things, is refused.
func TestReadHostileManifests(t *testing.T) {
	d := digest.FromString("x")
	child := func(dig string, size int64) string {
		return fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, manifestType, dig, size)
	}
	for name, c := range map[string]struct {
		raw  string
		want error
	}{
		"no JSON":            {"garbage", registrystore.ErrCorrupt},
		"both":               {fmt.Sprintf(`{"config":{"digest":%q,"size":1},"manifests":[]}`, d), registrystore.ErrCorrupt},
		"both, with layers":  {`{"layers":[],"manifests":[]}`, registrystore.ErrCorrupt},
		"a child by path":    {child("sha256:../../etc/passwd", 1), registrystore.ErrCorrupt},
		"a child by sha512":  {child(digest.SHA512.FromString("x").String(), 1), registrystore.ErrCorrupt},
		"a child of no size": {child(d.String(), 0), registrystore.ErrCorrupt},
		"a huge child":       {child(d.String(), 5<<20), registrystore.ErrCorrupt},
		"too many children":  {`{"manifests":[` + strings.Repeat(fmt.Sprintf(`{"digest":%q,"size":1},`, d), 1000) + fmt.Sprintf(`{"digest":%q,"size":1}]}`, d), registrystore.ErrCorrupt},
		"over 4 MiB":         {strings.Repeat(" ", 4<<20) + "{}", registrystore.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			reg := onRegistry(fixtures.Registry11(t))
			reg.raw(t).PushImage(t, "1.0", "hello")
			reg.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/1.0"), Then: serveManifest([]byte(c.raw))})
			layout := onLayout(t)
			layout.forge(t, "1.0", []byte(c.raw))
			for _, p := range []*place{reg, layout} {
				_, err := p.artifacts(t).Read(ctx, p.ref(t, ":1.0"))
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}

// Headers that do not fit the body are found out.
func TestLyingHeaders(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	image := p.raw(t).PushImage(t, "1.0", "hello")
	other := p.raw(t).PushImage(t, "2.0", "other")
	for _, ref := range []string{":1.0", "@" + image.Digest.String()} {
		fault := p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/"), Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
			rec.Header().Set("Docker-Content-Digest", other.Digest.String())
		})})
		_, err := p.artifacts(t).Read(ctx, p.ref(t, ref))
		require.ErrorIs(t, err, registrystore.ErrCorrupt)
		fault.Remove()
		fault = p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/"), Then: fixtures.FlipByte(20)})
		_, err = p.artifacts(t).Read(ctx, p.ref(t, ref))
		require.ErrorIs(t, err, registrystore.ErrCorrupt)
		fault.Remove()
	}
}

// The whole graph of referrers is found, wherever it is kept.
func TestReferrerGraph(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		raw := p.raw(t)
		image := raw.PushImage(t, "1.0", "hello")
		sbom := raw.PushReferrer(t, image, "application/spdx+json", "{}")
		scan := raw.PushReferrer(t, image, "application/vnd.scan", "clean")
		signature := raw.PushReferrer(t, sbom, "application/vnd.signature", "sig")
		lone := raw.PushImage(t, "2.0", "lone")

		a := p.artifacts(t)
		if p.reg != nil {
			p.reg.Reset()
		}
		found, err := a.ReferrerGraph(ctx, image.Digest)
		require.NoError(t, err)
		require.Equal(t, sorted(sbom.Digest, scan.Digest, signature.Digest), digests(found))
		for _, f := range found {
			require.Positive(t, f.Size)
			require.NotEmpty(t, f.Subject)
		}
		found, err = a.ReferrerGraph(ctx, lone.Digest)
		require.NoError(t, err)
		require.Empty(t, found)
		if p.reg != nil && p.reg.Dir != "" {
			pings := 0
			for _, r := range p.reg.Requests() {
				if strings.Contains(r, "/referrers/") {
					pings++
				}
			}
			require.Equal(t, 1, pings, "a registry without the API is asked for it once")
		}
	})
}

// What was found out about a repository is known to all who open it.
func TestReferrersAPIIsAskedForOnce(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	image := p.raw(t).PushImage(t, "1.0", "hello")
	regs, err := registrystore.New(p.opts, nil)
	require.NoError(t, err)
	p.reg.Reset()
	for range 3 {
		a, err := regs.Artifacts(p.ref(t, ":1.0").Repository)
		require.NoError(t, err)
		_, err = a.Referrers(ctx, image.Digest)
		require.NoError(t, err)
	}
	fallback := "GET /v2/trust/manifests/sha256-" + image.Digest.Encoded()
	require.Equal(t, []string{"GET /v2/trust/referrers/" + image.Digest.String(), fallback, fallback, fallback}, p.reg.Requests())
}

func digests(list []*registrystore.Artifact) []digest.Digest {
	var out []digest.Digest
	for _, a := range list {
		out = append(out, a.Digest)
	}
	return out
}

func sorted(list ...digest.Digest) []digest.Digest {
	slices.Sort(list)
	return list
}

// A list of referrers is anybody's: what refers to something else, or is not
// there, is not taken, and circles end.
func TestForgedReferrers(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	raw := p.raw(t)
	image := raw.PushImage(t, "1.0", "hello")
	sbom := raw.PushReferrer(t, image, "application/spdx+json", "{}")
	foreign := raw.PushImage(t, "2.0", "foreign")
	gone := ocispec.Descriptor{MediaType: manifestType, Digest: digest.FromString("gone"), Size: 4}
	odd := ocispec.Descriptor{MediaType: manifestType, Digest: "sha512:" + digest.Digest(strings.Repeat("a", 128)), Size: 4}
	listing := func(list ...ocispec.Descriptor) []byte {
		idx := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: list}
		idx.SchemaVersion = 2
		data, err := json.Marshal(idx)
		require.NoError(t, err)
		return data
	}
	serve := func(d digest.Digest, data []byte) {
		p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/sha256-" + d.Encoded()), Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
			rec.Code = 200
			rec.Body.Reset()
			rec.Body.Write(data)
			rec.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			rec.Header().Set("Docker-Content-Digest", digest.FromBytes(data).String())
		})})
	}
	serve(image.Digest, listing(sbom, sbom, foreign, gone, odd, image))
	serve(sbom.Digest, listing(image, sbom)) // a circle
	found, err := p.artifacts(t).ReferrerGraph(ctx, image.Digest)
	require.NoError(t, err)
	require.Equal(t, sorted(sbom.Digest), digests(found))

	var many []ocispec.Descriptor
	for i := range 1001 {
		many = append(many, ocispec.Descriptor{MediaType: manifestType, Digest: digest.FromString(fmt.Sprint(i)), Size: 4})
	}
	serve(image.Digest, listing(many...))
	p.reg.Reset()
	_, err = p.artifacts(t).ReferrerGraph(ctx, image.Digest)
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.LessOrEqual(t, len(p.reg.Requests()), 2)
}

// Some registries answer for the fallback tag with the manifest itself.
func TestAliasedFallbackTag(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	index, _ := p.raw(t).PushIndex(t, "1.0", "hello")
	p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/sha256-"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.URL.Path = strings.Replace(r.URL.Path, "sha256-", "sha256:", 1)
		next.ServeHTTP(w, r)
	}})
	found, err := p.artifacts(t).Referrers(ctx, index.Digest)
	require.NoError(t, err)
	require.Empty(t, found)
}

// Lists of tags come unsorted, in pages, twice, or endless.
func TestTagLists(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	commit(t, p.trust(t, nil), publication(1))
	e := commit(t, p.trust(t, nil), publication(2))
	pages := func(next string, tags ...string) fixtures.Action {
		return fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
			if next != "" {
				rec.Header().Set("Link", "<"+next+`>; rel="next"`)
			}
			data, _ := json.Marshal(map[string]any{"name": "trust", "tags": tags})
			rec.Body.Reset()
			rec.Body.Write(data)
		})
	}
	old := "state.000000000001.000000000001." + publication(1).Identity()[:12]
	fault := p.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Nth: 1, Then: pages("/v2/trust/tags/list?n=2&last=x", e.Tag, "zebra")})
	second := p.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Nth: 2, Then: pages("", old, e.Tag, "1.0")})
	list, err := p.trust(t, nil).List(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	fault.Remove()
	second.Remove()

	// A link to another host is not followed, an endless list ends.
	for _, next := range []string{"http://127.0.0.1:1/v2/trust/tags/list", "/v2/trust/tags/list?again"} {
		f := p.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: pages(next, "a")})
		_, err := p.trust(t, nil).List(ctx)
		require.Error(t, err)
		require.LessOrEqual(t, f.Hits(), 2_001)
		f.Remove()
	}
	huge := p.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: fixtures.Serve([]byte(`{"tags":["` + strings.Repeat("x", 5<<20) + `"]}`))})
	_, err = p.trust(t, nil).List(ctx)
	require.Error(t, err)
	huge.Remove()
}
