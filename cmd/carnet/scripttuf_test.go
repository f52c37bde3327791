package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

// foreign NAME VAR serves a plain TUF repository that another tool made: its
// role "team/one" vouches for target files. VAR is set to the URL, VAR_ROOT to
// the digest of its root, and NAME.root.json is that root. Where NAME was made
// before, it publishes anew, with "target" listed.
func (w *world) foreign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: foreign NAME VAR [TARGET]")
	}
	repo := w.foreigns[args[0]]
	if repo == nil {
		repo = tufrepository.New(time.Now())
		repo.SetVersion("root", 0)
		for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
			repo.SetKeys(role, 1, tufrepository.NewKey(args[0]+" "+role)) // names share none
		}
		repo.Publish("root")
		repo.Delegate(time.Now(), "targets", tufrepository.Delegation{Name: "team/one", Paths: []string{"*:*"}})
		server := httptest.NewServer(repo)
		w.t.Cleanup(server.Close)
		ts.Setenv(args[1], server.URL+"/metadata/")
		ts.Setenv(args[1]+"_ROOT", digest.FromBytes(repo.Get("1.root.json")).String())
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".root.json"), repo.Get("1.root.json"), 0o600))
		w.foreigns[args[0]] = repo
	}
	if len(args) == 3 {
		w.list(ts, repo, args[2])
	}
	repo.PublishAll()
}

// list lets a foreign repository vouch for an artifact: REF names it where it
// is, and its name with the tag is the target path.
func (w *world) list(ts *testscript.TestScript, repo *tufrepository.Repository, arg string) {
	at, ref := w.repository(ts, arg)
	desc, err := at.Target.Resolve(w.t.Context(), ref.Tag)
	ts.Check(err)
	repo.Signed["team/one"]["targets"].(tufrepository.Object)[ref.Name+":"+ref.Tag] = tufrepository.Object{
		"length": int(desc.Size), "hashes": tufrepository.Object{"sha256": desc.Digest.Encoded()},
	}
}

// serve DIR VAR serves a folder's files by HTTP; VAR is set to the URL.
func (w *world) serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve DIR VAR")
	}
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Clean(ts.MkAbs(args[0])))))
	w.t.Cleanup(server.Close)
	ts.Setenv(args[1], server.URL+"/")
}
