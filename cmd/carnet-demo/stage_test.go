package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newStage(t *testing.T) (*stage, *bytes.Buffer) {
	var out bytes.Buffer
	return &stage{dir: t.TempDir(), env: os.Environ(), out: &out}, &out
}

func TestStepIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		step     step
		expected bool
	}{
		"as it should":         {step{line: "echo yes; exit 1", exit: 1, says: []string{"yes"}}, true},
		"on stderr":            {step{line: "echo yes >&2", says: []string{"yes"}}, true},
		"passes unexpectedly":  {step{line: "echo yes", exit: 1, says: []string{"yes"}}, false},
		"fails unexpectedly":   {step{line: "echo yes; exit 3", says: []string{"yes"}}, false},
		"another failure":      {step{line: "exit 3", exit: 1}, false},
		"for another reason":   {step{line: "echo 'wabbit: expired:'; exit 1", exit: 1, says: []string{"wabbit: revoked:"}}, false},
		"killed by a signal":   {step{line: "kill -9 $$", exit: 1}, false},
		"one word is missing":  {step{line: "echo one", says: []string{"one", "two"}}, false},
		"no such program":      {step{line: "./no-such-program"}, false},
		"what was typed first": {step{line: `test "$WHO" = wabbit`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, out := newStage(t)
			s.as("Wabbit", "export WHO=wabbit")
			o := s.play(t.Context(), c.step)
			assert.Equal(t, c.expected, o.expected(), out)
			assert.Equal(t, c.expected, s.surprises() == 0)
			assert.Equal(t, c.expected, bytes.Contains(out.Bytes(), []byte("as expected")), out)
			assert.Contains(t, out.String(), "$ "+c.step.line+"\n", "what ran is what was printed")
		})
	}
}

func TestStepEndsWithItsContext(t *testing.T) {
	s, _ := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, s.play(ctx, step{line: "true"}).expected())
}

func TestBackgroundIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		line     string
		expected bool
	}{
		"goes on till the end": {`sh -c 'trap "exit 0" TERM; echo fresh; echo >ready; while :; do sleep 0.01; done'`, true},
		"ended by itself":      {`sh -c 'echo fresh; echo >ready; exit 3'`, false},
		"said nothing":         {`sh -c 'trap "exit 0" TERM; echo >ready; while :; do sleep 0.01; done'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, out := newStage(t)
			require.NoError(t, s.begin(step{title: "refresh", line: c.line, says: []string{"fresh"}}))
			t.Cleanup(s.close)
			require.Eventually(t, func() bool {
				_, err := os.Stat(filepath.Join(s.dir, "ready"))
				return err == nil
			}, 10*time.Second, time.Millisecond)
			s.end("the refreshing stops")
			require.Len(t, s.outcomes, 1)
			assert.Equal(t, c.expected, s.outcomes[0].expected(), out)
		})
	}
}

// credulous is a carnet that lets everything pass, and says what it takes for
// the story to go on.
const credulous = `#!/bin/sh
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
case "$*" in
init*) echo "root       sha256:0000000000000000000000000000000000000000000000000000000000000000" ;;
"status -o json") echo '{"roles":[{"role":"timestamp","expires":"'$now'"}]}' ;;
"refresh --every"*) echo fresh until; trap 'exit 0' TERM; while :; do sleep 0.05; done ;;
verify*-o\ json*) echo '"allowed":true "reason":"ok"' ;;
verify*) echo ": allowed wabbit: ok:" ;;
esac
`

// A carnet that accepts what must be rejected makes the demo fail, step by
// step.
func TestSurprisesFailTheDemo(t *testing.T) {
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "carnet"), []byte(credulous), 0o755))
	d := strings.Repeat("1", 64)
	demo := fmt.Sprintf("#!/bin/sh\necho sha256:%s sha256:%s sha256:%s\n", d, d, d)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "carnet-demo"), []byte(demo), 0o755))
	dir := t.TempDir()
	for _, name := range []string{"acme", "registry/net-monitor", "registry/trust"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	var out bytes.Buffer
	s, err := perform(t.Context(), dir, bin, 15*time.Second, &out)
	require.ErrorContains(t, err, "steps surprised")

	surprising := map[string]bool{}
	for _, o := range s.outcomes {
		surprising[o.title] = !o.expected()
	}
	for _, title := range []string{
		"nobody is trusted on first use",
		"a tag that was moved back: rejected",
		"an image that was never signed: rejected",
		"a signed image under another name: rejected",
		"what was withdrawn, with the reason why: rejected",
		"a word that has expired: rejected",
		"metadata older than what was seen before: rejected",
	} {
		assert.True(t, surprising[title], title)
		assert.Contains(t, out.String(), title)
	}
	passed, ok := surprising["the image with its SBOM and its scan result: passes"]
	assert.True(t, ok && passed, "who says yes once has not decided about the referrers")
	passed, ok = surprising["the tag: passes"]
	assert.True(t, ok && !passed, out.String())
	assert.Contains(t, out.String(), "SURPRISE")
}

// A story that cannot go on is a failure too.
func TestStoryThatEndsEarlyFails(t *testing.T) {
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "carnet"), []byte("#!/bin/sh\n"), 0o755))
	var out bytes.Buffer
	_, err := perform(t.Context(), t.TempDir(), bin, 15*time.Second, &out)
	assert.ErrorContains(t, err, "the story ends here")
}

func TestTimestampExpiry(t *testing.T) {
	at, err := timestampExpiry(`{"roles":[{"role":"root","expires":"2027-01-01T00:00:00Z"},{"role":"timestamp","expires":"2026-11-24T22:23:08Z"}]}`)
	require.NoError(t, err)
	assert.Equal(t, time.Date(2026, 11, 24, 22, 23, 8, 0, time.UTC), at)
	for _, bad := range []string{"", `{"roles":[]}`, `{"roles":[{"role":"root","expires":"2027-01-01T00:00:00Z"}]}`} {
		_, err := timestampExpiry(bad)
		assert.Error(t, err, bad)
	}
}
