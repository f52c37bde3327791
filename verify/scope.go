package verify

import (
	"fmt"
	"strings"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
)

// scope says which repositories a rule is about. The forms:
//
//   - everything, image layouts included
//     HOST/PATH         one repository
//     HOST/PATH/**      HOST/PATH and all below it; HOST/** is all of a registry
//     oci:NAME          image layouts of that name
//     oci:NAME/**       NAME and all below it
//     oci:**            all image layouts
//
// Of the scopes that match, the one with the longest literal prefix is the
// most specific, and one without a wildcard is more specific than all.
type scope struct {
	literal string // what stands before the wildcard; with a slash or colon at its end
	exact   bool   // no wildcard
}

const (
	scopeAll    = "*"
	scopeBelow  = "**"
	layoutScope = "oci:"
)

func parseScope(s string) (scope, error) {
	if s == scopeAll {
		return scope{}, nil
	}
	literal, isBelow := strings.CutSuffix(s, scopeBelow)
	if strings.ContainsAny(literal, "*?[ ") {
		return scope{}, fmt.Errorf("scope %q: a wildcard is \"*\" alone, or /** at the end", s)
	}
	if isBelow && literal == layoutScope {
		return scope{literal: literal}, nil
	}
	base, hasSlash := strings.CutSuffix(literal, "/")
	if isBelow != hasSlash {
		return scope{}, fmt.Errorf("scope %q: want HOST/PATH, HOST/PATH/**, oci:NAME or \"*\"", s)
	}
	if err := checkScope(base, isBelow); err != nil {
		return scope{}, fmt.Errorf("scope %q: %w", s, err)
	}
	return scope{literal: lowerHost(literal), exact: !isBelow}, nil
}

func checkScope(base string, isBelow bool) error {
	if name, ok := strings.CutPrefix(base, layoutScope); ok {
		return metadata.CheckName(name)
	}
	if isBelow && !strings.Contains(base, "/") {
		base += "/x" // a whole registry
	} else if !strings.Contains(base, "/") {
		return fmt.Errorf("it names no repository: for a whole registry write %s/**", base)
	}
	_, err := registrystore.ParseRepository(base, "")
	return err
}

// lowerHost writes a registry's name, which is DNS's, in lower case: by
// another spelling nobody gets around a rule.
func lowerHost(s string) string {
	host, path, ok := strings.Cut(s, "/")
	if !ok || strings.HasPrefix(s, layoutScope) {
		return s
	}
	return strings.ToLower(host) + "/" + path
}

// matches reports whether the scope covers a repository, given as
// [registrystore.Repository.Scope] writes it.
func (s scope) matches(repo string) bool {
	repo = lowerHost(repo)
	if s.exact {
		return repo == s.literal
	}
	return strings.HasPrefix(repo, s.literal) || repo+"/" == s.literal
}

// narrower reports whether s is more specific than other.
func (s scope) narrower(other scope) bool {
	a, b := strings.TrimSuffix(s.literal, "/"), strings.TrimSuffix(other.literal, "/")
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return s.exact && !other.exact
}

// path is the part of the literal prefix that belongs to the repository's path.
func (s scope) path() string {
	if name, ok := strings.CutPrefix(s.literal, layoutScope); ok {
		return name
	}
	_, path, _ := strings.Cut(s.literal, "/")
	return path
}

// String returns the scope in its normal form.
func (s scope) String() string {
	switch {
	case s.exact:
		return s.literal
	case s.literal == "":
		return scopeAll
	}
	return s.literal + scopeBelow
}
