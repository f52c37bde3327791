package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func TestTree(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{
		"OCI 1.0": fixtures.Distribution, "OCI 1.1": fixtures.Registry11,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reg = start(t)
			w.wabbit = w.publisher("wabbit")
			w.policy(wabbitOnly)
			image := w.signed("net-monitor", "1.0", "one")
			repo := w.reg.Repository(t, "net-monitor")
			desc, err := repo.Target.Resolve(t.Context(), "1.0")
			require.NoError(t, err)
			sbom := repo.PushReferrer(t, desc, "application/vnd.cyclonedx+json", "sbom")
			repo.PushReferrer(t, sbom, "application/vnd.example.scan", "scan of the sbom")
			w.vouch(w.wabbit, tuf.Vouching{Role: "releases", Claims: map[string]string{"tool": "syft"}},
				tuf.Artifact{Name: "net-monitor", Digest: sbom.Digest, Size: sbom.Size})

			tree, err := w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:1.0"))
			require.NoError(t, err)
			require.Equal(t, image.Digest, tree.Digest)
			w.requireReasons(tree.Decision, verify.Allowed, verify.OK)
			require.Len(t, tree.Referrers, 1)
			child := tree.Referrers[0]
			require.Equal(t, "application/vnd.cyclonedx+json", child.ArtifactType)
			w.requireReasons(child.Decision, verify.Allowed, verify.OK)
			require.Len(t, child.Referrers, 1)
			w.requireReasons(child.Referrers[0].Decision, verify.Denied, verify.NotListed)
			require.Equal(t, "application/vnd.oci.image.config.v1+json "+image.Digest.String()+": allowed\n"+
				"│   wabbit: ok: vouched for by releases, 0 s ago\n"+
				"└── application/vnd.cyclonedx+json "+sbom.Digest.String()+": allowed\n"+
				"    │   wabbit: ok: vouched for by releases, 0 s ago (tool=syft)\n"+
				"    └── application/vnd.example.scan "+child.Referrers[0].Digest.String()+": denied\n"+
				"            wabbit: not-listed: no role of wabbit vouches for net-monitor@"+child.Referrers[0].Digest.String()+"\n", tree.Text())

			_, err = w.verifier().Tree(t.Context(), w.ref("HOST/net-monitor:absent"))
			require.ErrorIs(t, err, registrystore.ErrNotFound)
		})
	}
}
