package main

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
)

// asClient makes the test binary be the command.
const asClient = "CARNET_CONFORMANCE_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asClient) != "" {
		main()
	}
	os.Exit(m.Run())
}

// start is the time at which the repositories are made.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// scenario is a repository, served over HTTP, and a client of it in folders of
// its own.
type scenario struct {
	t    *testing.T
	repo *tufrepository.Repository
	url  string
	now  time.Time
	dir  string
	meta string // folder of the trusted metadata
	got  string // folder of the downloads
}

func newScenario(t *testing.T) *scenario {
	s := &scenario{t: t, repo: tufrepository.New(start), now: start, dir: t.TempDir()}
	s.meta, s.got = filepath.Join(s.dir, "metadata"), filepath.Join(s.dir, "targets")
	for _, dir := range []string{s.meta, s.got, filepath.Join(s.dir, "bin")} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	server := httptest.NewServer(s.repo)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// newClient is a scenario whose client was given version 1 of root.
func newClient(t *testing.T) *scenario {
	s := newScenario(t)
	s.init(0)
	return s
}

// run runs the command as a process of its own, with a date command that
// prints the scenario's time, and wants the exit code.
func (s *scenario) run(code int, args ...string) {
	s.t.Helper()
	date := filepath.Join(s.dir, "bin", "date")
	script := "#!/bin/sh\n[ \"$*\" = +%s ] && echo " + strconv.FormatInt(s.now.Unix(), 10) + "\n"
	require.NoError(s.t, os.WriteFile(date, []byte(script), 0o755))
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// The race detector would sleep a second before each process exits.
	cmd.Env = append(os.Environ(), asClient+"=1", "GORACE=atexit_sleep_ms=0", "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	out, _ := cmd.CombinedOutput()
	require.Equal(s.t, code, cmd.ProcessState.ExitCode(), "%s", out)
}

func (s *scenario) init(code int) {
	s.t.Helper()
	root := filepath.Join(s.dir, "trusted_root.json")
	require.NoError(s.t, os.WriteFile(root, s.repo.Get("1.root.json"), 0o644))
	s.run(code, "--metadata-dir", s.meta, "init", root)
}

func (s *scenario) refresh(code int) {
	s.t.Helper()
	s.run(code, "--metadata-url", s.url+"/metadata/", "--metadata-dir", s.meta, "refresh")
}

func (s *scenario) download(code int, targets ...string) {
	s.t.Helper()
	args := []string{"--metadata-url", s.url + "/metadata/", "--metadata-dir", s.meta}
	for _, target := range targets {
		args = append(args, "--target-name", target)
	}
	s.run(code, append(args, "--target-dir", s.got, "--target-base-url", s.url+"/targets/", "download")...)
}

// requested wants the requests since the last call.
func (s *scenario) requested(want ...string) {
	s.t.Helper()
	require.Equal(s.t, want, s.repo.Requests())
}

// trusts wants exactly these files to be trusted, at these versions, and the
// bytes as they were served.
func (s *scenario) trusts(want map[string]int64) {
	s.t.Helper()
	found := map[string]int64{}
	for _, name := range s.files(s.meta) {
		role := name[:len(name)-len(".json")]
		raw := s.read(s.meta, name)
		kind := role
		if !metadata.IsTopLevel(role) {
			kind = metadata.RoleTargets
		}
		f, err := metadata.Decode(kind, raw)
		require.NoError(s.t, err)
		found[role] = f.Version
	}
	require.Equal(s.t, want, found)
}

// stored wants a trusted file to be what is served under a name.
func (s *scenario) stored(name, served string) {
	s.t.Helper()
	require.Equal(s.t, string(s.repo.Get(served)), string(s.read(s.meta, name)))
}

// downloaded wants exactly these files, by content.
func (s *scenario) downloaded(want ...string) {
	s.t.Helper()
	var found []string
	for _, name := range s.files(s.got) {
		found = append(found, string(s.read(s.got, name)))
	}
	slices.Sort(found)
	slices.Sort(want)
	require.Equal(s.t, want, found)
}

// files lists a folder, with what is hidden.
func (s *scenario) files(dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(s.t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func (s *scenario) read(dir, name string) []byte {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(s.t, err)
	return raw
}
