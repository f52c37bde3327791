package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == clientArg {
		main()
	}
	os.Exit(m.Run())
}

// What does not depend on the machine is exact in every run.
func TestRequestsAndRounds(t *testing.T) {
	rows := measure(t, options{runs: 1, artifacts: 200, images: 10, archived: 200, rotations: []int{1, 500}, latencies: []time.Duration{0}})
	type cost struct{ requests, rounds int64 }
	found := map[string]cost{}
	for _, r := range rows {
		found[r.name] = cost{r.requests, r.rounds}
	}
	require.Equal(t, cost{3, 2}, found[coldTag])
	require.Equal(t, cost{2, 1}, found[warmTag])
	require.Equal(t, cost{0, 0}, found[warmDigest])
	require.EqualValues(t, 101, found[warmMany].requests)
	require.Equal(t, cost{2, 2}, found[warmExported])
	require.Equal(t, cost{2, 2}, found[warmPlain])
	require.Equal(t, found[signOne], found[signAll])
	require.LessOrEqual(t, found[signOne].requests, int64(maxSign))
	require.Equal(t, found[rotated(1)].requests, found[rotated(500)].requests)
	require.EqualValues(t, 2*mirrors, found[syncUnchanged].requests)
	require.LessOrEqual(t, found[syncRelease].requests, int64(16*mirrors))
	require.Greater(t, found[attachRelease].requests, int64(10*mirrors))
	require.Greater(t, found[signRelease].requests, int64(3*10*mirrors))

	sizes := map[string]int64{}
	for _, r := range rows {
		sizes[r.name] = r.bytes
	}
	require.Less(t, sizes[savedSplit(200)], sizes[savedFull(200)])
	require.Less(t, sizes[savedOne(200)], sizes[savedFull(200)])
	require.LessOrEqual(t, found[savedOne(200)].requests, int64(2*200+10), "two for each artifact")

	var out bytes.Buffer
	printTable(&out, options{latencies: []time.Duration{0}}, rows)
	require.Contains(t, out.String(), "| "+warmTag)
	require.Contains(t, out.String(), orasVersion(""))
}

func TestMissedTargetsAreFound(t *testing.T) {
	good := func() []row {
		at := func(ms int) []time.Duration { return []time.Duration{time.Duration(ms) * time.Millisecond} }
		return []row{
			{name: coldTag, requests: 3, rounds: 2}, {name: warmTag, requests: 2, rounds: 1, wall: at(10)},
			{name: warmDigest}, {name: warmMany, requests: 101, rounds: 4},
			{name: warmExported, rounds: 2, wall: at(20)}, {name: warmPlain, rounds: 2, wall: at(20)},
			{name: signOne, requests: 13}, {name: signAll, requests: 13}, {name: rotated(1), requests: 13}, {name: rotated(9), requests: 13},
			{name: syncUnchanged, requests: 2 * mirrors}, {name: syncRelease, requests: 16 * mirrors},
			{name: promoteAlone, requests: 50}, {name: orasAlone, requests: 20}, {name: promoteAll, requests: 160}, {name: orasAll, requests: 100},
			{name: savedFull(9), bytes: 50}, {name: savedSplit(9), bytes: 1},
			{name: processEmpty, wall: at(5)}, {name: processWarm, wall: at(40)},
		}
	}
	o := options{artifacts: 1000, rotations: []int{1, 9}, archived: 9, carnet: filepath.Join(t.TempDir(), "carnet")}
	require.Equal(t, []string{"binary: 0 bytes, want less than 25000000"}, missedTargets(o, good()), "there is none")
	require.NoError(t, os.WriteFile(o.carnet, nil, 0o600))
	require.NoError(t, os.Truncate(o.carnet, maxBinary-1))
	require.Empty(t, missedTargets(o, good()))
	require.NoError(t, os.Truncate(o.carnet, maxBinary))
	require.Len(t, missedTargets(o, good()), 1)
	require.NoError(t, os.Truncate(o.carnet, maxBinary-1))
	for name, spoil := range map[string]func(*row){
		coldTag:       func(r *row) { r.rounds = 3 },
		warmTag:       func(r *row) { r.requests = 3 },
		warmDigest:    func(r *row) { r.requests = 1 },
		warmMany:      func(r *row) { r.requests = 102 },
		warmExported:  func(r *row) { r.wall[0] = time.Millisecond },
		warmPlain:     func(r *row) { r.rounds = 1 },
		signOne:       func(r *row) { r.requests = 12 },
		syncUnchanged: func(r *row) { r.requests++ },
		syncRelease:   func(r *row) { r.requests++ },
		savedSplit(9): func(r *row) { r.bytes++ },
		rotated(9):    func(r *row) { r.requests = 14 },
		promoteAll:    func(r *row) { r.requests++ },
		promoteAlone:  func(r *row) { r.requests-- },
		processEmpty:  func(r *row) { r.wall[0] = maxStart },
		processWarm:   func(r *row) { r.wall[0] = 46 * time.Millisecond },
	} {
		rows := good()
		for i := range rows {
			if rows[i].name == name {
				spoil(&rows[i])
			}
		}
		require.Len(t, missedTargets(o, rows), 1, name)
	}
}

// Where oras cannot be had, the table says so.
func TestTableSaysThatOrasWasNotThere(t *testing.T) {
	require.Contains(t, orasVersion(""), "oras was not there")
	require.Equal(t, "oras 1.3.6.", orasVersion(fakeOras(t, "Version:    1.3.6")))
	require.Contains(t, orasVersion(fakeOras(t, "")), "its version")
	require.Contains(t, orasVersion(t.TempDir()), "oras: ")
}

// fakeOras makes a program that prints a line.
func fakeOras(t *testing.T, line string) string {
	path := filepath.Join(t.TempDir(), "oras")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho '"+line+"'\n"), 0o700))
	return path
}

func TestFailuresEndTheRunAndAreCleanedUp(t *testing.T) {
	var dir string
	ended := false
	err := withTB(t.Context(), io.Discard, func(tb testing.TB) {
		dir = tb.TempDir()
		tb.Cleanup(func() { ended = true })
		inner := withTB(t.Context(), io.Discard, func(testing.TB) { tb.Fatalf("reason %d", 1) })
		t.Errorf("went on after Fatalf: %v", inner)
	})
	require.EqualError(t, err, "reason 1")
	require.True(t, ended)
	require.NoDirExists(t, dir)
}
