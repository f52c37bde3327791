package tuf_test

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	tufupdater "github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
)

// plain gives the newest state's files the names that every TUF client asks
// for.
func plain(t *testing.T, p *fixtures.Publisher) map[string][]byte {
	t.Helper()
	source := p.Source()
	require.NoError(t, source.Open(t.Context()))
	files := map[string][]byte{}
	for _, f := range source.Publication().Files() {
		raw, err := source.Journal().Fetch(t.Context(), f)
		require.NoError(t, err)
		name := strconv.FormatInt(f.Version, 10) + "." + url.PathEscape(f.Role) + ".json"
		if f.Role == metadata.RoleTimestamp {
			name = "timestamp.json"
		}
		files[name] = raw
	}
	return files
}

// gotuf is go-tuf's client after an update.
func gotuf(t *testing.T, o *oracle, p *fixtures.Publisher) *tufupdater.Updater {
	t.Helper()
	o.now = p.Now()
	up, err := o.refresh(plain(t, p))
	require.NoError(t, err)
	return up
}

// Other TUF clients find that a role which gave itself up lists nothing, and
// what the role says under its new name.
func TestOtherClientsObeyARoleThatGaveItselfUp(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "dev")
	_, err := p.Sign("apps", "app:1", "one")
	require.NoError(t, err)
	o := newOracle(t, p.Root)
	_, err = gotuf(t, o, p).GetTargetInfo("app:1")
	require.NoError(t, err)

	_, err = p.Publish(gives("apps"))
	require.NoError(t, err)
	_, err = gotuf(t, o, p).GetTargetInfo("app:1")
	require.ErrorContains(t, err, "not found")

	p.Delegate("apps-2", "app", "fresh")
	_, err = p.Sign("apps-2", "app:1", "one")
	require.NoError(t, err)
	_, err = gotuf(t, o, p).GetTargetInfo("app:1")
	require.NoError(t, err)
}
