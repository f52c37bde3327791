package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

const (
	operationsFile = "../../docs/operations.md"
	// practice is the section whose publisher the others are about.
	practice = "The publisher of these pages"
)

// operation is what must have happened before a section of docs/operations.md
// applies.
type operation struct {
	ahead   string            // what the clock is ahead of the publisher's first days, see mainAhead
	before  func(*practising) // what was lost or stolen
	refused bool              // verifiers refuse everything until the commands are run
}

// operations are the sections that are about more than ordinary life.
var operations = map[string]operation{
	"Everything expired for a year": {ahead: "17520h", refused: true},
	"A delegated key is lost":       {before: func(p *practising) { p.lose("releases") }},
}

// Every section of docs/operations.md is played as it stands, by the real
// command on a real registry, after what it is about has happened. Afterwards
// a verifier that knew the publisher before and one that pins it now accept.
func TestOperations(t *testing.T) {
	sections := shellBlocks(t, operationsFile)
	require.Contains(t, sections, practice)
	for title := range operations {
		require.Contains(t, sections, title, "the section of an operation is gone")
	}
	for title, script := range sections {
		if title == practice {
			continue
		}
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			op := operations[title]
			p := newPractising(t, sections[practice])
			if op.before != nil {
				op.before(p)
			}
			p.ahead = op.ahead
			if op.refused {
				require.Error(t, p.verifies(p.knows), "the section is about a repair: something must be broken")
			}
			p.play(script)
			require.NoError(t, p.verifies(p.knows), "a verifier that knew the publisher before")
			require.NoError(t, p.verifies(p.pinned(t)), "a verifier that pins the publisher now")
		})
	}
}

var (
	heading    = regexp.MustCompile(`(?m)^##+ (.+)$`)
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
)

// shellBlocks returns the shell commands of each section that has any.
func shellBlocks(t *testing.T, path string) map[string]string {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	out := map[string]string{}
	at := heading.FindAllSubmatchIndex(raw, -1)
	for i, m := range at {
		end := len(raw)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		for _, b := range shellBlock.FindAllSubmatch(raw[m[1]:end], -1) {
			out[string(raw[m[2]:m[3]])] += string(b[1])
		}
	}
	return out
}

// practising is a publisher made as the document says, and a verifier that saw
// it before anything happened.
type practising struct {
	t     *testing.T
	reg   *fixtures.Registry
	home  string // of the publisher
	root  string // digest
	knows string // the home of the verifier
	ahead string
	lost  string // the ID of a key
}

func newPractising(t *testing.T, setUp string) *practising {
	p := &practising{t: t, reg: fixtures.Distribution(t), home: t.TempDir(), knows: t.TempDir()}
	p.reg.Repository(t, "net-monitor").PushImage(t, "1.0", "net-monitor")
	p.play(setUp + "carnet trust list -o json >trust.json\n")
	raw, err := os.ReadFile(filepath.Join(p.home, "trust.json"))
	require.NoError(t, err)
	p.root = regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(string(raw))
	require.NotEmpty(t, p.root, "%s", raw)
	p.knows = p.pinned(t)
	require.NoError(t, p.verifies(p.knows))
	return p
}

// play runs commands of the document as the publisher.
func (p *practising) play(script string) {
	p.t.Helper()
	out, err := p.bash(p.home, "set -eux\n"+script)
	require.NoError(p.t, err, "%s", out)
}

func (p *practising) bash(home, script string) (string, error) {
	self, err := os.Executable()
	require.NoError(p.t, err)
	bin := filepath.Join(home, "bin")
	require.NoError(p.t, os.MkdirAll(bin, 0o700))
	if err := os.Symlink(self, filepath.Join(bin, "carnet")); err != nil {
		require.ErrorIs(p.t, err, os.ErrExist)
	}
	cmd := exec.CommandContext(p.t.Context(), "bash", "-c", script)
	cmd.Dir = home
	cmd.Env = []string{
		"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + home, "CARNET_PASSPHRASE=correct horse", "GORACE=" + raceOptions, "CLOCK_AHEAD=" + p.ahead,
		"REG=" + p.reg.Host, "LOST=" + p.lost, "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pinned makes a verifier that pins the publisher's first root now.
func (p *practising) pinned(t *testing.T) string {
	home := t.TempDir()
	out, err := p.bash(home, "carnet trust add wabbit $REG/trust --root-digest "+p.root)
	require.NoError(t, err, "%s", out)
	return home
}

// verifies asks a verifier.
func (p *practising) verifies(home string) error {
	out, err := p.bash(home, "carnet verify $REG/net-monitor:1.0 --publisher wabbit")
	if err != nil {
		p.t.Log(out)
	}
	return err
}

// lose takes keys out of the publisher's keystore, the public halves too. The
// document calls the last one's ID $LOST.
func (p *practising) lose(names ...string) {
	for _, name := range names {
		p.lost = p.keyID(name)
		require.NoError(p.t, os.RemoveAll(filepath.Join(p.home, "config", "carnet", "keys", name)))
	}
}

func (p *practising) keyID(name string) string {
	out, err := p.bash(p.home, "carnet key show "+name)
	require.NoError(p.t, err, "%s", out)
	m := regexp.MustCompile(`(?m)^keyid +([0-9a-f]{12})`).FindStringSubmatch(out)
	require.Len(p.t, m, 2, "%s", out)
	return m[1]
}
