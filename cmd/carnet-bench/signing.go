package main

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// signings is how many publications a median is taken of: they are not
// repeated in place, each is one more state in the registry.
const signings = 5

// signing measures publications that vouch for one artifact and for all. The
// writer's keys are in this process, so that CPU time and allocations would
// be the registry's too: they are left out.
func (w *world) signing() []row {
	opts := w.publisher.Options()
	trust, err := w.cached().OpenTrust(w.publisher.Trust)
	require.NoError(w, err)
	opts.Journal, opts.Sources, opts.Report = trust.Journal(), []tuf.Source{trust}, func(string) {}
	run := 0
	sign := func(artifacts []tuf.Artifact) func() {
		return func() {
			run++
			claims := map[string]string{"run": strconv.Itoa(run)}
			_, err := tuf.NewRepository(opts).Publish(w.Context(), nil, vouch(tuf.Vouching{Role: "releases", Claims: claims}, artifacts))
			require.NoError(w, err)
		}
	}
	sign(w.artifacts[:1])() // fills the cache
	return []row{w.signs(signOne, sign(w.artifacts[:1])), w.signs(signAll, sign(w.artifacts))}
}

// vouch is a change that vouches for artifacts.
func vouch(v tuf.Vouching, artifacts []tuf.Artifact) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		for _, a := range artifacts {
			if _, err := d.Vouch(ctx, v, a); err != nil {
				return err
			}
		}
		return nil
	}
}

// cached opens registries with a cache, which a publisher's machine has.
func (w *world) cached() *registrystore.Registries {
	regs, err := registrystore.New(registrystore.Options{}, registrystore.OpenCache(filepath.Join(w.TempDir(), "cache")))
	require.NoError(w, err)
	return regs
}

func (w *world) signs(name string, sign func()) row {
	r := count(w, name, w.registry, sign)
	for _, latency := range w.opts.latencies {
		w.registry.SetLatency(latency)
		r.wall = append(r.wall, w.time(min(signings, w.opts.runs), sign))
	}
	w.registry.SetLatency(0)
	return r
}

// time returns the median of some runs.
func (w *world) time(runs int, f func()) time.Duration {
	var times []time.Duration
	for range runs {
		start := time.Now()
		f()
		times = append(times, time.Since(start))
	}
	return median(times, func(d time.Duration) time.Duration { return d })
}
