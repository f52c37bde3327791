package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// stepLimit ends a step that hangs.
const stepLimit = time.Minute

// step is one line that a person types, and what is expected of it.
type step struct {
	title string
	line  string   // for sh, in the folder of the demo
	exit  int      // the exit code
	why   string   // the reason of a decision, for the summary; says holds it too
	says  []string // what its output must contain, be it on stdout or stderr
}

// outcome is what became of a step.
type outcome struct {
	step
	stdout, stderr string
	code           int // -1 if the step did not end by itself
	missing        []string
}

func (o *outcome) expected() bool { return o.code == o.exit && len(o.missing) == 0 }

// wanted says in short what was expected.
func (s step) wanted() string {
	if s.why != "" {
		return fmt.Sprintf("exit code %d, %s", s.exit, s.why)
	}
	return fmt.Sprintf("exit code %d", s.exit)
}

// found says what was found that differs.
func (o *outcome) found() string {
	out := fmt.Sprintf("exit code %d", o.code)
	for _, w := range o.missing {
		out += fmt.Sprintf(", nowhere %q", w)
	}
	return out
}

// stage plays steps one after the other: it prints each line as it is typed,
// runs exactly what it printed, prints what came out, and judges it.
type stage struct {
	dir      string   // where lines are run
	env      []string // of every line
	out      io.Writer
	setup    string // what the person who acts typed first
	outcomes []*outcome
	behind   *background
}

// scene begins a part of the story.
func (s *stage) scene(text string) { fmt.Fprintf(s.out, "\n=== %s\n", text) }

// as lets a person act from here on, after typing setup.
func (s *stage) as(person, setup string) {
	if s.setup == setup {
		return
	}
	s.setup = setup
	fmt.Fprintf(s.out, "\n--- %s\n$ %s\n", person, setup)
}

// play runs a step.
func (s *stage) play(ctx context.Context, st step) *outcome {
	s.announce(st)
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := s.shell(ctx, st.line)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return s.judge(st, cmd, err, stdout.String(), stderr.String())
}

func (s *stage) announce(st step) {
	fmt.Fprintf(s.out, "\n%d. %s\n$ %s\n", len(s.outcomes)+1, st.title, st.line)
}

// shell prepares a line, after what was typed before it.
func (s *stage) shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", s.setup+"\n"+line)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.WaitDelay = time.Second
	return cmd
}

func (s *stage) judge(st step, cmd *exec.Cmd, err error, stdout, stderr string) *outcome {
	o := &outcome{step: st, stdout: stdout, stderr: stderr, code: -1}
	if cmd.ProcessState != nil {
		o.code = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.code, o.stderr = -1, o.stderr+err.Error()+"\n"
	}
	for _, w := range st.says {
		if !strings.Contains(stdout, w) && !strings.Contains(stderr, w) {
			o.missing = append(o.missing, w)
		}
	}
	s.outcomes = append(s.outcomes, o)
	s.print(o)
	return o
}

func (s *stage) print(o *outcome) {
	quote(s.out, "  ", o.stdout)
	quote(s.out, "! ", o.stderr) // what stood on standard error
	if o.expected() {
		fmt.Fprintf(s.out, "  => as expected: %s\n", o.wanted())
		return
	}
	fmt.Fprintf(s.out, "  => SURPRISE: expected %s; found %s\n", o.wanted(), o.found())
}

func quote(w io.Writer, mark, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "%s%s\n", mark, strings.TrimRight(line, "\n"))
	}
}

// surprises counts the steps that did not end as expected.
func (s *stage) surprises() int {
	n := 0
	for _, o := range s.outcomes {
		if !o.expected() {
			n++
		}
	}
	return n
}

// summary prints a table of all steps.
func (s *stage) summary() {
	s.scene("Summary")
	fmt.Fprintln(s.out)
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tSTEP\tEXPECTED\tFOUND")
	for i, o := range s.outcomes {
		found := "as expected"
		if !o.expected() {
			found = "SURPRISE: " + o.found()
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", i+1, o.title, o.wanted(), found)
	}
	_ = t.Flush() // what it writes to is the stage's own, which lost lines before
	fmt.Fprintf(s.out, "\n%d steps, surprises: %d\n", len(s.outcomes), s.surprises())
}

// background is a line that runs while others are played.
type background struct {
	step
	cmd    *exec.Cmd
	output bytes.Buffer // read only after done
	done   chan error
}

// begin starts a line in the background. It is judged when it is ended.
func (s *stage) begin(st step) error {
	fmt.Fprintf(s.out, "\n   %s, from here on\n$ %s &\n", st.title, st.line)
	b := &background{step: st, done: make(chan error, 1)}
	b.cmd = s.shell(context.Background(), "exec "+st.line)
	b.cmd.Stdout, b.cmd.Stderr = &b.output, &b.output
	if err := b.cmd.Start(); err != nil {
		return err
	}
	s.behind = b
	go func() { b.done <- b.cmd.Wait() }()
	return nil
}

// end stops the line in the background, and judges it as a step.
func (s *stage) end(title string) {
	b := s.behind
	s.behind = nil
	s.announce(step{title: title, line: "kill $!"})
	err := b.stop()
	b.title = title
	s.judge(b.step, b.cmd, err, b.output.String(), "")
}

// close stops what still runs, unjudged.
func (s *stage) close() {
	if s.behind != nil {
		_ = s.behind.stop() // the story ended early, which was said
	}
}

func (b *background) stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // if it ended by itself its exit code tells
	select {
	case err := <-b.done:
		return err
	case <-time.After(stepLimit):
		return errors.Join(errors.New("did not end when it was asked to"), b.cmd.Process.Kill(), <-b.done)
	}
}
