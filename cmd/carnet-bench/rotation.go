package main

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// rotated is the row of a rotation of a role that vouches for n artifacts.
func rotated(n int) string { return fmt.Sprintf("rotate a role of %d artifacts", n) }

// rotations measures the rotation of one role's key, by a writer with a cache,
// for roles of different sizes. Nothing that the role vouches for is signed
// again: one new file of the role, whatever its size.
func (w *world) rotations() []row {
	var out []row
	for _, n := range w.opts.rotations {
		registry := fixtures.Distribution(w)
		p := fixtures.NewPublisher(w, registry.Host+"/trust", registrystore.Options{})
		p.Delegate("bulk", "**", "key-0")
		_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error { return bulk(ctx, d, n) })
		require.NoError(w, err)
		p.Key("key-1")
		opts := p.Options()
		trust, err := w.cached().OpenTrust(p.Trust)
		require.NoError(w, err)
		opts.Journal, opts.Sources, opts.Report = trust.Journal(), []tuf.Source{trust}, func(string) {}
		run := 0
		rotate := func() {
			run++
			key := p.Key(fmt.Sprintf("key-%d", run%2)).Key()
			_, err := tuf.NewRepository(opts).Publish(w.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
				return d.SetKeys(ctx, "bulk", metadata.Keys{key.ID(): key}, 1)
			})
			require.NoError(w, err)
		}
		rotate() // fills the cache
		r := count(w, rotated(n), registry, rotate)
		r.wall = []time.Duration{w.time(3, rotate)}
		out = append(out, r)
	}
	return out
}

// bulk lets the role bulk vouch for n digests.
func bulk(ctx context.Context, d *tuf.Draft, n int) error {
	t, err := d.Edit(ctx, "bulk")
	if err != nil {
		return err
	}
	for i := range n {
		sum := digest.FromString(fmt.Sprint(i))
		statement := metadata.Statement{MediaType: "application/vnd.oci.image.manifest.v1+json", Signed: fixtures.Epoch}
		t.Targets[metadata.DigestPath(repository, sum)] = metadata.NewTarget(1000, sum).WithStatement(statement)
	}
	return nil
}
