//go:build pkcs11

package signers

import (
	"bytes"
	"fmt"
)

// maxPIN bounds a PIN, in bytes: a file with more is another file.
const maxPIN = 256

// readPIN reads the first line of a file.
func readPIN(path string) ([]byte, error) {
	raw, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("pin-source: %w", err)
	}
	pin, _, _ := bytes.Cut(raw, []byte("\n"))
	pin = bytes.TrimRight(pin, "\r")
	if len(pin) == 0 || len(pin) > maxPIN {
		return nil, fmt.Errorf("%w: pin-source: a first line of %d bytes: want 1 to %d", ErrPIN, len(pin), maxPIN)
	}
	return pin, nil
}
