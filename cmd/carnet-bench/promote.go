package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

const (
	referrers    = 10
	promoteRuns  = 3
	promoteAlone = "`carnet promote`, an image, whole process"
	promoteAll   = "`carnet promote`, an image with 10 referrers, whole process"
	orasAlone    = "`oras cp -r`, an image, whole process"
	orasAll      = "`oras cp -r`, an image with 10 referrers, whole process"
)

// promoting measures both programs on the same content, from one registry into
// an empty one: what trust adds to a copy is in the difference between the two
// for the image alone.
func (w *world) promoting() []row {
	m := w.machine()
	from := fixtures.Distribution(w)
	repo := from.Repository(w, repository)
	repo.PushImage(w, "alone", "an image alone")
	image := repo.PushImage(w, "all", "an image that others refer to")
	for i := range referrers {
		repo.PushReferrer(w, image, "application/vnd.example.note", fmt.Sprint("note ", i))
	}
	m.run("init", w.registry.Host+"/promoter", "--publisher", "promoted", "--no-passphrase")
	m.run("key", "generate", "promoted-releases", "--no-passphrase")
	m.run("delegate", "add", "releases", "--path", repository, "--key", "promoted-releases", "--trust", w.registry.Host+"/promoter")
	name := func(r *fixtures.Registry, tag string) string { return r.Host + "/" + repository + ":" + tag }
	m.run("sign", "--trust", w.registry.Host+"/promoter", name(from, "alone"), name(from, "all"))
	oras := *m
	var err error
	oras.binary, err = filepath.Abs(w.opts.oras)
	require.NoError(w, err)
	promote := func(tag string) func(to *fixtures.Registry) sample {
		return func(to *fixtures.Registry) sample {
			return m.run("promote", "--publisher", "promoted", name(from, tag), name(to, tag))
		}
	}
	copies := func(tag string) func(to *fixtures.Registry) sample {
		return func(to *fixtures.Registry) sample {
			return oras.run("cp", "-r", "--from-plain-http", "--to-plain-http", name(from, tag), name(to, tag))
		}
	}
	return []row{
		w.copying(promoteAlone, from, promote("alone")), w.copying(orasAlone, from, copies("alone")),
		w.copying(promoteAll, from, promote("all")), w.copying(orasAll, from, copies("all")),
	}
}

// copying measures a copy from a registry into an empty one, with every
// request to the two and to the publisher's.
func (w *world) copying(name string, from *fixtures.Registry, run func(to *fixtures.Registry) sample) row {
	r := row{name: name, rounds: -1, mallocs: -1, allocated: -1}
	var all []sample
	for _, latency := range w.opts.latencies {
		var samples []sample
		for range min(w.opts.runs, promoteRuns) {
			to := fixtures.Distribution(w)
			ends := []*fixtures.Registry{from, to, w.registry}
			for _, reg := range ends {
				reg.Reset()
				reg.SetLatency(latency)
			}
			samples = append(samples, run(to))
			r.requests, r.bytes = 0, 0
			for _, reg := range ends {
				reg.SetLatency(0)
				sent, received := reg.Bytes()
				r.requests, r.bytes = r.requests+int64(len(reg.Requests())), r.bytes+sent+received
			}
		}
		r.wall = append(r.wall, median(samples, func(s sample) time.Duration { return s.Wall }))
		all = append(all, samples...)
	}
	r.cpu = median(all, func(s sample) time.Duration { return s.CPU })
	return r
}

// promotes wants what promote asks for, without what trust adds to an image
// alone, to be within 1.3 times of what oras asks for.
func (t *targets) promotes() {
	if !slices.ContainsFunc(t.rows, func(r row) bool { return r.name == orasAll }) {
		return
	}
	fixed := t.row(promoteAlone).requests - t.row(orasAlone).requests
	promote, oras := t.row(promoteAll).requests, t.row(orasAll).requests
	t.want(10*(promote-fixed) <= 13*oras, "%s: %d requests, %d of them for trust, %s: %d, want at most 1.3 times as many beside those for trust",
		promoteAll, promote, fixed, orasAll, oras)
}

// orasVersion says which oras was measured, or that none was.
func orasVersion(oras string) string {
	if oras == "" {
		return "oras was not there: `carnet promote` was not measured against it."
	}
	out, err := exec.Command(oras, "version").Output()
	if err != nil {
		return fmt.Sprintf("oras: %v.", err)
	}
	var version string
	if _, err := fmt.Sscanf(string(out), "Version: %s", &version); err != nil {
		return fmt.Sprintf("oras: its version: %v.", err)
	}
	return "oras " + version + "."
}
