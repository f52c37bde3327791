// Command carnet signs, verifies and withdraws OCI artifacts through TUF
// metadata that is kept in the registry.
//
// Its answer, and nothing else, is written to standard output; what it says on
// the way goes to standard error. It exits with 0 if it is done or the
// artifact is verified, with 1 if the artifact is not trusted, with 2 for wrong
// usage or configuration, and with 3 for what could not be decided or done.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work in order; the second ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newCommand(stdin, stdout, stderr).run(ctx, args)
}

func (c *command) run(ctx context.Context, args []string) int {
	defer c.close()
	root := c.tree()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		fmt.Fprintln(c.stderr, "carnet:", printable(c.explain(ctx, err)))
	}
	return c.exitCode(err)
}
