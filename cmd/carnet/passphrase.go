package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

// passphraseEnv holds the passphrase of all private keys.
const passphraseEnv = "CARNET_PASSPHRASE"

var errNoPassphrase = errors.New("a passphrase is needed and there is no terminal to ask on: set " + passphraseEnv)

var errNoPIN = errors.New("a PIN is needed and there is no terminal to ask on: set " + signers.PINEnv + ", or give pin-source=file:PATH in the URI")

// passphrase returns the passphrase of a stored key.
func (c *command) passphrase(ctx context.Context, name string) ([]byte, error) {
	if p, ok := os.LookupEnv(passphraseEnv); ok {
		return []byte(p), nil
	}
	if p := c.typedFor(name); p != nil {
		return p, nil
	}
	return c.passphraseOf(ctx, "Passphrase of key "+name+": ")
}

// passphraseOf returns the passphrase of a private key, asking with text.
func (c *command) passphraseOf(ctx context.Context, text string) ([]byte, error) {
	if p, ok := os.LookupEnv(passphraseEnv); ok {
		return []byte(p), nil
	}
	p, err := c.prompt(ctx, text, errNoPassphrase)
	if err == nil {
		c.typed = append(c.typed, p)
	}
	return p, err
}

// pin returns the PIN of a token. It is not kept.
func (c *command) pin(ctx context.Context, token string) ([]byte, error) {
	return c.prompt(ctx, "PIN of "+token+": ", errNoPIN)
}

// typedFor returns the passphrase that was typed in this run and opens the
// stored key too, nil for none: few people have one for each key.
func (c *command) typedFor(name string) []byte {
	if len(c.typed) == 0 {
		return nil
	}
	raw, err := c.keystore.PrivatePEM(name)
	if err != nil {
		return nil
	}
	for _, p := range c.typed {
		if _, err := tuf.DecodePrivateKey(raw, func() ([]byte, error) { return p, nil }); err == nil {
			return p
		}
	}
	return nil
}

// newPassphrase asks twice for the passphrase of what is being made: one key,
// or the keys of a publisher.
func (c *command) newPassphrase(ctx context.Context, what string) ([]byte, error) {
	if p, ok := os.LookupEnv(passphraseEnv); ok {
		if p == "" {
			return nil, usagef("%s is empty: an empty passphrase protects nothing; give one, or --no-passphrase", passphraseEnv)
		}
		return []byte(p), nil
	}
	first, err := c.prompt(ctx, "New passphrase for "+what+": ", errNoPassphrase)
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, usagef("an empty passphrase protects nothing: give one, or --no-passphrase")
	}
	second, err := c.prompt(ctx, "Once more: ", errNoPassphrase)
	if err != nil {
		return nil, err
	}
	if string(first) != string(second) {
		return nil, usagef("the passphrases differ: nothing was stored")
	}
	c.typed = append(c.typed, first)
	return first, nil
}

// prompt reads a line from the terminal without echo. Without a terminal it
// fails with none, which says what else can be done.
func (c *command) prompt(ctx context.Context, text string, none error) ([]byte, error) {
	in, ok := c.stdin.(*os.File)
	if !ok || !isTerminal(in) {
		return nil, usage(none)
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
