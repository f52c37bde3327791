package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"oras.land/oras-go/v2"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/tuf"
)

// moreCommands are what scripts about publishing need beside the rest.
func (w *world) moreCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"index": w.index, "nest": w.nest, "put": w.put, "fault": w.fault, "mend": w.mend, "capture": capture, "until": until,
		"fetch": w.fetch, "fill": w.fill, "lock": w.lock, "unlock": w.unlock, "edit": edit,
		"foreign": w.foreign, "serve": w.serve, "mirror": w.mirror, "follow": w.follow,
	}
}

// nest pushes an index of one thing in the same repository, an index perhaps.
func (w *world) nest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: nest REF OF VAR")
	}
	repo, ref := w.repository(ts, args[0])
	of, err := repo.Target.Resolve(w.t.Context(), args[1])
	ts.Check(err)
	ts.Setenv(args[2], repo.PushIndexOf(w.t, ref.Tag, of).Digest.String())
}

// index REF CONTENT VAR stores an index of two images; VAR is set to its
// digest, VAR_AMD64 and VAR_ARM64 to theirs.
func (w *world) index(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: index REF CONTENT VAR")
	}
	repo, ref := w.repository(ts, args[0])
	desc, children := repo.PushIndex(w.t, ref.Tag, args[1])
	ts.Setenv(args[2], desc.Digest.String())
	for _, c := range children {
		ts.Setenv(args[2]+"_"+strings.ToUpper(c.Platform.Architecture), c.Digest.String())
	}
}

// put REF FILE [VAR] stores a file's bytes as a manifest under a tag, whatever
// they are; VAR is set to their digest.
func (w *world) put(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: put REF FILE [VAR]")
	}
	repo, ref := w.repository(ts, args[0])
	desc := repo.PushManifest(w.t, ref.Tag, ocispec.MediaTypeImageManifest, []byte(ts.ReadFile(args[1])))
	if len(args) == 3 {
		ts.Setenv(args[2], desc.Digest.String())
	}
}

// actions are how a registry can be broken.
var actions = map[string]fixtures.Action{
	"stall": fixtures.Stall, "drop": fixtures.DropBefore, "drop-after": fixtures.DropAfter, "flip": fixtures.FlipByte(2),
	"truncate": fixtures.Truncate(10), "rate-limit": fixtures.RateLimit(1), "rate-limit-long": fixtures.RateLimit(3600),
	"longer": fixtures.Serve([]byte(strings.Repeat("longer than it should be ", 1<<12))), "shorter": fixtures.Serve([]byte("{}")),
	"huge": fixtures.Serve(make([]byte, 5<<20)), "digest-invalid": digestInvalid,
	"drip": drip,
}

// drip answers, a byte at a time, and never comes to an end.
func drip(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
		if _, err := w.Write([]byte("{")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// digestInvalid is what Distribution 2.8 answers for a moment while somebody
// else pushes the same bytes.
func digestInvalid(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte(`{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}`))
}

// fault HOST METHOD PART ACTION [FIRST] breaks the requests whose path holds
// PART: METHOD is one of HTTP's, "any" or "write", ACTION a status or one of
// actions, FIRST how many are broken.
func (w *world) fault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 || w.registries[args[0]] == nil {
		ts.Fatalf("usage: fault HOST METHOD PART ACTION [FIRST]")
	}
	f := fixtures.Fault{On: fixtures.On(args[1], args[2]), Then: actions[args[3]]}
	switch args[1] {
	case "any":
		f.On = fixtures.On("", args[2])
	case "write":
		f.On = func(r *http.Request) bool { return fixtures.Writes(r) && strings.Contains(r.URL.Path, args[2]) }
	}
	if status, err := strconv.Atoi(args[3]); err == nil {
		f.Then = fixtures.Status(status)
	}
	if f.Then == nil {
		ts.Fatalf("no action %s", args[3])
	}
	if len(args) == 5 {
		n, err := strconv.Atoi(args[4])
		ts.Check(err)
		f.First = n
	}
	w.faults = append(w.faults, w.registries[args[0]].Inject(f))
}

// mend takes all faults away; each must have broken something.
func (w *world) mend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: mend")
	}
	for i, f := range w.faults {
		if f.Hits() == 0 {
			ts.Fatalf("fault %d broke nothing", i+1)
		}
		f.Remove()
	}
	w.faults = nil
}

// capture VAR PATTERN sets VAR to the first group of PATTERN in the last
// standard output.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VAR PATTERN")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// until COMMAND... repeats a command until it succeeds, half a minute at most.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until COMMAND...")
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", strings.Join(args, " "), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// edit FROM TO OLD NEW copies a file with the first OLD replaced by NEW; edit
// FROM TO - copies its first half.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: edit FROM TO OLD NEW, or edit FROM TO -")
	}
	text := ts.ReadFile(args[0])
	edited := text[:len(text)/2]
	if len(args) == 4 {
		edited = strings.Replace(text, args[2], args[3], 1)
	}
	if edited == text {
		ts.Fatalf("%s: no %s in it", args[0], args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(edited), 0o600))
}

// fetch REF FILE writes the manifest under a tag to a file.
func (w *world) fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch REF FILE")
	}
	repo, ref := w.repository(ts, args[0])
	_, raw, err := oras.FetchBytes(w.t.Context(), repo.Target, ref.Tag, oras.DefaultFetchBytesOptions)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), raw, 0o600))
}

// fill TRUST N lets the fixture's publisher vouch for N paths more, so that
// its role file is too large to be inlined.
func (w *world) fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fill TRUST N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	_, err = w.publishers[args[0]].Publish(func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, "releases")
		for i := 0; i < n && err == nil; i++ {
			err = d.SetTarget(ctx, e, fmt.Sprintf("net-monitor:fill-%d", i), fixtures.Target("filling"))
		}
		return err
	})
	ts.Check(err)
}

// lock DIR holds an image layout's lock as another process would, until
// unlock.
func (w *world) lock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock DIR")
	}
	w.held = flock.New(filepath.Join(ts.MkAbs(args[0]), ".carnet.lock"))
	ts.Check(w.held.Lock())
	ts.Defer(func() { _ = w.held.Unlock() })
}

func (w *world) unlock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: unlock")
	}
	ts.Check(w.held.Unlock())
}
