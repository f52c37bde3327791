package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// clientArg is the argument that makes this program a client: it reads one
// job and writes its samples.
const clientArg = "client"

// job is what a client is to do.
type job struct {
	Client  string    // "carnet" or "go-tuf"
	Runs    int       //
	Dir     string    // caches and state
	Cold    bool      // every run has a new folder below Dir
	Now     time.Time // the clock
	Root    []byte    // the pinned root
	URL     string    // go-tuf: where the metadata is
	Path    string    // go-tuf: the target path
	Trust   string    // Carnet: the trust repository
	Refs    []string  // Carnet: what is verified
	Host    string    // Carnet: the registry that the policy governs
	MaxAge  string    // Carnet: of the policy, or ""
	Digests []string  // what must come out, one each
}

// sample is what one run took.
type sample struct {
	Wall, CPU time.Duration
	Mallocs   uint64
	Bytes     uint64 // allocated
}

// verifier is one way to verify: a run with new objects, which fails unless
// what it finds is what the job says.
type verifier func(ctx context.Context, j job, dir string) error

var verifiers = map[string]verifier{"carnet": runCarnet, "go-tuf": runGoTUF}

func serveClient(stdin io.Reader, stdout, stderr io.Writer) int {
	var j job
	err := json.NewDecoder(stdin).Decode(&j)
	var samples []sample
	if err == nil {
		samples, err = j.do()
	}
	if err == nil {
		err = json.NewEncoder(stdout).Encode(samples)
	}
	if err != nil {
		fmt.Fprintln(stderr, "client:", err)
		return 1
	}
	return 0
}

func (j job) do() ([]sample, error) {
	verify := verifiers[j.Client]
	if verify == nil {
		return nil, fmt.Errorf("no client %q", j.Client)
	}
	var out []sample
	for i := range j.Runs {
		dir := j.Dir
		if j.Cold {
			dir = filepath.Join(dir, "cold", strconv.Itoa(os.Getpid()), strconv.Itoa(i))
		}
		if err := j.prepare(dir); err != nil {
			return nil, err
		}
		s, err := take(func() error { return verify(context.Background(), j, dir) })
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// take measures one run. What earlier runs left behind is collected before,
// so that each pays for itself.
func take(run func() error) (sample, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	err := run()
	s := sample{Wall: time.Since(start), CPU: cpuTime() - cpu}
	runtime.ReadMemStats(&after)
	s.Mallocs, s.Bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return s, err
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// start runs a client in a process of its own.
func (j job) start(t testing.TB) []sample {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, clientArg)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", j.Client, err, stderr.String())
	}
	var samples []sample
	if err := json.Unmarshal(out, &samples); err != nil || len(samples) != j.Runs {
		t.Fatalf("%s: %d samples of %d: %v", j.Client, len(samples), j.Runs, err)
	}
	return samples
}
