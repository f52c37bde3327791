package main

import (
	"fmt"
	"sync"
)

// bar shows how far long work is, on a terminal only, and only if there is
// enough of it.
type bar struct {
	c     *command
	what  string
	total int
	shown bool
	open  bool // without a total

	mu sync.Mutex
	n  int // guarded by mu
}

// progress starts a bar over total steps. Step may be called by several
// goroutines.
func (c *command) progress(what string, total int) *bar {
	return &bar{c: c, what: what, total: total, shown: total > 1 && !c.flags.quiet && isTerminal(c.stderr)}
}

func (b *bar) step() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	switch {
	case b.shown && b.open:
		fmt.Fprintf(b.c.stderr, "\r%s %d", b.what, b.n)
	case b.shown:
		fmt.Fprintf(b.c.stderr, "\r%s %d of %d", b.what, b.n, b.total)
	}
}

// counter starts a bar whose total nobody knows.
func (c *command) counter(what string) *bar {
	b := c.progress(what, 2)
	b.open = true
	return b
}

// countdown starts a bar whose total is known later.
func (c *command) countdown(what string) *bar { return c.progress(what, 2) }

// at says that done of so many steps are done.
func (b *bar) at(done, of int) {
	b.mu.Lock()
	b.n, b.total = done-1, of
	b.mu.Unlock()
	b.step()
}

// done takes the bar away.
func (b *bar) done() {
	if b.shown {
		fmt.Fprint(b.c.stderr, "\r\x1b[K")
	}
}
