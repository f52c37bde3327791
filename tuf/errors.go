package tuf

import (
	"errors"
	"fmt"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// What an update can end with. Callers branch on these; the errors that wrap
// them say what was expected and what was found.
var (
	// ErrInvalid: a file breaks the format, or is not the file that signed
	// metadata describes (length, hash, type, version).
	ErrInvalid = metadata.ErrInvalid
	// ErrThreshold: too few signatures by the right keys ([ThresholdError]).
	ErrThreshold = errors.New("not signed by enough keys")
	// ErrRollback: somebody offers older metadata than was seen before
	// ([RollbackError]): an attack, or a mirror restored from a backup.
	ErrRollback = errors.New("rollback")
	// ErrExpired: the metadata was right once and is too old now
	// ([ExpiredError]): a freeze, or nobody refreshed.
	ErrExpired = errors.New("expired")
	// ErrUnreachable: no source could be asked. It is no verdict.
	ErrUnreachable = errors.New("no source could be reached")
)

// RollbackError is the evidence of a rollback.
type RollbackError struct {
	File    string // the file that went back, or whose entry did
	Listed  string // the role whose entry in File went back, or ""
	Trusted int64  // version seen before
	Offered int64  // version offered now; 0: no longer listed
}

func (e *RollbackError) Error() string {
	what := e.File
	if e.Listed != "" {
		what = fmt.Sprintf("%s lists %s", e.File, e.Listed)
	}
	if e.Offered == 0 {
		return fmt.Sprintf("rollback: %s no longer, which was at version %d", what, e.Trusted)
	}
	return fmt.Sprintf("rollback: %s at version %d, and version %d was seen before", what, e.Offered, e.Trusted)
}

// Is makes errors.Is(err, ErrRollback) true.
func (e *RollbackError) Is(target error) bool { return target == ErrRollback }

// ExpiredError says which file expired, and when.
type ExpiredError struct {
	Role    string
	Version int64
	Expires time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("%s version %d expired at %s: its publisher has to refresh it, or the registry holds newer metadata back",
		e.Role, e.Version, metadata.FormatTime(e.Expires))
}

// Is makes errors.Is(err, ErrExpired) true.
func (e *ExpiredError) Is(target error) bool { return target == ErrExpired }
