// Command carnet-bench measures what verification costs and prints one
// table: Carnet next to go-tuf's own client, on one publisher of 1,000 signed
// artifacts, over loopback HTTP with added latency for each request, and the
// whole carnet process. All rows are measured in the run that prints them. It
// exits with 1 if a target is missed.
//
//	carnet-bench [-carnet bin/carnet [-oras bin/oras]] [-runs 30] [-artifacts 1000]
//
// The registry, CNCF Distribution 3, and the web server of TUF files run in
// this process; every client runs in a process of its own, so that CPU time
// and allocations are the client's alone. In it each run is made of new
// objects and new connections. Warm runs find caches and rollback state as an
// earlier process left them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"testing"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == clientArg {
		os.Exit(serveClient(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line chooses.
type options struct {
	carnet    string // the binary, "" leaves the rows of whole processes out
	oras      string // oras's binary, "" leaves the rows against it out
	runs      int
	artifacts int
	rotations []int // artifacts of the roles that are rotated
	images    int   // of the release that goes to mirrors
	archived  int   // artifacts that go over an air gap
	latencies []time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{images: 200, archived: 10_000, rotations: []int{1, 1_000, 100_000}, latencies: []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond}}
	flags := flag.NewFlagSet("carnet-bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.carnet, "carnet", "", "`file` of the binary whose whole runs are measured too")
	flags.StringVar(&o.oras, "oras", "", "`file` of oras's binary, against which that of -carnet promotes")
	flags.IntVar(&o.runs, "runs", 30, "`number` of runs that a median is taken of")
	flags.IntVar(&o.artifacts, "artifacts", 1000, "`number` of signed artifacts")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 || o.runs < 1 || o.artifacts < 1 {
		return 2
	}
	var rows []row
	err := withTB(ctx, stderr, func(t testing.TB) { rows = measure(t, o) })
	if err != nil {
		fmt.Fprintln(stderr, "carnet-bench:", err)
		return 3
	}
	printTable(stdout, o, rows)
	missed := missedTargets(o, rows)
	for _, m := range missed {
		fmt.Fprintln(stdout, "MISSED:", m)
	}
	if len(missed) > 0 {
		return 1
	}
	return 0
}

// measure measures every row.
func measure(t testing.TB, o options) []row {
	w := newWorld(t, o)
	rows := w.clients()
	rows = append(rows, w.signing()...)
	rows = append(rows, w.rotations()...)
	rows = append(rows, w.mirroring()...)
	rows = append(rows, w.archives()...)
	if o.carnet != "" {
		rows = append(rows, w.processes()...)
	}
	if o.carnet != "" && o.oras != "" {
		rows = append(rows, w.promoting()...)
	}
	return rows
}
