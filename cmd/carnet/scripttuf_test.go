package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	tufupdater "github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

// foreign NAME VAR [TARGET [ROLE]] serves a plain TUF repository that another
// tool made: its role, "team/one" if none is named, vouches for target files. VAR is set to the URL, VAR_ROOT to
// the digest of its root, and NAME.root.json is that root. Where NAME was made
// before, it publishes anew, with "target" listed.
func (w *world) foreign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 4 {
		ts.Fatalf("usage: foreign NAME VAR [TARGET [ROLE]]")
	}
	repo := w.foreigns[args[0]]
	if repo == nil {
		repo = tufrepository.New(time.Now())
		repo.SetVersion("root", 0)
		for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
			repo.SetKeys(role, 1, tufrepository.NewKey(args[0]+" "+role)) // names share none
		}
		repo.Publish("root")
		role := "team/one"
		if len(args) == 4 {
			role = args[3]
		}
		repo.Delegate(time.Now(), "targets", tufrepository.Delegation{Name: role, Paths: []string{"*:*"}})
		server := httptest.NewServer(repo)
		w.t.Cleanup(server.Close)
		ts.Setenv(args[1], server.URL+"/metadata/")
		ts.Setenv(args[1]+"_ROOT", digest.FromBytes(repo.Get("1.root.json")).String())
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".root.json"), repo.Get("1.root.json"), 0o600))
		w.foreigns[args[0]] = repo
	}
	if len(args) > 2 {
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
	for role := range repo.Signed {
		if _, top := repo.Roles()[role]; !top {
			repo.Signed[role]["targets"].(tufrepository.Object)[ref.Name+":"+ref.Tag] = tufrepository.Object{
				"length": int(desc.Size), "hashes": tufrepository.Object{"sha256": desc.Digest.Encoded()},
			}
		}
	}
}

// mirror NAME DESTINATION copies what a foreign repository publishes as tools
// that mirror TUF do: to HOST/PATH:TAG, or as image layouts into a folder.
func (w *world) mirror(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || w.foreigns[args[0]] == nil {
		ts.Fatalf("usage: mirror NAME DESTINATION")
	}
	m := w.foreigns[args[0]].Mirror()
	if dir, ok := strings.CutPrefix(args[1], "oci:"); ok {
		ts.Check(m.Save(ts.MkAbs(dir)))
		return
	}
	at, ref := w.repository(ts, args[1])
	ts.Check(m.Push(w.t.Context(), at.Target, ref.Tag))
}

// follow NAME URL ROOT TARGET DIGEST updates go-tuf's client NAME, which began
// with the file ROOT, and asserts that it finds the target with that digest;
// with "!", that it does not.
func (w *world) follow(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 5 {
		ts.Fatalf("usage: follow NAME URL ROOT TARGET DIGEST")
	}
	dir := ts.MkAbs(filepath.Join("go-tuf", args[0]))
	known := filepath.Join(dir, "root.json")
	if _, err := os.Stat(known); err != nil {
		ts.Check(os.MkdirAll(dir, 0o700))
		ts.Check(os.WriteFile(known, []byte(ts.ReadFile(args[2])), 0o600))
	}
	root, err := os.ReadFile(known)
	ts.Check(err)
	cfg, err := tufconfig.New(args[1], root)
	ts.Check(err)
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = dir, dir
	up, err := tufupdater.New(cfg)
	ts.Check(err)
	ts.Check(up.Refresh())
	found := "nothing"
	if info, err := up.GetTargetInfo(args[3]); err == nil {
		found = "sha256:" + info.Hashes["sha256"].String()
	}
	if found == args[4] == neg {
		ts.Fatalf("go-tuf finds %s for %s", found, args[3])
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
