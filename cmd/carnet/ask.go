package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ask asks on the terminal for a yes, and takes everything else for a no.
// Where standard input is no terminal nobody is asked, and it says yes: such a
// caller says what it wants by the command.
func (c *command) ask(ctx context.Context, question string) (bool, error) {
	if !isTerminal(c.stdin) {
		return true, nil
	}
	fmt.Fprint(c.stderr, question+" [y/N] ")
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		s, err := bufio.NewReader(c.stdin).ReadString('\n')
		read <- line{s, err}
	}()
	select {
	case l := <-read:
		if l.err != nil && !errors.Is(l.err, io.EOF) {
			return false, l.err
		}
		answer := strings.ToLower(strings.TrimSpace(l.text))
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done(): // the reader stays blocked, and ends with the program
		return false, ctx.Err()
	}
}
