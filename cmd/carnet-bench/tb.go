package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
)

// tb lets the fixtures, which are made for tests, run in a program. Of the
// methods of testing.TB it has those that the fixtures call; another one would
// panic.
type tb struct {
	testing.TB
	ctx      context.Context
	stderr   io.Writer
	cleanups []func()
	errs     []error
}

// withTB runs f and then, in reverse order, what f left to clean up. It
// returns how f failed.
func withTB(ctx context.Context, stderr io.Writer, f func(testing.TB)) error {
	t := &tb{ctx: ctx, stderr: stderr}
	t.protect(func() { f(t) })
	for _, c := range slices.Backward(t.cleanups) {
		t.protect(c)
	}
	return errors.Join(t.errs...)
}

func (t *tb) protect(f func()) {
	defer func() {
		if r := recover(); r != nil && r != any(t) { // another one's end is not ours
			panic(r)
		}
	}()
	f()
}

func (t *tb) Helper()                    {}
func (t *tb) Name() string               { return "bench" }
func (t *tb) Context() context.Context   { return t.ctx }
func (t *tb) Cleanup(f func())           { t.cleanups = append(t.cleanups, f) }
func (t *tb) Log(args ...any)            { fmt.Fprintln(t.stderr, args...) }
func (t *tb) Logf(f string, args ...any) { fmt.Fprintf(t.stderr, f+"\n", args...) }
func (t *tb) Error(args ...any)          { t.errs = append(t.errs, errors.New(fmt.Sprint(args...))) }
func (t *tb) Errorf(f string, a ...any)  { t.errs = append(t.errs, fmt.Errorf(f, a...)) }
func (t *tb) FailNow()                   { panic(t) }
func (t *tb) Fatal(args ...any)          { t.Error(args...); t.FailNow() }
func (t *tb) Fatalf(f string, a ...any)  { t.Errorf(f, a...); t.FailNow() }

// TempDir returns a new folder that is removed in the end.
func (t *tb) TempDir() string {
	dir, err := os.MkdirTemp("", "carnet-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
