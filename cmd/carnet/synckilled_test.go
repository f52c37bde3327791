package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/verify"
)

// mirror is a stage's trust repository at a second place, and who reads it
// there: one remembers, one is new each time.
type mirror struct {
	*stage
	at       string
	remember *machine
}

func (s *stage) mirrorAt(at string) *mirror {
	s.must("sync", s.trust, at)
	m := &mirror{s, at, newMachine(s.t)}
	m.pin(m.remember)
	return m
}

// pin lets a machine read the publisher at the mirror alone.
func (m *mirror) pin(on *machine) {
	pin, err := verify.OpenPins(filepath.Join(m.home, "config", "publishers")).Get("wabbit")
	require.NoError(m.t, err)
	root := filepath.Join(on.home, "root.json")
	require.NoError(m.t, os.WriteFile(root, pin.Root, 0o600))
	on.must("trust", "add", "wabbit", m.at, "--root", root)
}

// killedAt publishes something, kills the sync that brings it, and runs it
// again. Readers of the mirror see the old state or the new one meanwhile. It
// returns false if the sync ended before.
func (m *mirror) killedAt(n int, kill func(*exec.Cmd) bool) bool {
	tag := fmt.Sprintf("write-%d", n)
	m.repo.PushImage(m.t, tag, tag)
	m.must("sign", m.repo.Ref(tag))
	killed := kill(m.command("sync", m.trust, m.at))
	m.requireRead("1.0")
	m.must("sync", m.trust, m.at)
	m.requireRead("1.0", tag)
	return killed
}

func (m *mirror) requireRead(tags ...string) {
	m.t.Helper()
	fresh := newMachine(m.t)
	m.pin(fresh)
	for _, on := range []*machine{m.remember, fresh} {
		for _, tag := range tags {
			on.must("verify", "--publisher", "wabbit", m.repo.Ref(tag))
		}
	}
}

// A sync that is killed at any write leaves the old state or the new, and
// running it again finishes it.
func TestSyncKilledAtEveryWrite(t *testing.T) {
	reg := fixtures.Distribution(t)
	m := newStage(t, reg).mirrorAt(reg.Host + "/mirror")
	n := 1
	for ; ; n++ {
		fault := reg.Inject(fixtures.Fault{On: writesTo("/mirror/"), Nth: n, Then: stallAfter})
		killed := m.killedAt(n, func(cmd *exec.Cmd) bool {
			defer fault.Remove()
			return killWhen(t, cmd, func() bool { return fault.Hits() > 0 })
		})
		if !killed {
			break
		}
	}
	require.Greater(t, n, 7, "writes of one sync")
}
