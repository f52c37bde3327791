package main

import (
	"cmp"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

// row is one line of the table. What was not measured is -1, or missing.
type row struct {
	name                    string
	requests, rounds, bytes int64
	wall                    []time.Duration // medians, one for each latency
	cpu                     time.Duration
	mallocs, allocated      int64
}

// Names of rows that have a target.
const (
	coldTag      = "Carnet, by tag, cold"
	warmTag      = "Carnet, by tag, warm"
	warmDigest   = "Carnet, by digest within max-age, warm"
	warmMany     = "Carnet, 100 tags, warm"
	warmExported = "go-tuf, the same files, warm"
	warmPlain    = "go-tuf, plain repository, warm"
	signOne      = "sign 1 artifact"
	signAll      = "sign all artifacts"
	processEmpty = "`carnet version`, whole process"
	processWarm  = "`carnet verify`, image layout, warm, whole process"
)

const many = 100

// clients measures everybody who verifies.
func (w *world) clients() []row {
	carnet := func(n int, byDigest bool, age string) job {
		refs, digests := w.refs(min(n, len(w.artifacts)), byDigest)
		return job{
			Client: "carnet", Root: w.publisher.Root, Trust: w.publisher.Trust, Host: w.registry.Host,
			Refs: refs, Digests: digests, MaxAge: age,
		}
	}
	tag := carnet(1, false, "")
	goTUF := func(server *fixtures.Registry, root []byte) job {
		return job{Client: "go-tuf", URL: server.URL + "/metadata", Root: root, Path: repository + ":" + w.artifacts[0].Tag, Digests: tag.Digests}
	}
	exported, plain := goTUF(w.exported, w.publisher.Root), goTUF(w.plain, w.root)
	return []row{
		w.client(coldTag, tag, w.registry, true),
		w.client(warmTag, tag, w.registry, false),
		w.client(warmDigest, carnet(1, true, "1h"), w.registry, false),
		w.client(warmMany, carnet(many, false, ""), w.registry, false),
		w.client("go-tuf, the same files, cold", exported, w.exported, true),
		w.client(warmExported, exported, w.exported, false),
		w.client("go-tuf, plain repository, cold", plain, w.plain, true),
		w.client(warmPlain, plain, w.plain, false),
	}
}

// client measures one client: first what it asks for, one request held until
// all that do not need its answer are there, then how long it takes.
func (w *world) client(name string, j job, server *fixtures.Registry, cold bool) row {
	j.Now, j.Cold, j.Dir, j.Runs = fixtures.Epoch, cold, filepath.Join(w.TempDir(), "client"), 1
	if !cold {
		j.start(w)
	}
	r := count(w, name, server, func() { j.start(w) })
	j.Runs = w.opts.runs
	var all []sample
	for _, latency := range w.opts.latencies {
		server.SetLatency(latency)
		server.Reset()
		samples := j.start(w)
		require.Len(w, server.Requests(), int(r.requests)*j.Runs, "%s: other requests than before", name)
		r.wall = append(r.wall, median(samples, func(s sample) time.Duration { return s.Wall }))
		all = append(all, samples...)
	}
	server.SetLatency(0)
	r.cpu = median(all, func(s sample) time.Duration { return s.CPU })
	r.mallocs = int64(median(all, func(s sample) uint64 { return s.Mallocs }))
	r.allocated = int64(median(all, func(s sample) uint64 { return s.Bytes }))
	return r
}

// count counts what f asks of a server.
func count(t testing.TB, name string, server *fixtures.Registry, f func()) row {
	t.Helper()
	var rounds int
	require.NoError(t, withTB(t.Context(), io.Discard, func(scope testing.TB) { // counting ends with the scope
		counter := fixtures.CountRounds(scope, server)
		server.Reset()
		f()
		rounds = counter.Count()
	}))
	sent, received := server.Bytes()
	return row{name: name, requests: int64(len(server.Requests())), rounds: int64(rounds), bytes: sent + received, cpu: -1, mallocs: -1, allocated: -1}
}

// median of what of makes of the samples; of an even number the greater of
// the two in the middle.
func median[S any, T cmp.Ordered](samples []S, of func(S) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
