package registrystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
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
	ErrIncomplete   = errors.New("the registry lacks what the manifest lists")
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
	if detail := strings.TrimPrefix(strings.TrimPrefix(e.Err.Error(), e.Kind.Error()), ": "); detail != "" {
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

// isMalformed reports that a registry answered what no registry may answer:
// headers that contradict each other, the digest asked for, or the body.
// oras-go has no error value for it.
func isMalformed(err error) bool {
	var resp *errcode.ErrorResponse
	if err == nil || errors.As(err, &resp) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return slices.ContainsFunc([]string{"mismatch", "invalid response", "missing required header", "unknown response Content-Length", "failed to decode response", "failed to calculate digest"},
		func(s string) bool { return strings.Contains(err.Error(), s) })
}

func kind(err error) error {
	for _, k := range []error{ErrNotFound, ErrTooLarge, ErrCorrupt, ErrLayoutVersion, ErrLocked, ErrImmutable, ErrReadOnly, ErrOffline} {
		if errors.Is(err, k) {
			return k
		}
	}
	if errors.Is(err, errdef.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if errors.Is(err, errdef.ErrTooManyPages) {
		return ErrTooLarge
	}
	if errors.Is(err, fs.ErrPermission) {
		return ErrReadOnly
	}
	var resp *errcode.ErrorResponse
	if errors.As(err, &resp) {
		return statusKind(resp)
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return ErrUnauthorized
	}
	if isMalformed(err) {
		return ErrCorrupt
	}
	return nil
}

func statusKind(r *errcode.ErrorResponse) error {
	if saysImmutable(r) {
		return ErrImmutable
	}
	if slices.ContainsFunc(r.Errors, func(e errcode.Error) bool { return e.Code == errcode.ErrorCodeManifestBlobUnknown }) {
		return ErrIncomplete
	}
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
	return nil
}

// saysImmutable reports that a registry says so in words: there is no status
// of its own for it.
func saysImmutable(r *errcode.ErrorResponse) bool {
	return slices.ContainsFunc(r.Errors, func(e errcode.Error) bool {
		return strings.Contains(strings.ToUpper(e.Code+" "+e.Message), "IMMUTAB")
	})
}

// plain turns an error into one line that is safe to show: without the query
// and the user of a URL, which may hold a secret, and without bytes that a
// terminal obeys.
func plain(err error) error {
	text := err.Error()
	var resp *errcode.ErrorResponse
	switch {
	case errors.As(err, &resp):
		text = fmt.Sprintf("HTTP %d", resp.StatusCode)
		if resp.StatusCode == http.StatusBadRequest && len(resp.Errors) == 0 && resp.URL != nil && resp.URL.Scheme == "http" {
			text += ": this was plain HTTP and the registry may want TLS: give --ca-file FILE, or --insecure"
		}
		if len(resp.Errors) > 0 {
			text += ": " + resp.Errors[0].Error()
		}
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer in time (raise --timeout)"
	}
	return &answered{text: scrub(text), cause: err}
}

var (
	urlQuery = regexp.MustCompile(`\?[^\s"'<>]*=[^\s"'<>]*`)
	urlUser  = regexp.MustCompile(`://[^\s/@"]*@`)
)

func scrub(s string) string {
	s = urlUser.ReplaceAllString(urlQuery.ReplaceAllString(s, ""), "://")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return clip(s)
}

// answered is an error in other words.
type answered struct {
	text  string
	cause error
}

func (a *answered) Error() string { return a.text }
func (a *answered) Unwrap() error { return a.cause }

func clip(s string) string {
	if len(s) > 500 {
		return strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

// refused reports whether the registry surely did not do what was asked: it
// answered, and the answer was no.
func refused(err error) bool {
	var resp *errcode.ErrorResponse
	return errors.As(err, &resp) && resp.StatusCode >= 400 && resp.StatusCode < 500
}

// failing reports whether the registry answered that it cannot answer now:
// some do so for a while for a tag that moves.
func failing(err error) bool {
	var resp *errcode.ErrorResponse
	return errors.As(err, &resp) && resp.StatusCode >= 500
}
