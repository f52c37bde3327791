package delegations

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// Match reports whether d is trusted with the target path: one of its
// patterns matches, or one of its prefixes begins the hexadecimal SHA-256 of
// the path (TUF 4.5). A pattern is compared part by part between slashes;
// '*', '?' and '[…]' never match a slash. A malformed pattern matches nothing.
func Match(d metadata.Delegation, target string) bool {
	if MatchAny(d.Paths, target) {
		return true
	}
	if len(d.HashPrefixes) == 0 {
		return false
	}
	sum := pathHash(target)
	for _, prefix := range d.HashPrefixes {
		if prefix != "" && strings.HasPrefix(sum, strings.ToLower(prefix)) {
			return true
		}
	}
	return false
}

// MatchAny reports whether one of the path patterns matches target.
func MatchAny(patterns []string, target string) bool {
	for _, p := range patterns {
		if matchPattern(p, target) {
			return true
		}
	}
	return false
}

// matchPattern matches part by part: path.Match alone lets a class hold a
// slash, "a[/]b".
func matchPattern(pattern, target string) bool {
	for {
		p, patternRest, more := strings.Cut(pattern, "/")
		t, targetRest, deeper := strings.Cut(target, "/")
		if ok, err := path.Match(p, t); !ok || err != nil || more != deeper {
			return false
		}
		if !more {
			return true
		}
		pattern, target = patternRest, targetRest
	}
}

// CheckPattern refuses a pattern that could never match a path.
func CheckPattern(pattern string) error {
	if pattern == "" || len(pattern) > metadata.MaxPath {
		return fmt.Errorf("%w: a pattern of %d bytes where 1 to %d are allowed", metadata.ErrPath, len(pattern), metadata.MaxPath)
	}
	for part := range strings.SplitSeq(pattern, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return fmt.Errorf("%w: pattern %q: %w", metadata.ErrPath, pattern, err)
		}
	}
	return nil
}

// Covers reports whether patterns match whatever pattern matches, for a
// writer who wants to know whether what he delegates can ever be used: a class
// and an escape are covered only by the same pattern or by a part that is '*'.
func Covers(patterns []string, pattern string) bool {
	if slices.Contains(patterns, pattern) {
		return true
	}
	// Whatever stands for a wildcard here no other pattern names: what matches
	// both none and several of them matches anything.
	none := strings.NewReplacer("*", "", "?", anything, "[", anything, `\`, anything)
	several := strings.NewReplacer("*", anything+anything, "?", anything, "[", anything, `\`, anything)
	return slices.ContainsFunc(patterns, func(p string) bool {
		return !strings.Contains(p, "[^") && matchPattern(p, none.Replace(pattern)) && matchPattern(p, several.Replace(pattern))
	})
}

const anything = "\x00"

func pathHash(target string) string {
	sum := sha256.Sum256([]byte(target))
	return hex.EncodeToString(sum[:])
}

// Bin returns the name of the hash bin that is trusted with target: the
// prefix, a dash, and the first BitLength bits of the path's SHA-256 in as
// many hexadecimal digits as the highest bin needs (TAP 15).
func Bin(s *metadata.SuccinctRoles, target string) string {
	sum := sha256.Sum256([]byte(target))
	high := uint64(sum[0])<<24 | uint64(sum[1])<<16 | uint64(sum[2])<<8 | uint64(sum[3])
	return binName(s, high>>(32-s.BitLength))
}

func binName(s *metadata.SuccinctRoles, n uint64) string {
	return fmt.Sprintf("%s-%0*x", s.NamePrefix, (s.BitLength+3)/4, n)
}

// IsBin reports whether name is one of the bins of s.
func IsBin(s *metadata.SuccinctRoles, name string) bool {
	digits, ok := strings.CutPrefix(name, s.NamePrefix+"-")
	if !ok || len(digits) != (s.BitLength+3)/4 {
		return false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return err == nil && n < 1<<s.BitLength && binName(s, n) == name
}
