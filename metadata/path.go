package metadata

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ErrPath is wrapped by errors about names and target paths.
var ErrPath = errors.New("invalid target path")

// The grammar of OCI distribution-spec 1.1, "Pulling manifests".
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// withdrawnName is no repository's name in use: the path is reserved.
const withdrawnName = "withdrawn"

// CheckName refuses what is no artifact name: a repository's path of at most
// [MaxPathDepth] parts and 255 bytes. "withdrawn" is reserved.
func CheckName(name string) error {
	switch {
	case len(name) > 255 || !nameGrammar.MatchString(name):
		return fmt.Errorf("%w: %.300q is no repository name", ErrPath, name)
	case strings.Count(name, "/") >= MaxPathDepth:
		return fmt.Errorf("%w: %q has more than %d parts: patterns do not reach deeper", ErrPath, name, MaxPathDepth)
	case name == withdrawnName:
		return fmt.Errorf("%w: the name %q is reserved for withdrawals", ErrPath, name)
	}
	return nil
}

// CheckTag refuses what OCI does not allow as a tag.
func CheckTag(tag string) error {
	if !tagGrammar.MatchString(tag) {
		return fmt.Errorf("%w: %.200q is no tag", ErrPath, tag)
	}
	return nil
}

// TagPath returns the target path that binds tag: "net-monitor:1.0".
func TagPath(name, tag string) string { return name + ":" + tag }

// DigestPath returns the target path that vouches for a digest whatever its
// tag: "net-monitor@sha256:<hex>".
func DigestPath(name string, d digest.Digest) string { return name + "@" + d.String() }

// WithdrawnPath returns the path at which the withdrawal role lists d.
func WithdrawnPath(d digest.Digest) string { return withdrawnName + "@" + d.String() }

// WithdrawnDigest returns the digest that is withdrawn at path, or false for
// another path.
func WithdrawnDigest(path string) (digest.Digest, bool) {
	d, ok := strings.CutPrefix(path, withdrawnName+"@")
	if hex, isSHA := strings.CutPrefix(d, "sha256:"); !ok || !isSHA || !isHex(hex, 64) {
		return "", false
	}
	return digest.Digest(d), true
}

// Path is a target path taken apart; exactly one of Tag and Digest is set.
type Path struct {
	Name   string
	Tag    string
	Digest digest.Digest
}

// ParsePath takes apart a target path that names an artifact.
func ParsePath(path string) (Path, error) {
	if name, d, ok := strings.Cut(path, "@"); ok {
		if hex, isSHA := strings.CutPrefix(d, "sha256:"); !isSHA || !isHex(hex, 64) {
			return Path{}, fmt.Errorf("%w: %.300q: want NAME@sha256:<64 hexadecimal digits>", ErrPath, path)
		}
		return Path{Name: name, Digest: digest.Digest(d)}, CheckName(name)
	}
	name, tag, ok := strings.Cut(path, ":")
	if !ok {
		return Path{}, fmt.Errorf("%w: %.300q: want NAME:TAG or NAME@sha256:<hex>", ErrPath, path)
	}
	return Path{Name: name, Tag: tag}, errors.Join(CheckName(name), CheckTag(tag))
}

func (p Path) String() string {
	if p.Digest != "" {
		return DigestPath(p.Name, p.Digest)
	}
	return TagPath(p.Name, p.Tag)
}

// Patterns returns the path patterns that delegate an artifact's name, as
// `carnet delegate add --path` takes it: NAME covers its tags and digests;
// NAME/** covers NAME and every name below it to [MaxPathDepth] parts; **
// alone covers everything; what holds a '*' '?' '[' or ':' otherwise is a raw
// pattern of TUF and stays as it is.
func Patterns(name string) ([]string, error) {
	base, below := strings.CutSuffix(name, "/**")
	if name == "**" {
		return levels("", 0), nil
	}
	if strings.Contains(base, "**") || below && strings.ContainsAny(base, "*?[") {
		return nil, fmt.Errorf("%w: %q: \"**\" stands alone or after NAME/ only: in a pattern of TUF no wildcard crosses a slash", ErrPath, name)
	}
	if strings.ContainsAny(name, "*?[:@") && !below {
		return []string{name}, nil
	}
	if err := CheckName(base); err != nil {
		return nil, err
	}
	own := []string{base + ":*", base + "@*"}
	if !below {
		return own, nil
	}
	return append(own, levels(base+"/", strings.Count(base, "/")+1)...), nil
}

// levels returns prefix*, prefix*/*, … for names of more than have parts:
// TUF's '*' does not match a slash.
func levels(prefix string, have int) []string {
	var out []string
	for p := prefix + "*"; have < MaxPathDepth; have++ {
		out = append(out, p)
		p += "/*"
	}
	return out
}
