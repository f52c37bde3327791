package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// How long files live is said by init, or is the default, for the first files
// and for those that are signed later.
func TestExpiries(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		args []string
		want map[string]time.Duration
	}{
		"by default": {nil, map[string]time.Duration{
			"root": 365 * day, "targets": 365 * day, "revocations": 365 * day, "releases": 365 * day, "snapshot": 7 * day, "timestamp": day,
		}},
		"as init said": {
			[]string{"--expiry", "root=30d", "--expiry", "targets=3h", "--expiry", "delegated=4h", "--expiry", "snapshot=2h", "--expiry", "timestamp=1h"},
			map[string]time.Duration{
				"root": 30 * day, "targets": 3 * time.Hour, "revocations": 4 * time.Hour, "releases": 4 * time.Hour, "snapshot": 2 * time.Hour, "timestamp": time.Hour,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			began := time.Now().Truncate(time.Second)
			m.must(append([]string{"init", "oci:" + filepath.Join(t.TempDir(), "trust"), "--publisher", "wabbit", "--no-passphrase"}, c.args...)...)
			m.must("key", "generate", "dev", "--no-passphrase")
			m.must("delegate", "add", "releases", "--path", "net-monitor", "--key", "dev")
			m.must("refresh")
			var status struct{ Roles []roleStatus }
			require.NoError(t, json.Unmarshal([]byte(m.must("status", "-o", "json")), &status))
			took := time.Since(began) + time.Second
			require.Len(t, status.Roles, len(c.want))
			for _, r := range status.Roles {
				require.WithinRange(t, r.Expires.Add(-c.want[r.Role]), began, began.Add(took), r.Role)
			}
		})
	}
}
