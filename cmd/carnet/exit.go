package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
	"github.com/carnet-project/carnet/verify"
)

// The exit codes, which are part of the command's contract.
const (
	exitDone       = 0 // verified, done
	exitNotTrusted = 1 // the artifact is not trusted
	exitUsage      = 2 // wrong usage or configuration
	exitFailed     = 3 // could not be decided or done
)

// exitError carries the code that the command ends with.
type exitError struct {
	code int
	err  error // nil if all was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage makes err end the command with code 2.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// usageErrors are what libraries say when they were asked the wrong thing or
// are set up wrongly. Everything else that goes wrong is exit code 3.
var usageErrors = []error{
	registrystore.ErrReference, registrystore.ErrTagTaken,
	tuf.ErrUnknownName, tuf.ErrKeyExists, tuf.ErrPassphrase, tuf.ErrUnknownKey, tuf.ErrNoKey, tuf.ErrOtherKey,
	signers.ErrURI, signers.ErrAmbiguous, signers.ErrMaterial, signers.ErrNotCopied, signers.ErrPIN,
	tuf.ErrExists, tuf.ErrOutside, tuf.ErrShadowed, tuf.ErrAmbiguousRole, tuf.ErrUnknownRole, tuf.ErrWithdrawn, tuf.ErrImpossible, tuf.ErrNotKept,
	tuf.ErrProposal, tuf.ErrSignedOther, tuf.ErrNotShown, tuf.ErrOtherPublisher, tuf.ErrOtherRepository,
	revocation.ErrKeyUnused, revocation.ErrBelowThreshold, revocation.ErrNoWithdrawals, revocation.ErrNotWithdrawn,
	verify.ErrPolicy, verify.ErrUnknownPublisher, verify.ErrPinned, verify.ErrRoot,
	promotion.ErrNotPinned, promotion.ErrNoState, promotion.ErrSameName,
}

func (c *command) exitCode(err error) int {
	var exit *exitError
	var transport *registrystore.Error
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case !c.started: // cobra's own: flags, arguments, verbs
		return exitUsage
	case errors.As(err, &transport), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return exitFailed
	}
	for _, sentinel := range usageErrors {
		if errors.Is(err, sentinel) {
			return exitUsage
		}
	}
	return exitFailed
}

// explain says what a person can do about err.
func (c *command) explain(ctx context.Context, err error) string {
	switch {
	case errors.Is(err, promotion.ErrNotTrustedThere):
		return err.Error() + " (sign the new name with --trust and --role, or let the policy's rule for it strip a prefix or believe an origin)"
	case ctx.Err() != nil:
		return "interrupted: " + err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no end within --timeout %s: %v", c.flags.timeout, err)
	case errors.Is(err, tuf.ErrAmbiguousRole):
		return err.Error() + " (choose with --role)"
	case errors.Is(err, fs.ErrPermission):
		return err.Error() + " (check the owner and the mode of the file)"
	case isUnfinished(err):
		return err.Error() + " (run the command again: it sends only what is missing)"
	}
	return err.Error()
}

// isUnfinished reports whether one side of a copy failed, and not the question.
func isUnfinished(err error) bool {
	var side *promotion.SideError
	var transport *registrystore.Error
	return errors.As(err, &side) && errors.As(err, &transport)
}
