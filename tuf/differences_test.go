package tuf_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

// difference is a repository that Carnet and go-tuf 2.4.2 judge differently,
// and why that is right.
type difference struct {
	name   string
	reason string
	play   func(d *duel)
	ours   error // nil: accepted
	theirs bool  // accepted
	finds  bool  // whether an accepting Carnet finds the target "file"
}

func (d *duel) delegation(name string) tufrepository.Object {
	d.repo.Delegate(start, "targets", tufrepository.Delegation{Name: name, Paths: []string{"*"}})
	roles := d.repo.Signed["targets"]["delegations"].(tufrepository.Object)["roles"].([]any)
	return roles[len(roles)-1].(tufrepository.Object)
}

var differences = []difference{
	{
		name: "a file that expires now", reason: "TUF 5.3.10, 5.4.4: the expiry must be later than the start of the update",
		play: func(d *duel) { d.repo.Expire("timestamp", start); d.repo.Publish("timestamp") },
		ours: tuf.ErrExpired, theirs: true,
	}, {
		name: "the trusted root again", reason: "TUF 5.3.5: an equal version is discarded, and the update goes on",
		play: func(d *duel) { d.repo.Put("2.root.json", d.repo.Get("1.root.json")) },
		ours: nil, theirs: false,
	}, {
		name: "versions that start again after a rotation of the snapshot key", reason: "TUF 5.3.11: timestamp is forgotten too",
		play: func(d *duel) {
			d.repo.SetVersion("timestamp", 100)
			d.repo.PublishAll()
			d.same("file", "before")
			d.repo.SetKeys("snapshot", 1, tufrepository.NewKey("new"))
			d.repo.Publish("root")
			d.repo.SetVersion("timestamp", 0)
			d.repo.PublishAll()
		},
		ours: nil, theirs: false,
	}, {
		name: "a key of an unknown type beside a good one", reason: "TUF 4.2.1: adopters may use any key type; a threshold of usable keys signed",
		play: func(d *duel) {
			d.repo.SetKeys("timestamp", 1, tufrepository.NewKey("good"), tufrepository.NewKey("x").With(tufrepository.Object{"keytype": "sphincs"}))
			d.repo.Publish("root", "timestamp")
		},
		ours: nil, theirs: false,
	}, {
		name: "a key ID without a key beside a good one", reason: "it verifies nothing; a threshold of the others signed",
		play: func(d *duel) {
			role := d.repo.Roles()["timestamp"].(tufrepository.Object)
			role["keyids"] = append(role["keyids"].([]any), strings.Repeat("0", 64))
			d.repo.Publish("root", "timestamp")
		},
		ours: nil, theirs: false,
	}, {
		name: "an RSA key of 1024 bits", reason: "TUF 4.2: at least 2048",
		play: func(d *duel) {
			d.repo.SetKeys("timestamp", 1, tufrepository.NewRSAKey(1024, 32))
			d.repo.Publish("root", "timestamp")
		},
		ours: tuf.ErrThreshold, theirs: true,
	}, {
		name: "a delegation that does not say whether it terminates", reason: "many repositories leave it out",
		play: func(d *duel) { delete(d.delegation("A"), "terminating"); d.repo.PublishAll() },
		ours: nil, theirs: false,
	}, {
		name: "a hash in capitals", reason: "TUF 4.4: a hexdigest; its case is not fixed",
		play: func(d *duel) {
			d.repo.Hashes = true
			d.repo.Publish("targets")
			hashes := d.repo.Signed["snapshot"]["meta"].(tufrepository.Object)["targets.json"].(tufrepository.Object)["hashes"].(tufrepository.Object)
			hashes["sha256"] = strings.ToUpper(hashes["sha256"].(string))
			d.repo.Publish("snapshot", "timestamp")
		},
		ours: nil, theirs: false,
	}, {
		name: "a large integer that nobody knows", reason: "TUF 4.1: unknown members are signed too, as they stand",
		play: func(d *duel) {
			d.repo.Signed["timestamp"]["serial"] = json.Number("9007199254740993")
			d.repo.Publish("timestamp")
		},
		ours: nil, theirs: false,
	}, {
		name: "prefixes of hashes", reason: "TUF 4.5: they are hexadecimal; go-tuf reads base64",
		play: func(d *duel) {
			d.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "A", Prefixes: []string{tufrepository.Sum("sha256", []byte("file"))[:4]}})
			d.repo.AddTarget("A", "file", []byte("x"))
			d.repo.PublishAll()
		},
		ours: nil, theirs: true, finds: true,
	}, {
		name: "one name twice in an object", reason: "two readers could see two files in one",
		play: func(d *duel) {
			d.repo.Publish("timestamp")
			raw := string(d.repo.Get("timestamp.json"))
			d.repo.Put("timestamp.json", []byte(strings.Replace(raw, `"version": 2`, `"version": 7, "version": 2`, 1)))
		},
		ours: tuf.ErrInvalid, theirs: true,
	}, {
		name: "a timestamp from the future", reason: "docs/spec.md, Freshness: its age would be a lie",
		play: func(d *duel) {
			d.repo.Signed["timestamp"]["carnet"] = tufrepository.Object{"issued": tufrepository.Time(start.AddDate(0, 0, 1))}
			d.repo.Publish("timestamp")
		},
		ours: tuf.ErrInvalid, theirs: true,
	}, {
		name: "an extension that needs a newer reader", reason: "docs/spec.md, Signed extensions: critical",
		play: func(d *duel) {
			d.repo.Signed["targets"]["carnet"] = tufrepository.Object{"critical": []any{"unheard-of"}}
			d.repo.PublishAll()
		},
		ours: tuf.ErrInvalid, theirs: true,
	}, {
		name: "another publisher's id", reason: "docs/spec.md, Signed extensions: the id never changes",
		play: func(d *duel) {
			for _, digit := range []string{"a", "b"} {
				d.repo.Signed["root"]["carnet"] = tufrepository.Object{"id": strings.Repeat(digit, 32)}
				d.repo.Publish("root")
			}
		},
		ours: tuf.ErrInvalid, theirs: true,
	}, {
		name: "a role that takes back that it gave itself up", reason: "TAP 20: its key may be a thief's",
		play: func(d *duel) {
			d.delegation("A")
			d.repo.Signed["A"]["carnet"] = tufrepository.Object{"revoked": true}
			d.repo.PublishAll()
			d.same("file", "before")
			delete(d.repo.Signed["A"], "carnet")
			d.repo.AddTarget("A", "file", []byte("x"))
			d.repo.PublishAll()
		},
		ours: tuf.ErrInvalid, theirs: true,
	}, {
		name: "a search through 100 roles", reason: "Carnet opens 256, go-tuf 32",
		play: func(d *duel) {
			for i := range 100 {
				d.delegation(fmt.Sprint(i))
			}
			d.repo.AddTarget("99", "file", []byte("x"))
			d.repo.PublishAll()
		},
		ours: nil, theirs: true, finds: true,
	}, {
		name: "a fraction of a second in a date", reason: "some repositories write it; it is cut off",
		play: func(d *duel) {
			d.repo.Signed["timestamp"]["expires"] = strings.Replace(tufrepository.Time(start.AddDate(0, 0, 9)), "Z", ".500Z", 1)
			d.repo.Publish("timestamp")
		},
		ours: nil, theirs: false,
	},
}

// What go-tuf and Carnet judge differently is known, and nothing else is: see
// TestSameVerdictsAsGoTUF.
func TestKnownDifferencesToGoTUF(t *testing.T) {
	for _, c := range differences {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			d := newDuel(t)
			c.play(d)
			ourHash, theirHash, ours, theirs := d.verdicts("file")
			require.ErrorIs(t, ours, c.ours)
			require.Equal(t, c.theirs, theirs == nil, "go-tuf: %v", theirs)
			require.Equal(t, c.finds, ourHash != "")
			if c.finds {
				require.Empty(t, theirHash)
			}
		})
	}
}
