package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// terminal returns both ends of a new terminal: what a person types into, and
// what a program reads.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { person.Close() })
	var number, unlocked int32
	control := func(request uintptr, arg *int32) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(arg)))
		require.Zero(t, errno)
	}
	control(syscall.TIOCSPTLCK, &unlocked)
	control(syscall.TIOCGPTN, &number)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { program.Close() })
	return person, program
}

// A question that nobody answers ends with its command, by Ctrl-C or --timeout,
// and is no yes, also if one is half typed.
func TestQuestionEndsWithItsCommand(t *testing.T) {
	person, program := terminal(t)
	_, err := person.WriteString("y")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var shown bytes.Buffer
	yes, err := (&command{stdin: program, stderr: &shown}).ask(ctx, "Sign it?")
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, yes)
	require.Equal(t, "Sign it? [y/N] ", shown.String())
}
