package main

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
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
	// verifiers is the section that each verifier has to play then, \"\" for none.
	verifiers string
}

// operations are the sections that are about more than ordinary life.
var operations = map[string]operation{
	"Everything expired for a year":               {ahead: "17520h", refused: true},
	"A delegated key is lost":                     {before: func(p *practising) { p.lose("releases") }},
	"The timestamp key is lost":                   {before: func(p *practising) { p.lose("wabbit-online") }, ahead: "25h", refused: true},
	"The timestamp and snapshot keys were stolen": {before: func(p *practising) { p.leap() }},
	"One of three root keys is lost":              {before: func(p *practising) { p.lose("carol") }},
	"A threshold of root keys was stolen":         {before: func(p *practising) { p.takeOver() }, verifiers: "Each verifier pins anew"},
}

// Every section of docs/operations.md is played as it stands, by the real
// command on a real registry, after what it is about has happened. Afterwards
// a verifier that knew the publisher before and one that pins it now accept.
func TestOperations(t *testing.T) {
	sections := shellBlocks(t, operationsFile)
	require.Contains(t, sections, practice)
	played := map[string]bool{practice: true}
	for title, op := range operations {
		require.Contains(t, sections, title, "the section of an operation is gone")
		played[op.verifiers] = true
	}
	for title, script := range sections {
		if played[title] {
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
			if op.verifiers != "" {
				p.repin(sections[op.verifiers])
				return
			}
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
	p.play(setUp)
	p.root = p.pinnedRoot()
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
		"REG=" + p.reg.Host, "LOST=" + p.lost, "ROOT=" + p.root, "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
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

// pinnedRoot returns the digest of the root of the only publisher that is
// pinned on the publisher's machine.
func (p *practising) pinnedRoot() string {
	p.play("carnet trust list -o json >trust.json\n")
	raw, err := os.ReadFile(filepath.Join(p.home, "trust.json"))
	require.NoError(p.t, err)
	root := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(string(raw))
	require.NotEmpty(p.t, root, "%s", raw)
	return root
}

// repin plays what each verifier has to do after the publisher started anew.
func (p *practising) repin(script string) {
	p.root = p.pinnedRoot()
	out, err := p.bash(p.knows, "set -eux\n"+script)
	require.NoError(p.t, err, "%s", out)
	require.NoError(p.t, p.verifies(p.knows))
}

// takeOver lets a thief with Ann's and Bob's keys make the publisher theirs.
func (p *practising) takeOver() {
	thief := p.t.TempDir()
	p.lost = p.keyID("wabbit-targets")
	keys := filepath.Join("config", "carnet", "keys")
	for _, name := range []string{"ann", "bob"} {
		require.NoError(p.t, os.CopyFS(filepath.Join(thief, keys, name), os.DirFS(filepath.Join(p.home, keys, name))))
	}
	out, err := p.bash(thief, `set -eux
carnet trust add wabbit $REG/trust --root-digest $ROOT
for name in evil evil-online; do carnet key generate $name; done
carnet writer add evil-online
carnet rotate targets --add evil --remove "$LOST"
carnet delegate remove releases`)
	require.NoError(p.t, err, "%s", out)
	require.Error(p.t, p.verifies(p.knows), "verifiers follow the thief")
}

// leap lets a thief of the online key publish the highest version that there
// is, which the verifier sees.
func (p *practising) leap() {
	ctx := p.t.Context()
	regs, err := registrystore.New(p.reg.Options(), nil)
	require.NoError(p.t, err)
	trust, err := regs.OpenTrust(p.reg.Host + "/trust")
	require.NoError(p.t, err)
	require.NoError(p.t, trust.Open(ctx))
	pub := *trust.Publication()
	raw, err := trust.Journal().Fetch(ctx, pub.Snapshot)
	require.NoError(p.t, err)
	f, err := metadata.Decode(metadata.RoleSnapshot, raw)
	require.NoError(p.t, err)
	snapshot := *f.Snapshot
	snapshot.Version = math.MaxInt64
	pub.Snapshot = p.stolen(metadata.RoleSnapshot, snapshot.Canonical())
	ts := metadata.Timestamp{Snapshot: metadata.NewMetaFile(math.MaxInt64, pub.Snapshot.Data), Carnet: &metadata.TimestampExtension{Issued: time.Now()}}
	ts.Version, ts.Expires = math.MaxInt64, time.Now().Add(24*time.Hour)
	pub.Timestamp = p.stolen(metadata.RoleTimestamp, ts.Canonical())
	_, err = trust.Journal().Commit(ctx, &pub)
	require.NoError(p.t, err)
	require.NoError(p.t, trust.Journal().Advance(ctx, &pub))
	require.NoError(p.t, p.verifies(p.knows), "verifiers go along: it is properly signed")
	out, err := p.bash(p.home, "carnet refresh")
	require.Error(p.t, err, "the publisher cannot go on: %s", out)
	out, err = p.bash(p.home, "carnet status --fail-within 1h")
	require.Error(p.t, err, "%s", out)
	require.Contains(p.t, out, "INVALID: verifiers refuse the newest state")
	require.Regexp(p.t, `(?m)^  who   2 of: .*ann \(here\)`, out)
	require.Contains(p.t, out, "  do    carnet writer replace OLD NEW --trust ")
}

// stolen signs a file of the highest version with the publisher's online key.
func (p *practising) stolen(role string, signed []byte) tuf.File {
	ks := tuf.OpenKeystore(filepath.Join(p.home, "config", "carnet", "keys"), func(context.Context, string) ([]byte, error) { return []byte("correct horse"), nil })
	stored, err := ks.Get("wabbit-online")
	require.NoError(p.t, err)
	signer, err := ks.Signer(p.t.Context(), stored.Key)
	require.NoError(p.t, err)
	sig, err := signer.Sign(p.t.Context(), signed)
	require.NoError(p.t, err)
	return tuf.NewFile(role, math.MaxInt64, metadata.Seal(signed, []metadata.Signature{{KeyID: stored.Key.ID(), Sig: sig}}))
}
