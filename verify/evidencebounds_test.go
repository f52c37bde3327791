package verify_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// Notes hold what others wrote. A terminal must be able to show them.
func TestNotesArePrintable(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	thief := w.publisher("thief")
	thief.Delegate("evil\x1b[31m\u009b2J\u202e", "**", "x")
	p := thief.Evidence("net-monitor:1.0")
	w.attachFiles("HOST/net-monitor:1.0", w.id(w.wabbit), p)
	w.alone()
	d := w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
	require.NotEmpty(t, d.Notes)
	for _, n := range d.Notes {
		require.LessOrEqual(t, len(n), 600)
		require.Negative(t, strings.IndexFunc(n, func(r rune) bool { return !unicode.IsPrint(r) && r != '…' }), "%q", n)
	}
}

// However much others write, notes stay few, short and printable.
func TestNotesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.policy(strings.Replace(wabbitOnly, ", repositories: [HOST/trust/wabbit]", "", 1))
	repo := w.reg.Repository(t, "net-monitor")
	var refs []registrystore.Reference
	for i := range 10 {
		desc := repo.PushImage(t, fmt.Sprint(i), fmt.Sprint(i))
		for k := range 8 {
			name := "1.evil%1B%5B31m%C2%9B2J" + fmt.Sprint(k) + ".json"
			layer := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"annotations":{"tuf.io/filename":%q}}`, metadata.MediaTypeFile, desc.Digest, name)
			repo.PushManifest(t, "", ocispec.MediaTypeImageManifest, []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":%q,
				"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},
				"layers":[%s,%s],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
				ocispec.MediaTypeImageManifest, metadata.ArtifactTypeTrust, layer, layer, desc.MediaType, desc.Digest, desc.Size)))
		}
		refs = append(refs, w.ref("HOST/net-monitor:"+fmt.Sprint(i)))
	}
	long := `{"errors":[{"code":"DENIED","message":"` + strings.Repeat("no ", 1_000) + `"}]}`
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.WriteHeader(http.StatusForbidden)
		_, _ = rw.Write([]byte(long))
	}})
	out, err := w.verifier().Verify(t.Context(), refs...)
	require.NoError(t, err)
	require.Contains(t, strings.Join(out[0].Notes, "\n"), "evil?[31m?2J")
	require.LessOrEqual(t, len(out[0].Notes), 64)
	for _, n := range out[0].Notes {
		require.LessOrEqual(t, len(n), 510)
		require.Negative(t, strings.IndexFunc(n, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", n)
	}
}

// Attachments are looked for at 64 artifacts of one call.
func TestEvidenceOfManyArtifacts(t *testing.T) {
	w := newWorld(t)
	w.policy(strings.Replace(wabbitOnly, ", repositories: [HOST/trust/wabbit]", "", 1))
	d := w.push("net-monitor", "1.0", "one").Digest.String()
	var refs []registrystore.Reference
	for i := range 70 {
		refs = append(refs, w.ref("HOST/net-monitor"+fmt.Sprint(i)+"@"+d))
	}
	w.reg.Reset()
	_, err := w.verifier().Verify(t.Context(), refs...)
	require.NoError(t, err)
	require.Equal(t, 64, w.asked("/manifests/trust."))
	// Offline none is, and nothing is said of it.
	w.opts.Offline = true
	w.reg.Reset()
	out, err := w.verifier().Verify(t.Context(), refs...)
	require.NoError(t, err)
	require.Empty(t, w.reg.Requests())
	require.NotContains(t, strings.Join(out[0].Notes, "\n"), "trust.")
}

// What attachments may have fetched before any signature is verified has a
// bound for all of one call. The largest are passed by.
func TestEvidenceOfOneCallIsBounded(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	w.alone()
	refs := []registrystore.Reference{w.ref("HOST/net-monitor:1.0")}
	repo := w.reg.Repository(t, "net-monitor")
	for i := range 9 {
		tag := fmt.Sprintf("big-%d", i)
		image := repo.PushImage(t, tag, tag)
		refs = append(refs, w.ref("HOST/net-monitor:"+tag))
		for k := range 8 {
			layer := func(name string, size int) string {
				return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"tuf.io/filename":%q}}`, metadata.MediaTypeFile, image.Digest, size, name)
			}
			layers := []string{
				layer("timestamp.json", 1), layer(fmt.Sprintf("%d.snapshot.json", k+1), 1), layer("1.targets.json", 1), layer("1.root.json", 1),
				layer("1.a.json", metadata.MaxPrefetch/2), layer("1.b.json", metadata.MaxPrefetch/2),
			}
			repo.PushManifest(t, "", ocispec.MediaTypeImageManifest, []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":%q,
				"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},
				"layers":[%s],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
				ocispec.MediaTypeImageManifest, metadata.ArtifactTypeTrust, strings.Join(layers, ","), image.MediaType, image.Digest, image.Size)))
		}
	}
	out, err := w.verifier().Verify(t.Context(), refs...)
	require.NoError(t, err)
	require.Equal(t, verify.Allowed, out[0].Verdict)
	require.Contains(t, strings.Join(out[0].Notes, "\n"), "9 trust attachments are not looked at")
}

// Evidence costs one round more than the question itself, and a second where
// its files are too large to be inlined or foreign attachments stand beside it;
// a third where it lost its tag and is large.
func TestRoundsOfEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		large           bool
		foreign         int
		rounds, request int
		untagged        bool
	}{
		"small":               {false, 0, 2, 4, false},
		"large":               {true, 0, 3, 5, false},
		"small among 100":     {false, 100, 3, 4 + 7, false},
		"small in lists only": {false, 0, 3, 5, true},
		"large in lists only": {true, 0, 4, 6, true},
		"large among 100":     {true, 100, 3, 5 + 7, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.large {
				w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, bulk()...)
			}
			w.signed("net-monitor", "1.0", "one")
			desc, err := w.reg.Repository(t, "net-monitor").Target.Resolve(t.Context(), "1.0")
			require.NoError(t, err)
			for i := range c.foreign {
				w.reg.Repository(t, "net-monitor").PushReferrer(t, desc, metadata.ArtifactTypeTrust, fmt.Sprint("garbage ", i))
			}
			w.attach("HOST/net-monitor:1.0")
			w.alone()
			w.policy(strings.Replace(wabbitOnly, ", repositories: [HOST/trust/wabbit]", "", 1))
			if c.untagged {
				w.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)})
			}
			rounds := fixtures.CountRounds(t, w.reg)
			w.reg.Reset()
			w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
			require.Equal(t, c.rounds, rounds.Count(), "%v", w.reg.Requests())
			require.Len(t, w.reg.Requests(), c.request, "%v", w.reg.Requests())
			_, bytes := w.reg.Bytes()
			require.Less(t, bytes, int64(1<<20))
		})
	}
}
