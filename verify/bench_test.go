package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// BenchmarkWarm measures a verification by digest that asks nobody, on a
// publisher of many artifacts: what reading, checking and deciding cost. Each
// is made of new objects, as by a new process.
func BenchmarkWarm(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkWarm(b, n) })
	}
}

func benchmarkWarm(b *testing.B, n int) {
	reg := fixtures.Registry11(b)
	p := fixtures.NewPublisher(b, reg.Host+"/trust", reg.Options())
	p.Delegate("releases", "**", "dev")
	artifacts := make([]tuf.Artifact, n)
	for i := range artifacts {
		content := fmt.Sprint(i)
		artifacts[i] = tuf.Artifact{
			Name: "net-monitor", Tag: "1.0." + content, Digest: fixtures.Target(content).Hashes.Digest(), Size: 1000,
			MediaType: "application/vnd.oci.image.manifest.v1+json", ArtifactType: "application/vnd.oci.image.config.v1+json",
		}
	}
	_, err := p.Vouch(tuf.Vouching{Role: "releases"}, artifacts...)
	require.NoError(b, err)

	dir := b.TempDir()
	require.NoError(b, os.WriteFile(filepath.Join(dir, "root.json"), p.Root, 0o600))
	require.NoError(b, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(`
version: 1
publishers:
  wabbit: {root: root.json, repositories: [`+p.Trust+`]}
rules:
  - {name: all, scope: `+reg.Host+`/**, require: [{publisher: wabbit, max-age: 1h}]}
`), 0o600))
	ref, err := registrystore.ParseReference(reg.Host+"/net-monitor@"+artifacts[n/2].Digest.String(), "")
	require.NoError(b, err)
	decide := func() {
		regs, err := registrystore.New(reg.Options(), registrystore.OpenCache(filepath.Join(dir, "cache")))
		require.NoError(b, err)
		policy, err := verify.LoadPolicy(filepath.Join(dir, "policy.yaml"), nil)
		require.NoError(b, err)
		v, err := verify.New(verify.Options{Registries: regs, Policy: policy, States: verify.OpenStates(filepath.Join(dir, "state")), Now: p.Now})
		require.NoError(b, err)
		out, err := v.Verify(b.Context(), ref)
		require.NoError(b, err)
		require.True(b, out[0].Allowed(), out[0].Text())
	}
	decide()
	reg.Reset()
	b.ReportAllocs()
	for b.Loop() {
		decide()
	}
	require.Empty(b, reg.Requests())
}
