package metadata_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// canonical returns the bytes to sign of whatever f holds.
func canonical(f *metadata.File) []byte {
	switch {
	case f.Root != nil:
		return f.Root.Canonical()
	case f.Timestamp != nil:
		return f.Timestamp.Canonical()
	case f.Snapshot != nil:
		return f.Snapshot.Canonical()
	}
	return f.Targets.Canonical()
}

// Every object of every file gets a member that nobody knows: all of them
// must be there when the file is written again.
func TestUnknownMembersSurvive(t *testing.T) {
	const unknown = `{"zz-unknown":{"list":[1,"x",null,true],"n":123456789012345678901234567890}`
	for name, c := range valid {
		t.Run(name, func(t *testing.T) {
			full := strings.ReplaceAll(c.signed, `"24h"`, `"24h0m0s"`)
			for at := range full {
				if full[at] != '{' || !takesMembers(full[:at]) {
					continue
				}
				signed := full[:at] + unknown + "," + full[at+1:]
				f, err := metadata.Decode(c.role, unsigned(signed))
				require.NoError(t, err, signed)
				assert.Equal(t, strings.ReplaceAll(string(f.Signed), `"carnet":{"revoked":false},`, ``),
					string(canonical(f)), "unknown member at byte %d", at)
			}
		})
	}
}

// takesMembers reports whether the object that follows before has names that
// are members: objects that map names to things of one kind, such as keys or
// targets, hold nothing unknown.
func takesMembers(before string) bool {
	for _, m := range []string{`"keys":`, `"targets":`, `"meta":`, `"hashes":`, `"expiry":`, `"carnet":{"revoked"`} {
		if strings.HasSuffix(before, m) {
			return false
		}
	}
	return !strings.HasSuffix(before, `"_type":"targets","carnet":`)
}

func TestUnknownMembersOfTargetsExtensionSurvive(t *testing.T) {
	signed := strings.Replace(targetsJ, `"revoked":false`, `"critical":["revoked"],"later":1`, 1)
	f, err := metadata.Decode("targets", unsigned(signed))
	require.NoError(t, err)
	assert.Equal(t, signed, string(f.Targets.Canonical()))
}

func TestEmptyPathsStayPaths(t *testing.T) {
	signed := strings.Replace(targetsJ, `"paths":["*","*/*"]`, `"paths":[]`, 1)
	f, err := metadata.Decode("targets", unsigned(signed))
	require.NoError(t, err)
	assert.Contains(t, string(f.Targets.Canonical()), `"name":"revocations","paths":[]`)
}

func TestSharesMemoryWhereCanonical(t *testing.T) {
	raw := unsigned(timestampJ)
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	require.NoError(t, err)
	assert.Same(t, &raw[strings.Index(string(raw), `{"_type"`)], &f.Signed[0])
	assert.Equal(t, len(f.Signed), cap(f.Signed), "appending to it must not write into the file")
}
