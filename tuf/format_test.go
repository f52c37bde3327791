package tuf_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

// What is signed well and breaks the format is refused all the same.
func TestFormatIsHeld(t *testing.T) {
	type object = tufrepository.Object
	set := func(name string, value any) func(object) { return func(o object) { o[name] = value } }
	for _, c := range []struct {
		name   string
		role   string
		change func(signed object)
	}{
		{"spec_version of another major version", "timestamp", set("spec_version", "2.0.0")},
		{"no spec_version", "snapshot", func(o object) { delete(o, "spec_version") }},
		{"another type", "timestamp", set("_type", "snapshot")},
		{"a time zone", "targets", set("expires", "2027-01-01T00:00:00+01:00")},
		{"no expiry", "targets", func(o object) { delete(o, "expires") }},
		{"version as string", "targets", set("version", "3")},
		{"root without one of the four roles", "root", func(o object) { delete(o["roles"].(object), "snapshot") }},
		{"a threshold of 0", "root", func(o object) { o["roles"].(object)["snapshot"].(object)["threshold"] = 0 }},
		{"a key ID twice in a role", "root", func(o object) {
			role := o["roles"].(object)["snapshot"].(object)
			role["keyids"] = append(role["keyids"].([]any), role["keyids"].([]any)...)
		}},
		{"timestamp that lists no snapshot", "timestamp", set("meta", object{})},
		{"snapshot that lists no targets", "snapshot", set("meta", object{})},
		{"a file of version 0", "snapshot", func(o object) { o["meta"].(object)["targets.json"].(object)["version"] = 0 }},
		{"target without hashes", "targets", func(o object) { o["targets"].(object)["x"] = object{"length": 1, "hashes": object{}} }},
		{"target without length", "targets", func(o object) { o["targets"].(object)["x"] = object{"hashes": object{"sha256": "00"}} }},
		{"delegation with paths and prefixes", "targets", func(o object) {
			o["delegations"] = object{"keys": object{}, "roles": []any{object{
				"name": "A", "keyids": []any{}, "threshold": 1, "terminating": false, "paths": []any{"*"}, "path_hash_prefixes": []any{"00"},
			}}}
		}},
		{"delegation to a top-level role", "targets", func(o object) {
			o["delegations"] = object{"keys": object{}, "roles": []any{object{
				"name": "snapshot", "keyids": []any{}, "threshold": 1, "terminating": false, "paths": []any{"*"},
			}}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := tufrepository.New(start)
			c.change(repo.Signed[c.role])
			if c.name == "version as string" {
				repo.Put("1.targets.json", repo.Sign("targets"))
			} else {
				repo.Publish(c.role)
				for _, next := range map[string][]string{"targets": {"snapshot", "timestamp"}, "snapshot": {"timestamp"}}[c.role] {
					repo.Publish(next)
				}
			}
			f := follow(t, repo)
			f.fails(tuf.ErrInvalid, mirrorOf("m", repo))
			if c.role != "root" { // which was pinned
				require.NotContains(t, f.store, c.role)
			}
		})
	}
}
