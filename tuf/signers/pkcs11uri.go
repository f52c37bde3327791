package signers

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ModuleEnv names the environment variable with the path of the PKCS#11
// module, for URIs without module-path.
const ModuleEnv = "PKCS11_MODULE_PATH"

// The attributes of RFC 7512 that a search can hold to. All others are
// refused: who narrows a search must not get something wider.
var pkcs11Path = []string{"token", "serial", "manufacturer", "model", "object", "id", "slot-id", "type"}

// pkcs11URI is a URI by RFC 7512.
type pkcs11URI struct {
	path       map[string]string // decoded, by name
	slotID     *uint
	pinValue   *string // secret
	pinSource  string  // of a file
	modulePath string
}

// parsePKCS11 reads a URI by RFC 7512, section 2.3. Its errors hold no values.
func parsePKCS11(uri string) (pkcs11URI, error) {
	rest, ok := strings.CutPrefix(uri, schemePKCS11+":")
	if !ok {
		return pkcs11URI{}, fmt.Errorf("%w: want pkcs11:…", ErrURI)
	}
	path, query, _ := strings.Cut(rest, "?")
	t := pkcs11URI{path: map[string]string{}}
	if err := attributes(path, ";", t.path); err != nil {
		return t, err
	}
	for name := range t.path {
		if !slices.Contains(pkcs11Path, name) {
			return t, fmt.Errorf("%w: the attribute %.40q is not one of %s", ErrURI, name, strings.Join(pkcs11Path, ", "))
		}
	}
	if s, ok := t.path["slot-id"]; ok {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return t, fmt.Errorf("%w: slot-id is not a number", ErrURI)
		}
		slot := uint(n)
		t.slotID = &slot
	}
	if kind, ok := t.path["type"]; ok && kind != "private" && kind != "public" {
		return t, fmt.Errorf("%w: type: want private, or nothing", ErrURI)
	}
	if t.path["object"] == "" && t.path["id"] == "" {
		return t, fmt.Errorf("%w: which object? give object=LABEL or id=%%NN", ErrURI)
	}
	return t, t.query(query)
}

func (t *pkcs11URI) query(text string) error {
	q := map[string]string{}
	if err := attributes(text, "&", q); err != nil {
		return err
	}
	for name, value := range q {
		switch name {
		case "pin-value":
			t.pinValue = &value
		case "pin-source":
			t.pinSource = strings.TrimPrefix(strings.TrimPrefix(value, "file:"), "//")
			if strings.HasPrefix(value, "|") {
				return fmt.Errorf("%w: pin-source: want file:PATH, programs are not run", ErrURI)
			}
		case "module-path":
			t.modulePath = value
		default:
			return fmt.Errorf("%w: the attribute %.40q is not one of pin-value, pin-source, module-path", ErrURI, name)
		}
	}
	return nil
}

// attributes reads NAME=VALUE, VALUE percent-encoded, each name once.
func attributes(text, separator string, out map[string]string) error {
	if text == "" {
		return nil
	}
	for pair := range strings.SplitSeq(text, separator) {
		name, encoded, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return fmt.Errorf("%w: want NAME=VALUE between %q", ErrURI, separator)
		}
		if _, ok := out[name]; ok {
			return fmt.Errorf("%w: the attribute %.40q stands twice", ErrURI, name)
		}
		value, err := url.PathUnescape(encoded)
		if err != nil { // which would quote the value
			return fmt.Errorf("%w: the value of %.40q is not percent-encoded", ErrURI, name)
		}
		out[name] = value
	}
	return nil
}
