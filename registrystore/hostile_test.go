package registrystore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

type object = map[string]any

// evidenceJSON is an honest attachment of subject, to be spoilt.
func evidenceJSON(t *testing.T, p *place, subject ocispec.Descriptor) object {
	t.Helper()
	d := p.attach(t, subject, publisherID, 7)
	a, err := p.artifacts(t).Read(t.Context(), registrystore.Reference{Digest: d})
	require.NoError(t, err)
	var out object
	require.NoError(t, json.Unmarshal(a.Raw, &out))
	return out
}

func layersOf(m object) []any { return m["layers"].([]any) }

func layerAt(m object, i int) object { return layersOf(m)[i].(object) }

// spoilt are manifests that claim to be attachments and are none, and what
// the note says of them.
var spoilt = map[string]struct {
	spoil func(m object, other ocispec.Descriptor)
	note  string
}{
	"another artifact type": {func(m object, _ ocispec.Descriptor) { m["artifactType"] = "application/vnd.carnet.state.v1" }, "is no trust attachment"},
	"no media type":         {func(m object, _ ocispec.Descriptor) { delete(m, "mediaType") }, "is no trust attachment"},
	"an index at once":      {func(m object, _ ocispec.Descriptor) { m["manifests"] = []any{} }, "is no trust attachment"},
	"an image's config": {func(m object, _ ocispec.Descriptor) {
		m["config"].(object)["mediaType"] = ocispec.MediaTypeImageConfig
	}, "config"},
	"another config": {func(m object, other ocispec.Descriptor) {
		m["config"] = object{"mediaType": ocispec.MediaTypeEmptyJSON, "digest": other.Digest, "size": other.Size}
	}, "config"},
	"an image's layer": {func(m object, _ ocispec.Descriptor) { layerAt(m, 0)["mediaType"] = ocispec.MediaTypeImageLayer }, "a layer is"},
	"another subject": {func(m object, other ocispec.Descriptor) {
		m["subject"] = object{"mediaType": other.MediaType, "digest": other.Digest, "size": other.Size}
	}, "attached to something else"},
	"no subject":          {func(m object, _ ocispec.Descriptor) { delete(m, "subject") }, "attached to something else"},
	"no layers":           {func(m object, _ ocispec.Descriptor) { m["layers"] = []any{} }, "a file is missing"},
	"no timestamp":        {func(m object, _ ocispec.Descriptor) { m["layers"] = layersOf(m)[1:] }, "a file is missing"},
	"a layer twice":       {func(m object, _ ocispec.Descriptor) { m["layers"] = append(layersOf(m), layerAt(m, 0)) }, "stands twice"},
	"inlined bytes lie":   {func(m object, _ ocispec.Descriptor) { layerAt(m, 0)["data"] = "bGllcw==" }, "inlined"},
	"a size below zero":   {func(m object, _ ocispec.Descriptor) { layerAt(m, 1)["size"] = -1 }, "bytes"},
	"a size beyond limit": {func(m object, _ ocispec.Descriptor) { layerAt(m, 0)["size"] = metadata.MaxTimestamp + 1 }, "bytes"},
	"a digest that is a path": {func(m object, _ ocispec.Descriptor) {
		layerAt(m, 1)["digest"] = "sha256:../../../../etc/passwd"
	}, "digest"},
	"a terminal escape in a name": {func(m object, _ ocispec.Descriptor) {
		for i := range 2 {
			layerAt(m, 3+i)["annotations"] = object{metadata.AnnotationFilename: "7.evil%1B%5B31m.json"}
		}
	}, "stands twice"},
	"a terminal escape in a type": {func(m object, _ ocispec.Descriptor) { m["mediaType"] = "\x1b[31m" }, `\x1b[31m`},
	"too many layers": {func(m object, _ ocispec.Descriptor) {
		for i := range 2_000 {
			m["layers"] = append(layersOf(m), fileLayer(fmt.Sprintf("1.r%d.json", i), 10))
		}
	}, "layers where at most"},
	"too many roots": {func(m object, _ ocispec.Descriptor) {
		for i := range tuf.MaxRootFiles {
			m["layers"] = append(layersOf(m), fileLayer(fmt.Sprintf("%d.root.json", i+2), 10))
		}
	}, "17 roots"},
	"roots too large": {func(m object, _ ocispec.Descriptor) {
		pack := fileLayer("", metadata.MaxPrefetch)
		pack["mediaType"] = metadata.MediaTypeRootPack
		m["layers"] = append(layersOf(m), pack)
	}, "roots and timestamp have"},
}

func fileLayer(name string, size int64) object {
	return object{
		"mediaType": metadata.MediaTypeFile, "digest": digest.FromString(name), "size": size,
		"annotations": object{metadata.AnnotationFilename: name},
	}
}

// What is no attachment of this subject is a note, whether it stands under
// the attachment's own tag or is listed, and what is honest is found beside it.
func TestSpoiltAttachmentsAreNotes(t *testing.T) {
	for name, c := range spoilt {
		t.Run(name, func(t *testing.T) {
			p := onRegistry(fixtures.Registry11(t))
			raw := p.raw(t)
			subject, other := raw.PushImage(t, "1.0", "one"), raw.PushImage(t, "2.0", "two")
			m := evidenceJSON(t, p, subject)
			c.spoil(m, other)
			bad, err := json.Marshal(m)
			require.NoError(t, err)
			tag := registrystore.AttachmentTag(subject.Digest, publisherID)
			serve(p, "/manifests/"+tag, manifestType, bad)
			found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
			require.Len(t, found, 1, "the list names the honest one")
			require.Len(t, notes, 1)
			require.ErrorContains(t, notes[0], c.note)
		})
	}
}

// serve lets the registry answer with these bytes, whatever it stores.
func serve(p *place, part, mediaType string, body []byte) *fixtures.Injected {
	return p.reg.Inject(fixtures.Fault{On: fixtures.Get(part), Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
		rec.Code = http.StatusOK
		rec.Body.Reset()
		rec.Body.Write(body)
		rec.Header().Set("Content-Type", mediaType)
		rec.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
	})})
}

// Also what breaks JSON, limits or digests, or answers nothing useful.
func TestDamagedAnswersAreNotes(t *testing.T) {
	deep := []byte(strings.Repeat(`{"a":`, 20_000) + strings.Repeat("}", 20_000))
	for name, then := range map[string]fixtures.Action{
		"no JSON":      fixtures.Serve([]byte("\x1b]0;evil\x07")),
		"other digest": fixtures.FlipByte(10),
		"too large":    fixtures.Serve(make([]byte, metadata.MaxManifest+1)),
		"deep":         fixtures.Serve(deep),
		"refused":      fixtures.Status(http.StatusForbidden),
		"cut off":      fixtures.Truncate(100),
		"failing":      fixtures.Status(http.StatusInternalServerError),
	} {
		t.Run(name, func(t *testing.T) {
			p := onRegistry(fixtures.Distribution(t))
			raw := p.raw(t)
			subject := raw.PushImage(t, "1.0", "one")
			d := p.attach(t, subject, publisherID, 7)
			p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: then})
			found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
			require.Len(t, found, 1, "the list names the honest one")
			require.Equal(t, d, found[0].Digest)
			require.Len(t, notes, 1)
			require.Negative(t, strings.IndexFunc(notes[0].Error(), func(r rune) bool { return !unicode.IsPrint(r) }), "%q", notes[0].Error())
		})
	}
}

// Whoever may push can spoil one list. That does not silence the other.
func TestOneListDoesNotSilenceTheOther(t *testing.T) {
	for _, then := range map[string]fixtures.Action{
		"refused": fixtures.Status(http.StatusForbidden), "garbage": fixtures.Serve([]byte(`{"manifests":"none"}`)),
	} {
		p := onRegistry(fixtures.Registry11(t))
		raw := p.raw(t)
		subject := raw.PushImage(t, "1.0", "one")
		d := p.attach(t, subject, publisherID, 7)
		p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)})
		// The other list answers only when this one has failed.
		failed := make(chan struct{})
		p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/sha256-"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			then(w, r, next)
			close(failed)
		}})
		p.reg.Inject(fixtures.Fault{On: fixtures.Get("/referrers/"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			<-failed
			select {
			case <-r.Context().Done(): // it was given up
			case <-time.After(200 * time.Millisecond):
			}
			next.ServeHTTP(w, r)
		}})
		found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
		require.Len(t, notes, 1)
		require.Len(t, found, 1)
		require.Equal(t, d, found[0].Digest)
	}
}

// A list, or a tag, that never comes leaves time for what did.
func TestSilentListDoesNotSilenceTheTag(t *testing.T) {
	for _, silent := range []string{"/referrers/", "/manifests/sha256-", "/manifests/trust."} {
		t.Run(silent, func(t *testing.T) {
			p := onRegistry(fixtures.Registry11(t))
			raw := p.raw(t)
			subject := raw.PushImage(t, "1.0", "one")
			d := p.attach(t, subject, publisherID, 7)
			p.reg.Inject(fixtures.Fault{On: fixtures.Get(silent), Then: fixtures.Stall})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			found, notes := p.artifacts(t).Attachments(ctx, subject.Digest, publisherID)
			require.NoError(t, ctx.Err(), "time is left")
			require.Len(t, notes, 1)
			require.Len(t, found, 1)
			require.Equal(t, d, found[0].Digest)
		})
	}
}

// crowd stores n foreign referrers. How they describe themselves decides what
// they cost.
func (p *place) crowd(t *testing.T, subject ocispec.Descriptor, n int, kind string) {
	t.Helper()
	raw := p.raw(t)
	for i := range n {
		m := object{
			"schemaVersion": 2, "mediaType": manifestType, "artifactType": metadata.ArtifactTypeTrust, "config": ocispec.DescriptorEmptyJSON,
			"layers": []any{ocispec.DescriptorEmptyJSON}, "subject": subject, "annotations": object{"n": fmt.Sprint(i)},
		}
		switch kind {
		case "of others":
			m["annotations"] = object{metadata.AnnotationPublisher: registrystore.PublisherHash(fmt.Sprint(i))}
		case "of another type":
			m["artifactType"] = "application/vnd.example.sbom"
		case "in its name":
			m["annotations"] = object{
				metadata.AnnotationPublisher: registrystore.PublisherHash(publisherID),
				metadata.AnnotationVersion:   fmt.Sprintf("999999999999.%012d\x1b[31m", i),
			}
		}
		data, err := json.Marshal(m)
		require.NoError(t, err)
		raw.PushBlob(t, ocispec.MediaTypeEmptyJSON, []byte("{}"))
		raw.PushManifest(t, "", manifestType, data)
	}
}

// What foreign attachments cost: the tag and two lists, and the manifests of
// those that may be the publisher's, at most 8 in all. Nothing of them is
// fetched, and who has a tag of its own is found among any number.
func TestBudgetOfForeignAttachments(t *testing.T) {
	const lists = 3
	free, read := func(int, *place) int { return 0 }, func(n int, _ *place) int { return min(n, 7) }
	costs := map[string]func(int, *place) int{
		"of others": free, "of nobody": read, "in its name": read,
		"of another type": func(n int, p *place) int {
			if p.reg == nil || p.reg.Dir != "" {
				return 0
			}
			return min(n, 7) // this registry lists no artifact types
		},
	}
	for kind, cost := range costs {
		for _, n := range []int{0, 1, 100} {
			t.Run(fmt.Sprint(n, " ", kind), func(t *testing.T) {
				everywhere(t, func(t *testing.T, p *place) {
					subject := p.raw(t).PushImage(t, "1.0", "one")
					p.crowd(t, subject, n, kind)
					mine := p.attach(t, subject, publisherID, 7)
					if p.reg != nil {
						p.reg.Reset()
					}
					found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
					require.Len(t, found, 1)
					require.Equal(t, mine, found[0].Digest)
					require.Len(t, notes, cost(n, p))
					if p.reg == nil {
						return
					}
					require.Len(t, p.reg.Requests(), lists+cost(n, p), "%v", p.reg.Requests())
					_, bytes := p.reg.Bytes()
					require.Less(t, bytes, int64(200_000))
				})
			})
		}
	}
}

// Whoever may push can take the tag away, and claim newer versions than any
// honest attachment has: up to 7 such lies the list still leads to it, beyond
// that it does not. Nothing is believed for all that, and the cost is bounded.
func TestCrowdThatTookTheTag(t *testing.T) {
	for _, start := range []start{fixtures.Distribution, fixtures.Registry11} {
		for n, want := range map[int]int{7: 1, 8: 0, 100: 0} {
			p := onRegistry(start(t))
			raw := p.raw(t)
			subject := raw.PushImage(t, "1.0", "one")
			p.attach(t, subject, publisherID, 7)
			p.crowd(t, subject, n, "in its name")
			require.NoError(t, raw.Target.Tag(t.Context(), subject, registrystore.AttachmentTag(subject.Digest, publisherID)))
			p.reg.Reset()
			found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
			require.Len(t, found, want)
			require.Len(t, notes, 1+8-want)
			require.Len(t, p.reg.Requests(), 3+8)
		}
	}
}

// paged lets the referrers API answer in pages of one entry, for ever after
// the last one with empty pages if endless.
func paged(p *place, entries []ocispec.Descriptor, endless bool) *fixtures.Injected {
	return p.reg.Inject(fixtures.Fault{On: fixtures.Get("/referrers/"), Then: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		n := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n)
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
		index.SchemaVersion = 2
		if n < len(entries) {
			index.Manifests = entries[n : n+1]
		}
		if n+1 < len(entries) || endless {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n+1))
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_ = json.NewEncoder(w).Encode(index)
	}})
}

// Each page of a list is a round of its own: 8 are read for evidence. An
// attachment on a later page is found by its tag only.
func TestPagesOfReferrers(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	p.attach(t, subject, publisherID, 7)
	mine, err := p.artifacts(t).Referrers(t.Context(), subject.Digest)
	require.NoError(t, err)
	tag := fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)}
	sbom := ocispec.Descriptor{MediaType: manifestType, ArtifactType: "application/vnd.example.sbom", Digest: digest.FromString("sbom"), Size: 4}
	for before, want := range map[int]int{0: 1, 7: 1, 8: 0} {
		for _, endless := range []bool{false, true} {
			var entries []ocispec.Descriptor
			for range before {
				entries = append(entries, sbom)
			}
			list, gone := paged(p, append(entries, mine[0]), endless), p.reg.Inject(tag)
			p.reg.Reset()
			found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
			require.Len(t, found, want, "behind %d pages", before)
			pages := min(before+1, 8)
			if endless {
				pages = 8
			}
			require.Len(t, p.reg.Requests(), 2+pages+want, "%v", p.reg.Requests())
			require.Equal(t, endless || before == 8, len(notes) == 1, "%v", notes)
			gone.Remove()
			found, _ = p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
			require.Len(t, found, 1, "by its tag")
			list.Remove()
		}
	}
}

// A list without an end is an error where all of it is needed.
func TestEndlessReferrersEnd(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	subject := p.raw(t).PushImage(t, "1.0", "one")
	paged(p, nil, true)
	p.reg.Reset()
	_, err := p.artifacts(t).ReferrerGraph(t.Context(), subject.Digest)
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.Len(t, p.reg.Requests(), 100)
	// Whether there is such a list takes one page.
	p.reg.Reset()
	p.attach(t, subject, publisherID, 7)
	require.Equal(t, 1, strings.Count(strings.Join(p.reg.Requests(), "\n"), "/referrers/"))
}

// What a forged attachment declares is not fetched before a signature asks
// for it, but for some files of some size.
func TestBudgetOfFetchingAhead(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	m := evidenceJSON(t, p, subject)
	roles := layersOf(m)
	for i := range 100 {
		roles = append(roles, fileLayer(fmt.Sprintf("1.small%d.json", i), 10))
	}
	for i := range 10 {
		roles = append(roles, fileLayer(fmt.Sprintf("1.huge%d.json", i), metadata.MaxTargets))
	}
	m["layers"] = roles
	for _, l := range roles {
		if name := l.(object)["annotations"].(object)[metadata.AnnotationFilename]; name == "1.targets.json" {
			l.(object)["size"] = metadata.MaxTargets
			delete(l.(object), "data")
		}
	}
	forged, err := json.Marshal(m)
	require.NoError(t, err)
	serve(p, "/manifests/trust.", manifestType, forged)
	p.reg.Inject(fixtures.Fault{On: fixtures.Get("/referrers/"), Then: fixtures.Status(http.StatusNotFound)})
	found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
	require.Empty(t, notes)
	require.Len(t, found, 1)
	p.reg.Reset()
	found[0].Prefetch(t.Context(), tuf.Want{Has: func(string, string) bool { return false }})
	require.Len(t, p.reg.Requests(), 4+metadata.MaxPrefetches, "%v", p.reg.Requests())
	for i := range 10 {
		require.NotContains(t, strings.Join(p.reg.Requests(), "\n"), digest.FromString(fmt.Sprintf("1.huge%d.json", i)))
	}
	// Without a signed hash, what is read by name alone is bounded as well.
	_, err = found[0].File(t.Context(), "huge1", metadata.MetaFile{Version: 1})
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
}

// One damaged manifest of a layout does not hide the others from who looks for
// evidence; to who needs the whole list it is an error.
func TestDamagedLayoutStillHasEvidence(t *testing.T) {
	p := onLayout(t)
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	bad := raw.PushReferrer(t, subject, "application/vnd.example.sbom", "sbom")
	d := p.attach(t, subject, publisherID, 7)
	require.NoError(t, os.Remove(filepath.Join(p.dir, "blobs", "sha256", bad.Digest.Encoded())))
	p.untag(t, registrystore.AttachmentTag(subject.Digest, publisherID))
	found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
	require.Len(t, found, 1)
	require.Equal(t, d, found[0].Digest)
	require.Len(t, notes, 0, "what is not there is no attachment")
	_, err := p.artifacts(t).Referrers(t.Context(), subject.Digest)
	require.ErrorIs(t, err, registrystore.ErrNotFound)
}

// untag takes a tag out of a layout's index, the manifest stays.
func (p *place) untag(t *testing.T, tag string) {
	t.Helper()
	file := filepath.Join(p.dir, "index.json")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(raw), tag)
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(raw), tag, "other")), 0o600))
}

// Manifests are kept in memory while a graph is read: all together they are
// bounded.
func TestGraphOfLargeManifestsIsRefused(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	pad := strings.Repeat("x", metadata.MaxManifest-2_000)
	for i := range 17 {
		m, err := json.Marshal(object{
			"schemaVersion": 2, "mediaType": manifestType, "artifactType": "application/vnd.example.note",
			"config": ocispec.DescriptorEmptyJSON, "layers": []any{}, "subject": subject, "pad": fmt.Sprint(i, pad),
		})
		require.NoError(t, err)
		raw.PushManifest(t, "", manifestType, m)
	}
	_, err := p.artifacts(t).ReferrerGraph(t.Context(), subject.Digest)
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
}

// What a list says in ways that no manifest can have is not asked for, and a
// list that is too long is not read on.
func TestOddListsCostNothing(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	subject := p.raw(t).PushImage(t, "1.0", "one")
	hint := map[string]string{metadata.AnnotationPublisher: registrystore.PublisherHash(publisherID)}
	var list []ocispec.Descriptor
	for _, d := range []digest.Digest{digest.SHA512.FromString("x"), "sha256:../../x", "", "latest"} {
		list = append(list, ocispec.Descriptor{MediaType: manifestType, ArtifactType: metadata.ArtifactTypeTrust, Digest: d, Size: 4, Annotations: hint})
	}
	list = append(list, ocispec.Descriptor{MediaType: manifestType, ArtifactType: metadata.ArtifactTypeTrust, Digest: digest.FromString("x"), Size: metadata.MaxManifest + 1, Annotations: hint})
	for range 1_001 {
		list = append(list, ocispec.Descriptor{MediaType: manifestType, ArtifactType: "application/vnd.example", Digest: digest.FromString("y"), Size: 4})
	}
	body, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
	require.NoError(t, err)
	p.reg.Inject(fixtures.Fault{On: fixtures.Get("/referrers/"), Then: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Link", fmt.Sprintf(`<%s?next>; rel="next"`, r.URL.Path))
		_, _ = w.Write(body)
	}})
	p.reg.Reset()
	found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
	require.Empty(t, found)
	require.Len(t, notes, 1)
	require.ErrorIs(t, notes[0], registrystore.ErrTooLarge)
	require.Len(t, p.reg.Requests(), 3, "%v", p.reg.Requests())
}

// Candidates that name nobody are read after all that name the publisher,
// whatever version they claim.
func TestThoseThatNameNobodyAreReadLast(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	mine := p.attach(t, subject, publisherID, 7)
	for i := range 20 {
		m, err := json.Marshal(object{
			"schemaVersion": 2, "mediaType": manifestType, "artifactType": metadata.ArtifactTypeTrust, "config": ocispec.DescriptorEmptyJSON, "layers": []any{},
			"subject": subject, "annotations": object{metadata.AnnotationVersion: fmt.Sprintf("999999999999.%012d", i)},
		})
		require.NoError(t, err)
		raw.PushManifest(t, "", manifestType, m)
	}
	p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)})
	found, _ := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
	require.Len(t, found, 1)
	require.Equal(t, mine, found[0].Digest)
}

// Of a fallback index that is too long the first 1,000 entries are looked at.
func TestLongFallbackIndexIsCut(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	subject := p.raw(t).PushImage(t, "1.0", "one")
	mine := p.attach(t, subject, publisherID, 7)
	a, err := p.artifacts(t).Read(t.Context(), registrystore.Reference{Digest: mine})
	require.NoError(t, err)
	entry := ocispec.Descriptor{MediaType: manifestType, ArtifactType: metadata.ArtifactTypeTrust, Digest: mine, Size: a.Size, Annotations: a.Annotations}
	p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)})
	for before, want := range map[int]int{999: 1, 1_000: 0} {
		var list []ocispec.Descriptor
		for range before {
			list = append(list, ocispec.Descriptor{MediaType: manifestType, ArtifactType: "application/vnd.example", Digest: digest.FromString("x"), Size: 1})
		}
		body, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: append(list, entry)})
		require.NoError(t, err)
		served := serve(p, "/manifests/sha256-", ocispec.MediaTypeImageIndex, body)
		found, _ := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
		require.Len(t, found, want, "behind %d entries", before)
		served.Remove()
	}
}

// Lists that claim too much all together end the listing: those of the other
// digests are not asked for any more.
func TestClaimsAreCountedWhileTheyAreListed(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	var list []ocispec.Descriptor
	for range 600 {
		list = append(list, ocispec.Descriptor{MediaType: manifestType, ArtifactType: "application/vnd.example", Digest: digest.FromString("x"), Size: 1})
	}
	body, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
	require.NoError(t, err)
	serve(p, "/manifests/sha256-", ocispec.MediaTypeImageIndex, body)
	var level []digest.Digest
	for i := range 500 {
		level = append(level, digest.FromString(fmt.Sprint(i)))
	}
	p.reg.Reset()
	_, err = p.artifacts(t).ReferrerGraph(t.Context(), level...)
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.Less(t, len(p.reg.Requests()), 250)
}
