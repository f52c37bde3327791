package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/carnet-project/carnet/fixtures"
)

// raceOptions spare each process under the race detector a second of sleep
// before it exits.
const raceOptions = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if err := os.Setenv("GORACE", raceOptions); err != nil {
		panic(err)
	}
	programs := map[string]func(){"carnet": mainAhead, "carnet-on-full-disk": mainOnFullDisk}
	maps.Copy(programs, plugins)
	testscript.Main(m, programs)
}

// mainAhead is main with a clock that is $CLOCK_AHEAD ahead: what expires
// after a year can be seen today.
func mainAhead() {
	ahead := os.Getenv("CLOCK_AHEAD")
	if ahead == "" {
		main()
		return
	}
	d, err := time.ParseDuration(ahead)
	if err != nil {
		panic(err)
	}
	c := newCommand(os.Stdin, os.Stdout, os.Stderr)
	c.now = func() time.Time { return time.Now().Add(d) }
	os.Exit(c.run(context.Background(), os.Args[1:]))
}

// TestScripts plays the scripts that are about one feature each.
func TestScripts(t *testing.T) { play(t, "testdata/script", nil) }

// place is where a script keeps its repositories: $REPO in the script, and
// what target paths begin with there, $NS.
type place struct {
	repo, ns string
	host     *fixtures.Registry // nil for image layouts
}

// TestEndToEnd plays the same scripts on every kind of place. With
// CARNET_TEST_REGISTRY, the address of a registry that is running, they are
// played there and nowhere else.
func TestEndToEnd(t *testing.T) {
	const scripts = "testdata/endtoend"
	if host := os.Getenv("CARNET_TEST_REGISTRY"); host != "" {
		play(t, scripts, func(t *testing.T) *fixtures.Registry { return &fixtures.Registry{Host: host, URL: "http://" + host} })
		return
	}
	t.Run("distribution", func(t *testing.T) {
		play(t, scripts, func(t *testing.T) *fixtures.Registry { return fixtures.Distribution(t) })
	})
	t.Run("registry11", func(t *testing.T) {
		play(t, scripts, func(t *testing.T) *fixtures.Registry { return fixtures.Registry11(t) })
	})
	t.Run("layout", func(t *testing.T) { play(t, scripts, nil) })
}

// play runs the scripts of a folder. Each has the registry that start starts,
// or without start a folder of image layouts.
func play(t *testing.T, dir string, start func(*testing.T) *fixtures.Registry) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", dir, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel() // much of a script's time is spent waiting
			p := &place{}
			if start != nil {
				p.host = start(t)
				p.repo, p.ns = p.host.Host+"/"+name, name+"/"
			}
			testscript.Run(t, testscript.Params{
				Files: []string{file}, RequireExplicitExec: true, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error { return p.setup(env) },
				Cmds:  commands(t, p),
			})
		})
	}
}

// setup gives a script a home of its own.
func (p *place) setup(env *testscript.Env) error {
	if p.host == nil {
		p.repo = "oci:" + filepath.Join(env.WorkDir, "layouts")
	}
	for _, v := range [][2]string{
		{"REPO", p.repo}, {"NS", p.ns}, {"CARNET_PASSPHRASE", "correct horse"},
		{"GORACE", raceOptions},
		{"HOME", filepath.Join(env.WorkDir, "home")},
		{"XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config")},
		{"XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache")},
		{"DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker")},
	} {
		env.Setenv(v[0], v[1])
	}
	return nil
}
