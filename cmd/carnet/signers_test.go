package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

// machine is a home of its own from which carnet runs as a process of its
// own.
type machine struct {
	t    testing.TB
	home string
}

func newMachine(t testing.TB) *machine { return &machine{t, t.TempDir()} }

// command prepares a run of carnet on this machine.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("carnet", args...)
	cmd.Env = append(os.Environ(), "HOME="+m.home, "CARNET_CONFIG="+filepath.Join(m.home, "config"),
		"XDG_CACHE_HOME="+filepath.Join(m.home, "cache"), "DOCKER_CONFIG="+m.home, "CARNET_TRUST=")
	return cmd
}

// run runs carnet and returns what it said and its exit code.
func (m *machine) run(args ...string) (stdout, stderr string, code int) {
	var out, said bytes.Buffer
	cmd := m.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err.Error(), -1
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// must runs what must succeed.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, said, code := m.run(args...)
	require.Zero(m.t, code, "carnet %s\n%s%s", strings.Join(args, " "), out, said)
	return out
}

// another returns a machine with the same keys and the same pin, which has
// seen nothing yet.
func (m *machine) another() *machine {
	other := newMachine(m.t)
	for _, part := range []string{"keys", "publishers"} {
		require.NoError(m.t, os.CopyFS(filepath.Join(other.home, "config", part), os.DirFS(filepath.Join(m.home, "config", part))))
	}
	return other
}

// stage is a publisher and a place for its artifacts.
type stage struct {
	*machine
	trust string
	repo  *fixtures.Repository
}

// newStage makes a publisher whose role "releases" is trusted with all names,
// in a registry or, without one, in image layouts.
func newStage(t testing.TB, reg *fixtures.Registry) *stage { return newStageAt(t, reg, "trust") }

// newStageAt is newStage with another name for the trust repository.
func newStageAt(t testing.TB, reg *fixtures.Registry, name string) *stage {
	s := &stage{machine: newMachine(t)}
	if reg == nil {
		dir := t.TempDir()
		s.trust, s.repo = "oci:"+filepath.Join(dir, name), fixtures.Layout(t, filepath.Join(dir, "net-monitor"))
	} else {
		s.trust, s.repo = reg.Host+"/"+name, reg.Repository(t, "net-monitor")
	}
	s.must("init", s.trust, "--publisher", "wabbit", "--no-passphrase")
	s.must("key", "generate", "dev", "--no-passphrase")
	s.must("delegate", "add", "releases", "--path", "net-monitor", "--key", "dev")
	s.repo.PushImage(t, "1.0", "one")
	s.must("sign", s.repo.Ref("1.0"))
	return s
}

// onPlaces runs f on both kinds of places.
func onPlaces(t *testing.T, f func(t *testing.T, s *stage, reg *fixtures.Registry)) {
	t.Run("distribution", func(t *testing.T) {
		reg := fixtures.Distribution(t)
		f(t, newStage(t, reg), reg)
	})
	t.Run("layout", func(t *testing.T) { f(t, newStage(t, nil), nil) })
}

// reader verifies one reference again and again, with a memory of its own,
// until ctx ends: what it sees must be valid and never go back. It returns how
// often it looked and the highest version that it saw.
func (s *stage) reader(ctx context.Context, m *machine) (looks int, version int64, err error) {
	for ctx.Err() == nil {
		out, said, code := m.run("verify", "--publisher", "wabbit", "-o", "json", s.repo.Ref("1.0"))
		var d struct {
			Allowed bool
			Results []struct {
				Reason, Message  string
				TimestampVersion int64
			}
		}
		if code != 0 || json.Unmarshal([]byte(out), &d) != nil || !d.Allowed {
			return looks, version, fmt.Errorf("a reader saw no valid state, exit code %d: %s%s", code, out, said)
		}
		if v := d.Results[0].TimestampVersion; v < version {
			return looks, version, fmt.Errorf("a reader saw version %d after %d", v, version)
		} else {
			version = v
		}
		looks++
	}
	return looks, version, nil
}

func TestSixteenSignersEachInItsOwnProcess(t *testing.T) {
	const signers = 16
	onPlaces(t, func(t *testing.T, s *stage, _ *fixtures.Registry) {
		var refs []string
		for i := range signers {
			s.repo.PushImage(t, fmt.Sprintf("signed-%d", i), fmt.Sprintf("content %d", i))
			refs = append(refs, s.repo.Ref(fmt.Sprintf("signed-%d", i)))
		}
		// Half of them share a machine and its memory, the others have their own.
		machines := make([]*machine, signers)
		for i := range machines {
			if machines[i] = s.machine; i%2 == 1 {
				machines[i] = s.another()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watch := s.another()
		watching.Go(func() {
			looks, version, err := s.reader(ctx, watch)
			assert.NoError(t, err)
			assert.Positive(t, looks)
			t.Logf("the reader looked %d times, up to version %d", looks, version)
		})
		var signing sync.WaitGroup
		for i, ref := range refs {
			signing.Go(func() {
				out, said, code := machines[i].run("sign", ref, "--timeout", "4m")
				assert.Zero(t, code, "%s%s", out, said)
			})
		}
		signing.Wait()
		cancel()
		watching.Wait()
		// Who remembers everything, who remembers something, who knows nothing yet.
		for _, m := range []*machine{s.machine, watch, s.another()} {
			m.must(append([]string{"verify", "--publisher", "wabbit", s.repo.Ref("1.0")}, refs...)...)
		}
	})
}

// stallAfter lets a request take effect and never answers.
func stallAfter(w http.ResponseWriter, req *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), req)
	fixtures.Stall(w, req, next)
}

// TestSignKilledAtEveryWriteCanBeRunAgain kills a signing process while each
// of its writes is under way, before or after it took effect. Readers see the
// old state or the new, and the same command then succeeds.
func TestSignKilledAtEveryWriteCanBeRunAgain(t *testing.T) {
	for when, stall := range map[string]fixtures.Action{"before": fixtures.Stall, "after": stallAfter} {
		t.Run(when, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			s := newStage(t, reg)
			for n := 1; ; n++ {
				tag := fmt.Sprintf("write-%d", n)
				s.repo.PushImage(t, tag, tag)
				fault := reg.Inject(fixtures.Fault{On: func(r *http.Request) bool { return fixtures.Writes(r) && strings.Contains(r.URL.Path, "/trust/") }, Nth: n, Then: stall})
				killed := killWhen(t, s.command("sign", s.repo.Ref(tag)), func() bool { return fault.Hits() > 0 })
				fault.Remove()
				s.requireUsable(tag, !killed)
				if !killed {
					require.Greater(t, n, 8, "writes of one publication")
					return
				}
			}
		})
	}
}

// TestSignKilledAtAnyTimeOnALayout does the same where writes cannot be
// stalled, by killing after ever longer times.
func TestSignKilledAtAnyTimeOnALayout(t *testing.T) {
	s := newStage(t, nil)
	s.repo.PushImage(t, "whole", "whole")
	start := time.Now()
	s.must("sign", s.repo.Ref("whole"))
	whole := time.Since(start)
	const steps = 25
	for n := range steps {
		tag := fmt.Sprintf("step-%d", n)
		s.repo.PushImage(t, tag, tag)
		end := time.Now().Add(whole * time.Duration(n) / steps)
		killed := killWhen(t, s.command("sign", s.repo.Ref(tag)), func() bool { return time.Now().After(end) })
		s.requireUsable(tag, !killed)
	}
}

// killWhen runs a command and kills it, without a warning, when the condition
// holds. It returns false if the command ended before.
func killWhen(t *testing.T, cmd *exec.Cmd, condition func() bool) bool {
	t.Helper()
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, "the command was not disturbed")
			return false
		case <-time.After(time.Millisecond):
		}
		if condition() {
			_ = cmd.Process.Kill()
			return <-ended != nil
		}
	}
}

// requireUsable asserts that what was vouched for still is, that the tag is
// vouched for or not listed, and that to sign it now succeeds.
func (s *stage) requireUsable(tag string, done bool) {
	s.t.Helper()
	s.must("verify", "--publisher", "wabbit", s.repo.Ref("1.0"))
	out, said, code := s.another().run("verify", "--publisher", "wabbit", "-o", "json", s.repo.Ref(tag))
	want := regexp.MustCompile(`"reason":"(ok|not-listed)"`)
	if done {
		want = regexp.MustCompile(`"reason":"ok"`)
	}
	require.Regexp(s.t, want, out, said)
	require.Contains(s.t, []int{0, 1}, code)
	s.must("sign", s.repo.Ref(tag))
	s.must("verify", "--publisher", "wabbit", s.repo.Ref("1.0"), s.repo.Ref(tag))
}
