package registrystore_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
)

func (p *place) doctor(t *testing.T) map[string]registrystore.Finding {
	t.Helper()
	regs, err := registrystore.New(p.opts, nil)
	require.NoError(t, err)
	repo, err := registrystore.ParseRepository(p.name, "")
	require.NoError(t, err)
	list, err := regs.Doctor(ctx, repo)
	require.NoError(t, err)
	out := map[string]registrystore.Finding{}
	for _, f := range list {
		require.NotContains(t, out, f.Name)
		require.NotEmpty(t, f.Carnet)
		out[f.Name] = f
	}
	return out
}

func results(found map[string]registrystore.Finding) map[string]string {
	out := map[string]string{}
	for name, f := range found {
		out[name] = f.Result
	}
	return out
}

// What is said of the two registries is what they do, and nothing is left
// behind.
func TestDoctorOnRealRegistries(t *testing.T) {
	for name, c := range map[string]struct {
		start start
		want  map[string]string
	}{
		"distribution": {fixtures.Distribution, map[string]string{"referrers-api": "no", "not-modified": "yes"}},
		"1.1":          {fixtures.Registry11, map[string]string{"referrers-api": "yes", "not-modified": "no"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := onRegistry(c.start(t))
			commit(t, p.trust(t, nil), publication(1))
			want := map[string]string{
				"writing": "yes", "tags": "2", "tag-order": "sorted", "tag-paging": "yes", "tag-list-read-your-writes": "yes",
				"moving-tags": "yes", "inlined-data": "kept", "fallback-tag-aliasing": "no",
				"manifest-limit": "4 MiB", "delete": "tags",
			}
			for k, v := range c.want {
				want[k] = v
			}
			got := results(p.doctor(t))
			// Distribution on a file system lists a tag a moment before it can be
			// read; whether that is seen is chance.
			require.Contains(t, []string{"yes", "no"}, got["listed-before-readable"])
			delete(got, "listed-before-readable")
			require.Equal(t, want, got)
			for _, r := range p.reg.Log() {
				if r.Method == http.MethodPut && strings.Contains(r.Path, "/manifests/") && !strings.Contains(r.Path, "/manifests/carnet-doctor.") {
					require.Regexp(t, "manifests/(state|latest)", r.Path)
				}
			}
			raw := p.raw(t).Target.(interface {
				Tags(context.Context, string, func([]string) error) error
			})
			require.NoError(t, raw.Tags(ctx, "", func(tags []string) error {
				require.NotContains(t, strings.Join(tags, " "), "carnet-doctor.")
				return nil
			}))
		})
	}
}

// Each thing that a registry can do wrong is found.
func TestDoctorFindsWhatIsWrong(t *testing.T) {
	var lists atomic.Int64
	editTags := func(edit func([]string) []string) fixtures.Action {
		return fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
			var list map[string]any
			var tags []string
			_ = json.Unmarshal(rec.Body.Bytes(), &list)
			if l, ok := list["tags"].([]any); ok {
				for _, x := range l {
					tags = append(tags, x.(string))
				}
			}
			list["tags"] = edit(tags)
			raw, _ := json.Marshal(list)
			rec.Body.Reset()
			rec.Body.Write(raw)
		})
	}
	tagList := fixtures.Get("/tags/list")
	for name, c := range map[string]struct {
		finding, want string
		fault         fixtures.Fault
		opts          []fixtures.Option
	}{
		"read only":       {"writing", "no", fixtures.Fault{On: fixtures.Writes, Then: fixtures.Status(405)}, nil},
		"forbidden":       {"writing", "no", fixtures.Fault{On: fixtures.Writes, Then: fixtures.Status(403)}, nil},
		"immutable":       {"moving-tags", "no", fixtures.Fault{Nth: -1}, []fixtures.Option{fixtures.WithImmutableTags(409)}},
		"no delete":       {"delete", "no", fixtures.Fault{Nth: -1}, []fixtures.Option{fixtures.WithoutDelete()}},
		"by digest":       {"delete", "manifests", fixtures.Fault{On: fixtures.On("DELETE", "/manifests/carnet-doctor."), Then: fixtures.Status(400)}, nil},
		"small manifests": {"manifest-limit", "less than 4 MiB", fixtures.Fault{On: func(r *http.Request) bool { return r.Method == "PUT" && r.ContentLength > 2<<20 }, Then: fixtures.Status(413)}, nil},
		"unsorted": {"tag-order", "unsorted", fixtures.Fault{On: tagList, Then: editTags(func(tags []string) []string {
			if len(tags) > 1 {
				tags[0], tags[1] = tags[1], tags[0]
			}
			return tags
		})}, nil},
		"late lists": {"tag-list-read-your-writes", "no", fixtures.Fault{On: tagList, First: 2, Then: editTags(func([]string) []string { return []string{} })}, nil},
		"early lists": {"listed-before-readable", "yes", fixtures.Fault{On: tagList, Then: editTags(func(tags []string) []string {
			if lists.Add(1) > 2 {
				for _, tag := range tags {
					if strings.HasPrefix(tag, "carnet-doctor.") {
						return append(tags, strings.TrimSuffix(tag, tag[strings.LastIndex(tag, "."):])+".ghost")
					}
				}
			}
			return tags
		})}, nil},
		"last ignored": {"tag-paging", "last is ignored", fixtures.Fault{On: func(r *http.Request) bool { return r.URL.Query().Has("last") }, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.URL.RawQuery = "n=1"
			next.ServeHTTP(w, r)
		}}, nil},
		"no pages": {"tag-paging", "no", fixtures.Fault{On: func(r *http.Request) bool { return r.URL.Query().Has("n") }, Then: editTags(func([]string) []string { return []string{"a", "b"} })}, nil},
		"pretended": {"referrers-api", "pretended", fixtures.Fault{On: fixtures.Get("/referrers/"), Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
			rec.Code = 200
			rec.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			rec.Body.Reset()
			rec.Body.WriteString(`{"schemaVersion":2,"manifests":[]}`)
		})}, nil},
		"aliasing": {"fallback-tag-aliasing", "yes", fixtures.Fault{On: fixtures.Head("/manifests/sha256-"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.URL.Path = strings.Replace(r.URL.Path, "sha256-", "sha256:", 1)
			next.ServeHTTP(w, r)
		}}, nil},
		"inlined dropped": {"inlined-data", "changed", fixtures.Fault{On: func(r *http.Request) bool { return r.Method == "GET" && strings.HasSuffix(r.URL.Path, ".a") }, Then: fixtures.Rewrite(func(rec *httptest.ResponseRecorder) {
			var m ocispec.Manifest
			if json.Unmarshal(rec.Body.Bytes(), &m) != nil {
				return // not modified
			}
			m.Layers[0].Data = nil
			raw, _ := json.Marshal(m)
			rec.Body.Reset()
			rec.Body.Write(raw)
			rec.Header().Set("Docker-Content-Digest", digest.FromBytes(raw).String())
		})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onRegistry(fixtures.Distribution(t, c.opts...))
			commit(t, p.trust(t, nil), publication(1))
			if c.fault.Then != nil {
				p.reg.Inject(c.fault)
			}
			require.Equal(t, c.want, p.doctor(t)[c.finding].Result)
		})
	}
}

// A repository that may only be read is not written.
func TestDoctorReadsOnly(t *testing.T) {
	p := onRegistry(fixtures.Registry11(t))
	commit(t, p.trust(t, nil), publication(1))
	p.reg.Inject(fixtures.Fault{On: fixtures.Writes, Then: fixtures.Status(403)})
	found := results(p.doctor(t))
	require.Equal(t, map[string]string{
		"writing": "no", "tags": "2", "tag-order": "sorted", "tag-paging": "yes", "referrers-api": "answers", "not-modified": "no",
	}, found)
}

func TestDoctorOnALayout(t *testing.T) {
	p := onLayout(t)
	commit(t, p.trust(t, nil), publication(1))
	require.Equal(t, "2", p.doctor(t)["tags"].Result)
}

func TestDoctorOnNothing(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	p.reg.Inject(fixtures.Fault{Then: fixtures.Status(401)})
	regs, err := registrystore.New(p.opts, nil)
	require.NoError(t, err)
	_, err = regs.Doctor(ctx, registrystore.Repository{Host: p.reg.Host, Name: "trust"})
	require.ErrorIs(t, err, registrystore.ErrUnauthorized)
}
