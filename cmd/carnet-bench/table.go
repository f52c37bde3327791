package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// printTable prints the rows as a table that Markdown shows and people can
// read as it is.
func printTable(w io.Writer, o options, rows []row) {
	head := []string{"", "requests", "rounds", "bytes"}
	for _, l := range o.latencies {
		head = append(head, fmt.Sprintf("ms +%d", l.Milliseconds()))
	}
	lines := [][]string{append(head, "CPU ms", "allocations", "KB")}
	for _, r := range rows {
		lines = append(lines, r.cells(len(o.latencies)))
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, c := range l {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for i, l := range lines {
		printLine(w, l, width)
		if i == 0 {
			rule := make([]string, len(width))
			for j, n := range width {
				rule[j] = strings.Repeat("-", n-1) + ":"
			}
			rule[0] = strings.Repeat("-", width[0])
			printLine(w, rule, width)
		}
	}
	fmt.Fprintf(w, "\n%d artifacts; medians of %d runs, of signing %d. +N: added latency of each request in ms.\nKB: allocated.\n",
		o.artifacts, o.runs, min(o.runs, signings))
	if size, ok := binarySize(o.carnet); ok {
		fmt.Fprintf(w, "Binary: %.1f MB.\n", float64(size)/1e6)
	}
	fmt.Fprintln(w, orasVersion(o.oras))
	fmt.Fprintln(w, machineName())
}

// machineName says what was measured on, and against what.
func machineName() string {
	out := fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(raw), "model name\t: "); ok {
			model, _, _ := strings.Cut(after, "\n")
			out += " (" + model + ")"
		}
	}
	out += ", " + runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "github.com/theupdateframework/go-tuf") {
				out += ", go-tuf " + m.Version
			}
		}
	}
	return out + "."
}

func printLine(w io.Writer, cells []string, width []int) {
	var b strings.Builder
	for i, c := range cells {
		pad := strings.Repeat(" ", width[i]-len([]rune(c)))
		if i == 0 {
			b.WriteString("| " + c + pad)
		} else {
			b.WriteString(" | " + pad + c)
		}
	}
	fmt.Fprintln(w, b.String()+" |")
}

func (r row) cells(latencies int) []string {
	out := []string{r.name, number(r.requests), number(r.rounds), number(r.bytes)}
	for i := range latencies {
		if i < len(r.wall) {
			out = append(out, milliseconds(r.wall[i]))
		} else {
			out = append(out, "–")
		}
	}
	allocated := r.allocated
	if allocated >= 0 {
		allocated /= 1000
	}
	return append(out, milliseconds(r.cpu), number(r.mallocs), number(allocated))
}

func number(n int64) string {
	if n < 0 {
		return "–"
	}
	return strconv.FormatInt(n, 10)
}

func milliseconds(d time.Duration) string {
	if d < 0 {
		return "–"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)
}

func binarySize(path string) (int64, bool) {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return 0, false
	}
	return info.Size(), true
}

// Targets of size and time.
const (
	maxStart  = 30 * time.Millisecond // `carnet version`
	maxOver   = 40 * time.Millisecond // `carnet verify` on a layout, over `carnet version`
	maxBinary = 25_000_000            // bytes, stripped
	maxSign   = 20                    // requests of a publication

	// leastSaving is how many times smaller a file with one new signature is
	// than the one with everything.
	leastSaving = 50
)

// missedTargets says which targets the rows miss.
func missedTargets(o options, rows []row) []string {
	t := targets{rows: rows}
	t.costs(warmTag, 2, 1)
	t.costs(warmDigest, 0, 0)
	n := int64(min(many, o.artifacts))
	t.costs(warmMany, n+1, t.row(warmMany).rounds) // rounds: as the number of connections allows
	t.want(t.row(coldTag).rounds <= 2, "%s: %d rounds, want at most 2", coldTag, t.row(coldTag).rounds)
	for _, other := range []string{warmExported, warmPlain} {
		t.beats(warmTag, other)
	}
	one, all := t.row(signOne), t.row(signAll)
	t.want(one.requests == all.requests && one.requests <= maxSign,
		"%s: %d requests, %s: %d, want the same number and at most %d", signOne, one.requests, signAll, all.requests, maxSign)
	for _, n := range o.rotations {
		first, r := t.row(rotated(o.rotations[0])), t.row(rotated(n))
		t.want(r.requests == first.requests && r.requests <= maxSign, "%s: %d requests, %s: %d, want the same number and at most %d",
			first.name, first.requests, r.name, r.requests, maxSign)
	}
	same, release := t.row(syncUnchanged), t.row(syncRelease)
	t.want(same.requests == 2*mirrors, "%s: %d requests, want %d", same.name, same.requests, 2*mirrors)
	t.want(release.requests <= 16*mirrors, "%s: %d requests, want at most %d", release.name, release.requests, 16*mirrors)
	t.promotes()
	full, split := t.row(savedFull(o.archived)), t.row(savedSplit(o.archived))
	t.want(split.bytes <= full.bytes/leastSaving, "%s: %d bytes, want at most a %dth of %d", split.name, split.bytes, leastSaving, full.bytes)
	if o.carnet != "" {
		empty, warm := t.row(processEmpty).wall[0], t.row(processWarm).wall[0]
		t.want(empty < maxStart, "%s: %s, want less than %s", processEmpty, empty, maxStart)
		t.want(warm-empty <= maxOver, "%s: %s over %s, want at most %s", processWarm, warm-empty, processEmpty, maxOver)
		size, ok := binarySize(o.carnet)
		t.want(ok && size < maxBinary, "binary: %d bytes, want less than %d", size, maxBinary)
	}
	return t.missed
}

type targets struct {
	rows   []row
	missed []string
}

func (t *targets) row(name string) row {
	return t.rows[slices.IndexFunc(t.rows, func(r row) bool { return r.name == name })]
}

func (t *targets) want(ok bool, format string, args ...any) {
	if !ok {
		t.missed = append(t.missed, fmt.Sprintf(format, args...))
	}
}

func (t *targets) costs(name string, requests, rounds int64) {
	r := t.row(name)
	t.want(r.requests == requests && r.rounds == rounds,
		"%s: %d requests in %d rounds, want %d in %d", name, r.requests, r.rounds, requests, rounds)
}

// beats wants fewer rounds, and less time at every latency.
func (t *targets) beats(name, other string) {
	a, b := t.row(name), t.row(other)
	t.want(a.rounds < b.rounds, "%s: %d rounds, %s: %d", name, a.rounds, other, b.rounds)
	for i := range a.wall {
		t.want(a.wall[i] < b.wall[i], "%s: %s, %s: %s", name, a.wall[i], other, b.wall[i])
	}
}
