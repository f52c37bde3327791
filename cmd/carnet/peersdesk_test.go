package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// desk is a folder in which commands are run, with carnet and the programs of
// others on its path, that remembers nothing of another desk.
type desk struct {
	t    *testing.T
	home string
	env  []string
}

// newDesk makes one. Variables that are hosts are registries without TLS.
func newDesk(t *testing.T, p *peers, env ...string) *desk {
	t.Helper()
	d := &desk{t: t, home: t.TempDir()}
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(d.home, "bin"), 0o700))
	for name, program := range map[string]string{"carnet": self, "oras": p.oras, "skopeo": p.skopeo} {
		require.NoError(t, os.Symlink(program, filepath.Join(d.home, "bin", name)))
	}
	d.write(".config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	var plain strings.Builder
	for _, v := range env {
		_, value, _ := strings.Cut(v, "=")
		if strings.HasPrefix(value, "localhost:") {
			fmt.Fprintf(&plain, "[[registry]]\nlocation = %q\ninsecure = true\n", value)
		}
	}
	d.write(".config/containers/registries.conf", plain.String())
	d.env = append([]string{
		"PATH=" + filepath.Join(d.home, "bin") + ":/usr/bin:/bin", "HOME=" + d.home, "GORACE=" + raceOptions, "TMPDIR=" + d.home,
		"XDG_CONFIG_HOME=" + filepath.Join(d.home, "config"), "XDG_CACHE_HOME=" + filepath.Join(d.home, "cache"),
	}, env...)
	return d
}

func (d *desk) write(name, text string) {
	path := filepath.Join(d.home, name)
	require.NoError(d.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(d.t, os.WriteFile(path, []byte(text), 0o600))
}

// run runs commands of a shell.
func (d *desk) run(script string) (string, error) {
	cmd := exec.CommandContext(d.t.Context(), "bash", "-euxc", script)
	cmd.Dir, cmd.Env = d.home, d.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs what has to succeed.
func (d *desk) must(script string) string {
	d.t.Helper()
	out, err := d.run(script)
	require.NoError(d.t, err, "%s", out)
	return out
}
