package metadata_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// agreeing returns the delegation of agreementJ that has an agreement.
func agreeing(t *testing.T) (*metadata.Targets, *metadata.Delegation) {
	t.Helper()
	f, err := metadata.Decode(metadata.RoleTargets, unsigned(agreementJ))
	require.NoError(t, err)
	return f.Targets, &f.Targets.Delegations.Roles[2]
}

// Whoever sets an agreement need not know that readers must: it is written so.
func TestAgreementIsWrittenAsCritical(t *testing.T) {
	file, d := agreeing(t)
	a := d.Agreement
	*d = metadata.Delegation{Name: d.Name, RoleKeys: d.RoleKeys, Paths: d.Paths}
	assert.NotContains(t, string(file.Canonical()), "critical")
	d.Agreement = a
	assert.Equal(t, agreementJ, string(file.Canonical()))

	file, d = agreeing(t)
	d.Agreement = nil
	assert.NotContains(t, string(file.Canonical()), "critical", "the word goes with what it is about")

	f, err := metadata.Decode(metadata.RoleTargets, unsigned(strings.Replace(agreementJ, `["agreement"]`, `["agreement","purpose"]`, 1)))
	require.NoError(t, err)
	assert.Contains(t, string(f.Targets.Canonical()), `"critical":["purpose","agreement"]`)
	f.Targets.Delegations.Roles[2].Agreement = nil
	assert.Contains(t, string(f.Targets.Canonical()), `"critical":["purpose"]`)
}

// The example of docs/spec.md is read as it stands there.
func TestAgreementOfTheSpecification(t *testing.T) {
	spec, err := os.ReadFile("../docs/spec.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(spec), "<!-- fragment: agreement -->\n```json\n")
	require.True(t, ok)
	roles, _, _ := strings.Cut(after, "```")
	at, end := strings.Index(agreementJ, `"roles":[{`)+len(`"roles":`), strings.Index(agreementJ, `},"expires"`)
	f, err := metadata.Decode(metadata.RoleTargets, unsigned(agreementJ[:at]+roles+agreementJ[end:]))
	require.NoError(t, err)
	assert.Equal(t, &metadata.Agreement{Roles: []string{"dev", "security"}, Min: 2}, f.Targets.Delegations.Roles[1].Agreement)
}

func TestAgreementIsPartOfWhatADelegationSays(t *testing.T) {
	_, d := agreeing(t)
	other := *d
	assert.True(t, d.Equal(other))
	other.Agreement = &metadata.Agreement{Roles: []string{"security", "dev"}, Min: 2}
	assert.False(t, d.Equal(other))
	assert.False(t, d.Agreement.Equal(other.Agreement))
	assert.False(t, d.Agreement.Equal(nil))
	assert.True(t, (*metadata.Agreement)(nil).Equal(nil))
}

func TestAgreementWithoutARole(t *testing.T) {
	three := metadata.Agreement{Roles: []string{"dev", "security", "qa"}, Min: 2}
	assert.Equal(t, []string{"dev", "qa"}, three.Without("security").Roles)
	assert.Equal(t, three.Roles, three.Without("other").Roles)
	assert.Len(t, three.Roles, 3, "it is not changed in place")
	assert.Nil(t, three.Without("dev").Without("qa"), "one is no agreement")
}
