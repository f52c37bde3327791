package signers

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// ErrURI says that something is no URI of a key.
var ErrURI = errors.New("no URI of a key")

// ErrAmbiguous says that a URI fits more than one key.
var ErrAmbiguous = errors.New("ambiguous URI")

// The kinds of URIs.
const (
	schemeFile   = "file"
	schemeEnv    = "env"
	schemePKCS11 = "pkcs11"
	pinValue     = "pin-value" // in a URI of PKCS#11
)

// IsURI reports whether s is a URI and not the name of a stored key, which
// has no colon.
func IsURI(s string) bool { return strings.Contains(s, ":") }

// split cuts a URI into its scheme and the rest.
func split(uri string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	switch {
	case !ok || rest == "":
	case scheme == schemeFile, scheme == schemeEnv, scheme == schemePKCS11:
		return scheme, rest, nil
	case isPluginName(scheme) && strings.HasPrefix(rest, "//") && len(rest) > 2:
		return scheme, rest, nil
	}
	return "", "", fmt.Errorf("%w: %.80q: want file:PATH, env:NAME, pkcs11:… or NAME://… of a program %sNAME", ErrURI, withoutSecrets(uri), pluginPrefix)
}

// Reference returns the URI by which a key can be found again later, from
// another folder too. It refuses one that holds a secret.
func Reference(uri string) (string, error) {
	scheme, rest, err := split(uri)
	if err != nil {
		return "", err
	}
	switch scheme {
	case schemeFile:
		path, err := filepath.Abs(rest)
		return schemeFile + ":" + path, err
	case schemePKCS11:
		t, err := parsePKCS11(uri)
		if err == nil && t.pinValue != nil {
			err = fmt.Errorf("%w: a PIN is not stored: leave pin-value out, and give pin-source=file:PATH or %s", ErrURI, PINEnv)
		}
		return uri, err
	}
	return uri, nil
}

// withoutSecrets cuts a URI off where a PIN may follow, also where a PIN must
// not stand.
func withoutSecrets(uri string) string {
	if i := strings.Index(uri, pinValue); i >= 0 {
		return uri[:i] + "…"
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	if !strings.EqualFold(scheme, schemePKCS11) {
		return uri
	}
	for i := range len(rest) { // in other letters, or encoded
		name, _, ok := strings.Cut(rest[i:], "=")
		if name, err := url.PathUnescape(name); ok && err == nil && strings.EqualFold(name, pinValue) {
			return scheme + ":" + rest[:i] + "…"
		}
	}
	return uri
}
