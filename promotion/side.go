package promotion

import "errors"

// Side is one end of a copy.
type Side string

// The two ends.
const (
	Source      Side = "source"
	Destination Side = "destination"
)

// SideError says which end of a copy failed.
type SideError struct {
	Side Side
	Err  error
}

func (e *SideError) Error() string { return string(e.Side) + ": " + e.Err.Error() }

// Unwrap returns what went wrong there.
func (e *SideError) Unwrap() error { return e.Err }

// at says that err happened at side, unless it is said already.
func at(side Side, err error) error {
	var said *SideError
	if err == nil || errors.As(err, &said) {
		return err
	}
	return &SideError{side, err}
}
