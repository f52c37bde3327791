package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// commands are what scripts can do beside what testscript brings.
func commands(t *testing.T, p *place) map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	w := &world{
		t: t, place: p, registries: map[string]*fixtures.Registry{}, publishers: map[string]*fixtures.Publisher{}, stalls: map[string]*fixtures.Injected{},
		foreigns: map[string]*tufrepository.Repository{},
	}
	if p.host != nil {
		w.registries[p.host.Host] = p.host
	}
	all := map[string]func(*testscript.TestScript, bool, []string){
		"exits": exits, "registry": w.startRegistry, "image": w.image, "attach": w.attach,
		"publisher": w.publisher, "publish": w.publish, "stall": w.stall, "stalled": w.stalled,
	}
	maps.Copy(all, w.moreCommands())
	return all
}

// world is what one script made.
type world struct {
	t          *testing.T
	place      *place
	registries map[string]*fixtures.Registry
	publishers map[string]*fixtures.Publisher // by trust repository
	faults     []*fixtures.Injected
	held       *flock.Flock                  // of a layout
	stalls     map[string]*fixtures.Injected // by address
	foreigns   map[string]*tufrepository.Repository
}

// exits CODE COMMAND... asserts the exact exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("want exit code %d, found %d", want, code)
	}
}

// registry VAR distribution|1.1 [tls] [basic] [token] [bob] [immutable] starts a registry and
// sets VAR to its address, VAR_CA to its authority's file.
func (w *world) startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: registry VAR distribution|1.1 [tls] [basic] [token] [bob] [immutable]")
	}
	options := map[string]func() fixtures.Option{"tls": fixtures.WithTLS, "basic": fixtures.WithBasicAuth, "token": fixtures.WithTokenAuth, "bob": func() fixtures.Option { return fixtures.WithTokenAccount("bob", "two horses") }, "immutable": func() fixtures.Option { return fixtures.WithImmutableTags(http.StatusConflict) }}
	var opts []fixtures.Option
	for _, word := range args[2:] {
		if options[word] == nil {
			ts.Fatalf("no option %s", word)
		}
		opts = append(opts, options[word]())
	}
	start := map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{"distribution": fixtures.Distribution, "1.1": fixtures.Registry11}[args[1]]
	if start == nil {
		ts.Fatalf("no registry %s", args[1])
	}
	r := start(w.t, opts...)
	w.registries[r.Host] = r
	ts.Setenv(args[0], r.Host)
	ts.Setenv(args[0]+"_CA", r.CAFile)
}

// repository opens what a reference names with the fixture's own client.
func (w *world) repository(ts *testscript.TestScript, arg string) (*fixtures.Repository, registrystore.Reference) {
	ref, err := registrystore.ParseReference(arg, "")
	ts.Check(err)
	if ref.IsLayout() {
		ts.Check(os.MkdirAll(ref.Dir, 0o700))
		return fixtures.Layout(w.t, ref.Dir), ref
	}
	if r := w.registries[ref.Host]; r != nil {
		return r.Repository(w.t, ref.Name), ref
	}
	ts.Fatalf("no registry at %s", ref.Host)
	return nil, ref
}

// image REF CONTENT [VAR] stores an image under a tag; VAR is set to its
// digest.
func (w *world) image(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: image REF CONTENT [VAR]")
	}
	repo, ref := w.repository(ts, args[0])
	desc := repo.PushImage(w.t, ref.Tag, args[1])
	if len(args) == 3 {
		ts.Setenv(args[2], desc.Digest.String())
	}
}

// attach REF@DIGEST TYPE CONTENT VAR stores an artifact that refers to
// another; VAR is set to its digest.
func (w *world) attach(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: attach REF@DIGEST TYPE CONTENT VAR")
	}
	repo, ref := w.repository(ts, args[0])
	subject, err := repo.Target.Resolve(w.t.Context(), ref.Digest.String())
	ts.Check(err)
	desc := repo.PushReferrer(w.t, subject, args[1], args[2])
	ts.Setenv(args[3], desc.Digest.String())
}

// publisher TRUST FILE [NAME...] makes a publisher whose role "releases"
// vouches for the names, writes its root to FILE and its root's digest to
// $ROOT.
func (w *world) publisher(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: publisher TRUST FILE [NAME...]")
	}
	opts := registrystore.Options{}
	for _, r := range w.registries {
		if strings.HasPrefix(args[0], r.Host+"/") {
			opts = r.Options()
		}
	}
	p := fixtures.NewPublisher(w.t, args[0], opts)
	for i, name := range args[2:] {
		p.Delegate("releases"+strings.Repeat("x", i), name, "releases")
	}
	w.publishers[args[0]] = p
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), p.Root, 0o600))
	ts.Setenv("ROOT", digest.FromBytes(p.Root).String())
	ts.Setenv("NOW", p.Now().Format("2006-01-02T15:04:05Z"))
}

// publish TRUST REF NAME lets the publisher vouch for an artifact.
func (w *world) publish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: publish TRUST REF NAME")
	}
	repo, ref := w.repository(ts, args[1])
	what := ref.Tag
	if what == "" {
		what = ref.Digest.String()
	}
	desc, err := repo.Target.Resolve(context.Background(), what)
	ts.Check(err)
	_, err = w.publishers[args[0]].Vouch(tuf.Vouching{}, tuf.Artifact{
		Name: args[2], Tag: ref.Tag, Digest: desc.Digest, Size: desc.Size, MediaType: ocispec.MediaTypeImageManifest,
	})
	ts.Check(err)
}

// stall VAR lets the registry at $VAR answer nothing from now on.
func (w *world) stall(ts *testscript.TestScript, _ bool, args []string) {
	host := ts.Getenv(args[0])
	if before := w.stalls[host]; before != nil {
		before.Remove()
	}
	w.stalls[host] = w.registries[host].Inject(fixtures.Fault{Then: fixtures.Stall})
}

// stalled VAR waits until a request came there since it was stalled.
func (w *world) stalled(ts *testscript.TestScript, _ bool, args []string) {
	for n := 0; w.stalls[ts.Getenv(args[0])].Hits() == 0; n++ {
		if n == 1000 {
			ts.Fatalf("no request came")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
