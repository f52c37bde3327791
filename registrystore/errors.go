package registrystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// What a repository can answer other than what was asked for. None of them
// says anything about trust.
var (
	ErrNotFound     = errors.New("not found")
	ErrUnauthorized = errors.New("not authorised")
	ErrReadOnly     = errors.New("writing is refused")
	ErrImmutable    = errors.New("the tag cannot be moved")
	ErrRateLimited  = errors.New("rate limited")
	ErrTooLarge     = errors.New("too large")
	ErrCorrupt      = errors.New("content is not what its descriptor says")
	ErrLocked       = errors.New("locked by another process")
)

// Error says which repository failed to do what, why, and what to do.
type Error struct {
	Repository string
	Op         string // "read tag 1.0", "push blob sha256:…"
	Kind       error  // one of the errors above, or nil for a failure of the network
	Err        error
}

func (e *Error) Error() string {
	s := e.Repository + ": " + e.Op + ": "
	if e.Kind == nil {
		return s + e.Err.Error()
	}
	s += e.Kind.Error()
	if detail := e.Err.Error(); detail != e.Kind.Error() {
		s += ": " + detail
	}
	if hint := hints[e.Kind]; hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// Unwrap makes both the kind and the cause visible to errors.Is.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

var hints = map[error]string{
	ErrUnauthorized: "log in with docker login or oras login, or give --username and --password-stdin",
	ErrReadOnly:     "check that the account may push here",
	ErrImmutable:    "the repository forbids overwriting tags",
	ErrRateLimited:  "try again later or log in",
	ErrLocked:       "wait for the other process, or raise --timeout",
}

func (b *remoteBackend) wrap(op string, err error) error {
	return wrap(b.name, op, err)
}

func wrap(repo, op string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	return &Error{Repository: repo, Op: op, Kind: kind(err), Err: plain(err)}
}

func kind(err error) error {
	for _, k := range []error{ErrNotFound, ErrTooLarge, ErrCorrupt, ErrLocked, ErrImmutable, ErrReadOnly} {
		if errors.Is(err, k) {
			return k
		}
	}
	if errors.Is(err, errdef.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if errors.Is(err, fs.ErrPermission) {
		return ErrReadOnly
	}
	var resp *errcode.ErrorResponse
	if errors.As(err, &resp) {
		return statusKind(resp)
	}
	if strings.Contains(err.Error(), "basic credential not found") || strings.Contains(err.Error(), "credential required") {
		return ErrUnauthorized
	}
	return nil
}

func statusKind(r *errcode.ErrorResponse) error {
	switch r.StatusCode {
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return ErrUnauthorized
		}
		return ErrReadOnly
	case http.StatusMethodNotAllowed:
		return ErrReadOnly
	case http.StatusConflict, http.StatusPreconditionFailed:
		return ErrImmutable
	case http.StatusTooManyRequests:
		return ErrRateLimited
	case http.StatusRequestEntityTooLarge:
		return ErrTooLarge
	}
	for _, e := range r.Errors {
		if strings.Contains(strings.ToUpper(e.Code+" "+e.Message), "IMMUTABLE") {
			return ErrImmutable
		}
	}
	return nil
}

// plain turns a registry's error into one line without the URL's query, which
// may hold a token.
func plain(err error) error {
	var resp *errcode.ErrorResponse
	if !errors.As(err, &resp) {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no answer in time (raise --timeout): %w", context.DeadlineExceeded)
		}
		return err
	}
	text := fmt.Sprintf("HTTP %d", resp.StatusCode)
	if len(resp.Errors) > 0 {
		text += ": " + clip(resp.Errors[0].Error())
	}
	return &answered{text: text, cause: err}
}

// answered is an error that the registry itself gave, in short.
type answered struct {
	text  string
	cause error
}

func (a *answered) Error() string { return a.text }
func (a *answered) Unwrap() error { return a.cause }

func clip(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// refused reports whether the registry surely did not do what was asked: it
// answered, and the answer was no.
func refused(err error) bool {
	var resp *errcode.ErrorResponse
	return errors.As(err, &resp) && resp.StatusCode >= 400 && resp.StatusCode < 500
}
