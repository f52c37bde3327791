package verify_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// world is a registry with a publisher "wabbit", whose role "releases" may
// vouch for everything, and a machine that verifies.
type world struct {
	*testing.T
	reg    *fixtures.Registry
	wabbit *fixtures.Publisher
	dir    string // the machine's configuration, with policy.yaml and roots/
	cache  string
	opts   verify.Options
}

const wabbitOnly = `
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/trust/wabbit]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: wabbit}]}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, reg: fixtures.Registry11(t), dir: t.TempDir(), cache: t.TempDir()}
	w.wabbit = w.publisher("wabbit")
	w.policy(wabbitOnly)
	return w
}

// publisher makes a publisher with its trust repository, and its root file.
func (w *world) publisher(name string) *fixtures.Publisher {
	w.Helper()
	p := fixtures.NewPublisher(w, w.reg.Host+"/trust/"+name, registrystore.Options{})
	p.Delegate("releases", "**", name+"-dev")
	w.root(name, p.Root)
	return p
}

func (w *world) root(name string, raw []byte) {
	w.Helper()
	require.NoError(w, os.MkdirAll(filepath.Join(w.dir, "roots"), 0o700))
	require.NoError(w, os.WriteFile(filepath.Join(w.dir, "roots", name+".json"), raw, 0o600))
}

// policy writes the policy; HOST stands for the registry.
func (w *world) policy(text string) {
	w.Helper()
	path := filepath.Join(w.dir, "policy.yaml")
	require.NoError(w, os.WriteFile(path, []byte(strings.ReplaceAll(text, "HOST", w.reg.Host)), 0o600))
	p, err := verify.LoadPolicy(path, nil)
	require.NoError(w, err)
	w.opts.Policy = p
}

// push stores an image and returns what signing needs to know of it.
func (w *world) push(name, tag, content string) tuf.Artifact {
	w.Helper()
	desc := w.reg.Repository(w, name).PushImage(w, tag, content)
	return tuf.Artifact{Name: name, Tag: tag, Digest: desc.Digest, Size: desc.Size, MediaType: desc.MediaType}
}

// signed pushes an image that wabbit vouches for.
func (w *world) signed(name, tag, content string) tuf.Artifact {
	w.Helper()
	a := w.push(name, tag, content)
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, a)
	return a
}

func (w *world) vouch(p *fixtures.Publisher, v tuf.Vouching, a ...tuf.Artifact) {
	w.Helper()
	_, err := p.Vouch(v, a...)
	require.NoError(w, err)
}

func (w *world) withdraw(p *fixtures.Publisher, d digest.Digest) {
	w.Helper()
	n := metadata.Notice{Digest: d, Reason: "leaks\x1b[31m secrets", Advisory: "CVE-2026-1", ReplacedBy: "net-monitor:1.1", By: "security", At: fixtures.Epoch}
	w.set(p, tuf.RoleWithdrawals, metadata.WithdrawnPath(d), n.Entry())
}

// set writes an entry as it is, without the checks of signing.
func (w *world) set(p *fixtures.Publisher, role, path string, target metadata.Target) {
	w.Helper()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, path, target)
	})
	require.NoError(w, err)
}

func (w *world) refresh(p *fixtures.Publisher) {
	w.Helper()
	_, err := p.Publish(func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	require.NoError(w, err)
}

// verifier is one process: nothing is shared with another but the folders.
func (w *world) verifier() *verify.Verifier {
	w.Helper()
	opts := w.opts
	if opts.Registries == nil {
		regs, err := registrystore.New(registrystore.Options{}, registrystore.OpenCache(w.cache))
		require.NoError(w, err)
		opts.Registries = regs
	}
	opts.Now = w.wabbit.Now
	opts.States = verify.OpenStates(filepath.Join(w.dir, "state"))
	v, err := verify.New(opts)
	require.NoError(w, err)
	return v
}

func (w *world) ref(s string) registrystore.Reference {
	w.Helper()
	r, err := registrystore.ParseReference(strings.ReplaceAll(s, "HOST", w.reg.Host), "")
	require.NoError(w, err)
	return r
}

func (w *world) verify(ref string) verify.Decision {
	w.Helper()
	out, err := w.verifier().Verify(w.Context(), w.ref(ref))
	require.NoError(w, err)
	require.Len(w, out, 1)
	return out[0]
}

// requireReason verifies and wants one result.
func (w *world) requireReason(ref string, verdict verify.Verdict, reason verify.Reason) verify.Decision {
	w.Helper()
	d := w.verify(ref)
	w.requireReasons(d, verdict, reason)
	return d
}

func (w *world) requireReasons(d verify.Decision, verdict verify.Verdict, reasons ...verify.Reason) {
	w.Helper()
	var got []verify.Reason
	for _, r := range d.Results {
		got = append(got, r.Reason)
		require.Equal(w, r.Reason == verify.OK, r.Satisfied)
		require.NotEmpty(w, r.Message)
	}
	require.Equal(w, reasons, got, d.Text())
	require.Equal(w, verdict, d.Verdict, d.Text())
}

const day = 24 * time.Hour
