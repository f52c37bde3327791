//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Beyond the air gap everything runs in a network namespace of its own, in
// which there is not even loopback: load verifies and writes, verify decides,
// also about what is called by a registry's name, and both say how old that is.
// (promotion's tests hold the same against a transport that fails the test,
// where no namespace can be made.)
func TestAirGap(t *testing.T) {
	p := newPractising(t, shellBlocks(t, operationsFile)[practice])
	p.play(`carnet save -f release.tar $REG/net-monitor:1.0 $REG/trust
carnet export $REG/trust plain`)
	beyond := t.TempDir()
	for from, to := range map[string]string{"release.tar": "release.tar", "plain/metadata/1.root.json": "root.json"} {
		raw, err := os.ReadFile(filepath.Join(p.home, from))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(beyond, to), raw, 0o600))
	}
	isolated := func(ahead string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(p.home, "bin", "carnet"), args...)
		cmd.Dir = beyond
		cmd.Env = []string{"HOME=" + beyond, "GORACE=" + raceOptions, "CLOCK_AHEAD=" + ahead}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := isolated("", "version")
	if err != nil && out == "" {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	require.NoError(t, err, "%s", out)
	out, err = isolated("", "trust", "add", "wabbit", "oci:site/trust", "--root", "root.json")
	require.NoError(t, err, "%s", out)
	out, err = isolated("", "tree", p.reg.Host+"/net-monitor:1.0", "--timeout", "5s")
	require.Error(t, err, "there is a network: the namespace keeps nothing away")
	require.Contains(t, out, "network is unreachable")
	require.NoError(t, os.WriteFile(filepath.Join(beyond, "policy.yaml"), []byte(`
version: 1
publishers:
  wabbit: {root: root.json, repositories: ["oci:site/trust"]}
rules:
  - {name: late, scope: "*", require: [{publisher: wabbit, max-staleness: 168h}]}
`), 0o600))

	out, err = isolated("72h", "load", "-f", "release.tar", "oci:site", "--publisher", "wabbit")
	require.Error(t, err, "it is too late: %s", out)
	require.Contains(t, out, "nothing is loaded")
	require.NoDirExists(t, filepath.Join(beyond, "site"))
	out, err = isolated("72h", "load", "-f", "release.tar", "oci:site", "--policy", "policy.yaml")
	require.NoError(t, err, "%s", out)
	out, err = isolated("72h", "verify", "--offline", "oci:site/net-monitor:1.0", "--policy", "policy.yaml", "-o", "json")
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, `"allowed":true`)
	require.Regexp(t, `"issued":"20[^"]+","age":2592\d\d,`, out)
	digest := strings.SplitN(out, `"digest":"`, 2)[1][:71]
	out, err = isolated("72h", "verify", "--offline", "registry.example/net-monitor@"+digest, "--policy", "policy.yaml")
	require.NoError(t, err, "%s", out)
	out, err = isolated("240h", "verify", "--offline", "oci:site/net-monitor:1.0", "--policy", "policy.yaml")
	require.Error(t, err, "beyond max-staleness: %s", out)
	require.Contains(t, out, "expired")
}
