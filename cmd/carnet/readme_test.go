package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

// The README's shell blocks are run as they stand, in their order, by the
// real command on a real registry.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1)
	require.Greater(t, len(blocks), 5)
	reg := fixtures.Distribution(t)
	reg.Repository(t, "net-monitor").PushImage(t, "1.0", "net-monitor")

	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, "carnet")))
	var script strings.Builder
	script.WriteString("set -eux\n")
	for _, b := range blocks {
		script.WriteString(strings.ReplaceAll(b[1], "localhost:5001", reg.Host))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + dir + ":/usr/bin:/bin", "HOME=" + dir, "CARNET_PASSPHRASE=correct horse", "GORACE=" + raceOptions,
		"XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
