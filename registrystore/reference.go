package registrystore

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// ErrReference is wrapped by every error about how a reference is written.
var ErrReference = errors.New("invalid reference")

// layoutScheme begins a reference to an image layout.
const layoutScheme = "oci:"

// Repository names a repository in a registry or an image layout.
type Repository struct {
	Host string // "registry.example:5000", or "" for a layout
	Dir  string // the layout's folder, or ""
	Name string // the artifact name in target paths
}

// Reference names an artifact: a repository with a tag, a digest, or both.
type Reference struct {
	Repository
	Tag    string
	Digest digest.Digest // "" or sha256:…
}

// IsLayout reports whether the repository is an image layout.
func (r Repository) IsLayout() bool { return r.Dir != "" }

func (r Repository) String() string {
	if r.IsLayout() {
		return layoutScheme + r.Dir
	}
	return r.Host + "/" + r.Name
}

func (r Reference) String() string {
	s := r.Repository.String()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// Absolute is String with an image layout's folder as an absolute path, which
// means the same wherever it is read.
func (r Repository) Absolute() string {
	if !r.IsLayout() {
		return r.String()
	}
	abs, err := filepath.Abs(r.Dir)
	if err != nil {
		return r.String()
	}
	return layoutScheme + abs
}

// Scope is the reference as a policy's scopes match it: without tag and
// digest, an image layout as "oci:NAME".
func (r Repository) Scope() string {
	if r.IsLayout() {
		return layoutScheme + r.Name
	}
	return r.String()
}

// ParseRepository reads "host[:port]/path" or "oci:DIR". layoutRoot, if not
// "", is the folder below which a layout's path is its name; else the name is
// the folder's last element.
func ParseRepository(s, layoutRoot string) (Repository, error) {
	if dir, ok := strings.CutPrefix(s, layoutScheme); ok {
		return layoutRepository(dir, layoutRoot)
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		return Repository{}, fmt.Errorf("%w: %q: want HOST[:PORT]/PATH or oci:DIR: write it without %s://", ErrReference, s, scheme)
	}
	host, name, ok := strings.Cut(s, "/")
	if !ok || !isHost(host) {
		return Repository{}, fmt.Errorf("%w: %q: want HOST[:PORT]/PATH or oci:DIR; no registry is assumed: a host has a dot or a port, or is localhost", ErrReference, s)
	}
	if err := checkHost(host); err != nil {
		return Repository{}, fmt.Errorf("%w: %q: %w", ErrReference, s, err)
	}
	if err := metadata.CheckName(name); err != nil {
		return Repository{}, fmt.Errorf("%w: %q: %w", ErrReference, s, err)
	}
	return Repository{Host: host, Name: name}, nil
}

// isHost reports whether s can only be a registry: it has a dot or a port, or
// is localhost. "library/ubuntu" names no registry.
func isHost(s string) bool {
	if strings.ContainsAny(s, " @\\%?#") || s == "" {
		return false
	}
	return s == "localhost" || strings.ContainsAny(s, ".:")
}

// checkHost refuses spellings by which one registry has many names: a policy's
// scopes, credentials and pins go by the name. A port that is the scheme's own
// is another name all the same: only the connection knows the scheme.
func checkHost(host string) error {
	name := host
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		n, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != host[i+1:] {
			return fmt.Errorf("%q is no port: want a number from 1 to 65535", host[i+1:])
		}
		name = host[:i]
	}
	if slices.Contains(strings.Split(name, "."), "") {
		return fmt.Errorf("the host %q has an empty part: write it without a dot at its ends", name)
	}
	return nil
}

func layoutRepository(dir, root string) (Repository, error) {
	if dir == "" {
		return Repository{}, fmt.Errorf("%w: oci: without a folder", ErrReference)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Repository{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	name := filepath.Base(abs)
	if root != "" {
		if name, err = below(root, abs); err != nil {
			return Repository{}, err
		}
	}
	if err := metadata.CheckName(name); err != nil {
		return Repository{}, fmt.Errorf("%w: oci:%s: the folder's name is the artifact's name: %w", ErrReference, dir, err)
	}
	return Repository{Dir: dir, Name: name}, nil
}

func below(root, abs string) (string, error) {
	absRoot, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrReference, err)
	}
	rel, err := filepath.Rel(absRoot, abs)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return "", fmt.Errorf("%w: oci:%s is not below the layout root %s", ErrReference, abs, root)
	}
	return filepath.ToSlash(rel), nil
}

// ParseReference reads a reference to an artifact: a repository followed by
// ":TAG", "@sha256:…" or both.
func ParseReference(s, layoutRoot string) (Reference, error) {
	rest, d, err := cutDigest(s)
	if err != nil {
		return Reference{}, err
	}
	repo, tag := cutTag(rest)
	r := Reference{Tag: tag, Digest: d}
	if r.Repository, err = ParseRepository(repo, layoutRoot); err != nil {
		return r, err
	}
	if tag == "" && d == "" {
		return r, fmt.Errorf("%w: %q names no tag and no digest: write %s:TAG or %s@sha256:…", ErrReference, s, s, s)
	}
	if tag != "" {
		if err := metadata.CheckTag(tag); err != nil {
			return r, fmt.Errorf("%w: %q: %w", ErrReference, s, err)
		}
	}
	return r, nil
}

func cutDigest(s string) (string, digest.Digest, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 || strings.HasPrefix(s, layoutScheme) && !strings.HasPrefix(s[i:], "@sha") {
		return s, "", nil // a folder's name may have an @
	}
	rest, d := s[:i], s[i+1:]
	parsed, err := digest.Parse(d)
	if err != nil || parsed.Algorithm() != digest.SHA256 {
		return "", "", fmt.Errorf("%w: %q: want @sha256:<64 hexadecimal digits>", ErrReference, s)
	}
	return rest, parsed, nil
}

// cutTag splits what follows the last colon, unless that colon belongs to a
// port or to "oci:".
func cutTag(s string) (repo, tag string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[i:], "/") || s[:i+1] == layoutScheme {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// isLoopback reports whether host is this machine, which docker and Carnet
// speak plain HTTP with.
func isLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
