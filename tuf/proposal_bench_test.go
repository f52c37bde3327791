package tuf_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// BenchmarkApprove reads a proposal of 10,000 changes from a registry, checks
// and shows it, signs, and hands the signature on.
func BenchmarkApprove(b *testing.B) {
	const changes = 10_000
	reg := fixtures.Distribution(b)
	p := publisherOn(b, reg)
	_, err := p.Publish(given(p, "releases", 2, "dev", "dev2"))
	require.NoError(b, err)
	repo := func(key string) *tuf.Repository {
		opts := p.Options()
		source := p.Source()
		opts.Journal, opts.Sources, opts.Ballot, opts.Keys = source.Journal(), []tuf.Source{source}, source, p.Keyring(key)
		opts.Record = tuf.OpenFolderRecord(b.TempDir())
		return tuf.NewRepository(opts)
	}
	res, err := repo("dev").Publish(b.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, "releases")
		for i := 0; i < changes && err == nil; i++ {
			t := fixtures.Target(fmt.Sprint(i)).WithStatement(metadata.Statement{MediaType: "application/vnd.oci.image.manifest.v1+json", Claims: map[string]string{"stage": "prod"}})
			err = d.SetTarget(ctx, e, fmt.Sprintf("app:%d", i), t)
		}
		return err
	})
	require.NoError(b, err)
	require.NotNil(b, res.Proposal)
	first, err := p.Source().Proposals(b.Context())
	require.NoError(b, err)
	for b.Loop() {
		r := repo("dev2")
		s, err := r.Load(b.Context())
		require.NoError(b, err)
		open, err := r.Proposals(b.Context(), s)
		require.NoError(b, err)
		require.Len(b, open, 1)
		list, err := open[0].Differences(b.Context())
		require.NoError(b, err)
		for _, d := range list {
			require.NoError(b, d.Text(io.Discard, func(metadata.Key) string { return "" }))
			require.NoError(b, d.Err())
		}
		added, err := r.Approve(b.Context(), open[0])
		require.NoError(b, err)
		require.Len(b, added, 1)
		require.NoError(b, r.Submit(b.Context(), open[0]))

		b.StopTimer() // the next has to sign again
		now, err := p.Source().Proposals(b.Context())
		require.NoError(b, err)
		require.NoError(b, p.Source().DropProposals(b.Context(), slices.DeleteFunc(now, func(n tuf.Nomination) bool { return n == first[0] })...))
		b.StartTimer()
	}
}
