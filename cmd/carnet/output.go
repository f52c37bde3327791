package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"golang.org/x/term"
)

// What goes where is decided here: an answer on standard output, all else on
// standard error, colour and prompts on a terminal only.

// answer writes the command's answer: v as one line of JSON, or what text
// writes.
func (c *command) answer(v any, text func(w io.Writer)) error {
	return c.answerLines(func(enc *json.Encoder) error { return enc.Encode(v) }, text)
}

// answerLines writes an answer that is many lines of JSON, or a text.
func (c *command) answerLines(lines func(*json.Encoder) error, text func(w io.Writer)) error {
	var b strings.Builder
	if c.flags.output == "json" {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := lines(enc); err != nil {
			return err
		}
		return c.print(escaped(b.String()))
	}
	text(&b)
	return c.print(b.String())
}

func (c *command) print(s string) error {
	if _, err := io.WriteString(c.stdout, s); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// say tells a person what was done, or is worth knowing.
func (c *command) say(format string, args ...any) {
	if !c.flags.quiet {
		fmt.Fprintln(c.stderr, "carnet: "+printable(fmt.Sprintf(format, args...)))
	}
}

// detail tells a person who asked for it (-v).
func (c *command) detail(format string, args ...any) {
	if c.flags.verbose {
		c.say(format, args...)
	}
}

// Colours of a verdict.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paint colours s if a person reads the answer on a terminal that wants it.
func (c *command) paint(color, s string) string {
	if c.flags.noColor || os.Getenv("NO_COLOR") != "" || !isTerminal(c.stdout) {
		return s
	}
	return color + s + plain
}

// printable takes control characters out of what registries and publishers
// wrote, line ends excepted: a terminal would obey them.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// escaped writes what a terminal would obey as JSON escapes it: encoding/json
// leaves C1 controls and marks of direction as they are. They can only stand
// in strings.
func escaped(json string) string {
	if strings.IndexFunc(json, obeyed) < 0 {
		return json
	}
	var b strings.Builder
	for _, r := range json {
		if !obeyed(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func obeyed(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// isTerminal reports whether f is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
