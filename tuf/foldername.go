package tuf

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// rootName is what root's files are called, with and without consistent
// snapshots. Clients ask for the next one: no role's file may stand there.
var rootName = regexp.MustCompile(`(?i)^[0-9]+\.root$`)

// fileName is the name that a role's file gets in a folder. TUF clients ask a
// web server for the role's name percent-encoded, and web servers look for what
// that decodes to: the name as it is, a slash in it between folders. A name
// that cannot be one there is percent-encoded, see safeFileName.
func fileName(role string, version int64, consistent bool) string {
	if !consistent && rootName.MatchString(role) {
		return plainName(hashedName(role), version, consistent)
	}
	if name := plainName(role, version, consistent); isServed(name) {
		return name
	}
	return safeName(role, version, consistent)
}

// fileNames are the names under which a role's file may stand in a folder that
// somebody else wrote: as web servers look for it, or encoded.
func fileNames(role string, version int64, consistent bool) []string {
	var out []string
	for _, name := range []string{
		fileName(role, version, consistent), plainName(percentEncode(role), version, consistent), safeName(role, version, consistent),
	} {
		if !slices.Contains(out, name) && len(name) <= maxName {
			out = append(out, name)
		}
	}
	return out
}

func plainName(role string, version int64, consistent bool) string {
	if consistent {
		return versioned(version, role)
	}
	return role + ".json"
}

func safeName(role string, version int64, consistent bool) string {
	return plainName(safeFileName(role), version, consistent)
}

// maxName is how long, in bytes, one part of a file's name may be.
const maxName = 255

// isServed reports whether a web server finds a file of that name, and whether
// it can stand beside all others: no folder is called like a file.
func isServed(name string) bool {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		isFolder := i < len(parts)-1
		if p == "" || p[0] == '.' || len(p) > maxName || isFolder && strings.HasSuffix(p, ".json") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || r == unicode.ReplacementChar || unicode.IsControl(r) })
}
