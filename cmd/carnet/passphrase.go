package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// passphraseEnv holds the passphrase of all private keys.
const passphraseEnv = "CARNET_PASSPHRASE"

var errNoPassphrase = errors.New("a passphrase is needed and there is no terminal to ask on: set " + passphraseEnv)

// passphrase returns the passphrase of a stored key.
func (c *command) passphrase(ctx context.Context, name string) ([]byte, error) {
	if p, ok := os.LookupEnv(passphraseEnv); ok {
		return []byte(p), nil
	}
	return c.prompt(ctx, "Passphrase of key "+name+": ")
}

// newPassphrase asks twice for the passphrase of a key that is being made.
func (c *command) newPassphrase(ctx context.Context, name string) ([]byte, error) {
	if p, ok := os.LookupEnv(passphraseEnv); ok {
		if p == "" {
			return nil, usagef("%s is empty: an empty passphrase protects nothing; give one, or --no-passphrase", passphraseEnv)
		}
		return []byte(p), nil
	}
	first, err := c.prompt(ctx, "New passphrase for key "+name+": ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, usagef("an empty passphrase protects nothing: give one, or --no-passphrase")
	}
	second, err := c.prompt(ctx, "Once more: ")
	if err == nil && string(first) != string(second) {
		err = usagef("the passphrases differ: nothing was stored")
	}
	return first, err
}

// prompt reads a line from the terminal without echo.
func (c *command) prompt(ctx context.Context, text string) ([]byte, error) {
	in, ok := c.stdin.(*os.File)
	if !ok || !isTerminal(in) {
		return nil, usage(errNoPassphrase)
	}
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(c.stderr, text)
	defer fmt.Fprintln(c.stderr)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		p, err := term.ReadPassword(fd)
		read <- line{p, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done(): // the reader stays blocked; the echo must come back
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
