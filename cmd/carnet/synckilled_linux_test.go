package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// watched counts what happens to the files of folders: that one is made,
// written whole, renamed.
type watched struct {
	t    *testing.T
	fd   int
	seen int
}

func watch(t *testing.T, folders ...string) *watched {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	for _, dir := range folders {
		_, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE|syscall.IN_CLOSE_WRITE|syscall.IN_MOVED_TO)
		require.NoError(t, err)
	}
	return &watched{t: t, fd: fd}
}

// reached reports whether n things happened.
func (w *watched) reached(n int) bool {
	buffer := make([]byte, 16<<10)
	size, err := syscall.Read(w.fd, buffer)
	if err == syscall.EAGAIN {
		return w.seen >= n
	}
	require.NoError(w.t, err)
	for at := 0; at < size; w.seen++ {
		at += syscall.SizeofInotifyEvent + int(buffer[at+12]) + int(buffer[at+13])<<8 // the length of the name
	}
	return w.seen >= n
}

// TestSyncToALayoutKilledAtEveryWrite kills where writes cannot be stalled: as
// soon as the nth of them is seen.
func TestSyncToALayoutKilledAtEveryWrite(t *testing.T) {
	m := newStage(t, nil).mirrorAt("oci:" + filepath.Join(t.TempDir(), "mirror"))
	dir := strings.TrimPrefix(m.at, "oci:")
	n := 1
	for ; ; n++ {
		w := watch(t, dir, filepath.Join(dir, "blobs", "sha256"))
		killed := m.killedAt(n, func(cmd *exec.Cmd) bool {
			return killAtOnce(t, cmd, func() bool { return w.reached(n) })
		})
		if !killed {
			break
		}
	}
	require.Greater(t, n, 12, "writes of one sync")
}

// killAtOnce is killWhen without a pause between two looks: files are written
// faster.
func killAtOnce(t *testing.T, cmd *exec.Cmd, condition func() bool) bool {
	t.Helper()
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !condition() {
		select {
		case err := <-ended:
			require.NoError(t, err, "the command was not disturbed")
			return false
		default:
		}
	}
	_ = cmd.Process.Kill()
	return <-ended != nil
}
