package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/verify"
)

// killable is a command that is killed at each of its writes. $N stands for a
// number that is new each time.
type killable struct {
	before  []string // commands that make what it needs
	command string
	// leaves is what the command is for: a command whose answer holds text
	// afterwards, "" for none.
	leaves, text string
	// again is what it says where it was done already, "" for success.
	again string
	// both kills also before a write takes effect, and not only after.
	both bool
}

var killables = map[string]killable{
	"delegate add": {
		command: "delegate add team-$N --path net-monitor --key dev",
		leaves:  "delegate list", text: "team-$N", again: `the role "team-$N" exists`,
	},
	"delegate remove": {
		before:  []string{"delegate add team-$N --path net-monitor --key dev"},
		command: "delegate remove team-$N", again: `no such role: "team-$N"`,
	},
	"rotate a delegated role": {
		before:  []string{"key generate k-$N --no-passphrase"},
		command: "rotate releases --add k-$N",
		leaves:  "delegate list", text: "k-$N",
	},
	"revoke key": {
		before:  []string{"key generate k-$N --no-passphrase", "rotate releases --add k-$N"},
		command: "revoke key k-$N", both: true, again: "no role has this key",
	},
	"revoke artifact": {
		command: "revoke artifact net-monitor@sha256:$HEX --reason broken",
		leaves:  "log -n 3", text: "withdrawn@sha256:$HEX",
	},
	"refresh every role": {
		command: "refresh --role root --role targets --role releases --role revocations",
	},
	"rotate root": {
		before:  []string{"key generate k-$N --no-passphrase"},
		command: "rotate root --add k-$N", both: true,
		leaves: "status -o json", text: `"name":"k-$N"`,
	},
	"rotate targets": {
		before:  []string{"key generate k-$N --no-passphrase"},
		command: "rotate targets --add k-$N",
		leaves:  "status -o json", text: `"name":"k-$N"`,
	},
	"writer replace": {
		before:  []string{"key generate k-$N --no-passphrase", "key generate l-$N --no-passphrase", "writer add k-$N"},
		command: "writer replace k-$N l-$N", again: `"k-$N" is no key of the role "timestamp"`,
		leaves: "writer list", text: "l-$N",
	},
	"writer remove": {
		before:  []string{"key generate k-$N --no-passphrase", "writer add k-$N"},
		command: "writer remove k-$N", again: `"k-$N" is no key of the role "timestamp"`,
	},
	"revoke role": {
		before:  []string{"delegate add team-$N --path other --key dev"},
		command: "revoke role team-$N --self",
		leaves:  "status -o json", text: `"role":"team-$N","version":2`,
	},
	"agreement": {
		before:  []string{"key generate k-$N --no-passphrase", "delegate add one-$N --path other-$N --key dev"},
		command: "delegate add two-$N --path other-$N --key k-$N --agree one-$N,two-$N", again: `the role "two-$N" exists`,
		leaves: "delegate list", text: "two-$N",
	},
}

// A publishing command that is killed at any write, before or after it took
// effect, leaves a publisher that verifies, for who remembers and for who does
// not, and running it again finishes it.
func TestKilledAtEveryWrite(t *testing.T) {
	for name, k := range killables {
		for when, stall := range map[string]fixtures.Action{"before": fixtures.Stall, "after": stallAfter} {
			if when == "before" && !k.both {
				continue // as after the write before
			}
			t.Run(name+"/"+when, func(t *testing.T) {
				t.Parallel()
				reg := fixtures.Distribution(t)
				s := newStage(t, reg)
				w := s.watchers()
				n := 1
				for s.killedAt(reg, w, k, n, stall) {
					n++
				}
				require.Greater(t, n, 7, "writes of one publication")
			})
		}
	}
}

// A proposal that is killed at any write is made by running the command again,
// though its signers sign one file of a version only; then it is approved and
// published, each killed once too.
func TestProposalKilledAtEveryWrite(t *testing.T) {
	reg := fixtures.Distribution(t)
	most := map[string]int{"propose": 1, "approve": 1, "publish": 1} // the writes that each has
	for n := 1; n <= max(most["propose"], most["approve"], most["publish"]); n++ {
		s := newStageAt(t, reg, fmt.Sprintf("trust-%d", n))
		w, vault := s.watchers(), s.vault()
		for _, step := range []struct {
			name string
			on   *machine
			args string
		}{
			{"propose", s.machine, "rotate root --add file:" + vault.home + "/vault.pub --threshold 2"},
			{"approve", vault, "approve"},
			{"publish", s.machine, "refresh"},
		} {
			args := strings.Fields(step.args)
			fault := reg.Inject(fixtures.Fault{On: writesTo(fmt.Sprintf("/trust-%d/", n)), Nth: n, Then: fixtures.Stall})
			killed := killWhen(t, step.on.command(args...), func() bool { return fault.Hits() > 0 })
			fault.Remove()
			w.requireValid(n)
			if killed {
				most[step.name] = n + 1
				step.on.must(args...)
				w.requireValid(n)
			}
		}
		require.Regexp(t, `(?m)^root +2 .* 2 of 2 `, s.must("status"), "write %d", n)
	}
	t.Logf("writes: %v", most)
}

// killedAt kills the command at its nth write and runs it again. It returns
// false if there are not so many writes.
func (s *stage) killedAt(reg *fixtures.Registry, w *watchers, k killable, n int, stall fixtures.Action) bool {
	t := s.t.(*testing.T)
	of := strings.NewReplacer("$N", fmt.Sprint(n), "$HEX", fmt.Sprintf("%064x", n))
	for _, line := range k.before {
		s.must(strings.Fields(of.Replace(line))...)
	}
	args := strings.Fields(of.Replace(k.command))
	fault := reg.Inject(fixtures.Fault{On: writesTo("/trust/"), Nth: n, Then: stall})
	killed := killWhen(t, s.command(args...), func() bool { return fault.Hits() > 0 })
	fault.Remove()
	w.requireValid(n)
	out, said, code := s.run(args...)
	if code != 0 {
		require.Equal(t, exitUsage, code, "write %d: running it again: %s%s", n, out, said)
		require.NotEmpty(t, k.again, "write %d: running it again: %s%s", n, out, said)
		require.Contains(t, said, of.Replace(k.again), "write %d: running it again", n)
	}
	w.requireValid(n)
	if k.leaves != "" {
		require.Contains(t, s.must(strings.Fields(k.leaves)...), of.Replace(k.text), "write %d", n)
	}
	return killed
}

func writesTo(part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return fixtures.Writes(r) && strings.Contains(r.URL.Path, part) }
}

// watchers look once in a while, in the test's own time.
type watchers struct {
	*onlookers
	memory func() (*verify.Verifier, error)
}

func (s *stage) watchers() *watchers {
	o := s.onlookers(s.repo.Ref("1.0"))
	return &watchers{o, o.remembering()}
}

func (w *watchers) requireValid(n int) {
	w.t.Helper()
	for kind, open := range map[string]func() (*verify.Verifier, error){"fresh": w.fresh, "with a memory": w.memory} {
		v, err := open()
		require.NoError(w.t, err)
		decisions, err := v.Verify(w.t.Context(), w.refs...)
		require.NoError(w.t, err)
		require.Equal(w.t, verify.Allowed, decisions[0].Verdict, "write %d, %s: %s", n, kind, decisions[0].Text())
	}
}
