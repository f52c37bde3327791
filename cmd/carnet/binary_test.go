package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Budgets of the binary that users get.
const (
	maxBinary  = 25_000_000 // bytes
	maxStartUp = 30 * time.Millisecond
)

func buildBinary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "carnet")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v1.2.3", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func TestBinaryStartsFastAndIsSmall(t *testing.T) {
	path := buildBinary(t)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(maxBinary))

	best := time.Hour // of several: others use the machine too
	for range 10 {
		start := time.Now()
		out, err := exec.Command(path, "version").Output()
		best = min(best, time.Since(start))
		require.NoError(t, err)
		require.Contains(t, string(out), "carnet v1.2.3 ")
	}
	assert.Less(t, best, maxStartUp)
	t.Logf("%d bytes, starts in %s", info.Size(), best)
}

func BenchmarkStartUp(b *testing.B) {
	path := buildBinary(b)
	for b.Loop() {
		require.NoError(b, exec.Command(path, "version").Run())
	}
}
