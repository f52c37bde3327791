package tuf_test

import (
	"testing"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

// A new root that drops the key of a thief who left names in snapshot lets
// nobody take them out: who knows a snapshot of another writer's, made from the
// thief's, holds on to it (docs/spec.md, "Names in snapshot stay").
func TestNamesInSnapshotOutliveTheKeyThatLeftThem(t *testing.T) {
	for name, c := range map[string]struct {
		honest bool // another writer sealed them too
		want   error
	}{"carried on": {true, tuf.ErrRollback}, "by the thief alone": {false, nil}} {
		t.Run(name, func(t *testing.T) {
			repo := tufrepository.New(start)
			thief, honest := tufrepository.NewKey("thief"), tufrepository.NewKey("honest")
			sealedBy := func(k *tufrepository.Key) { repo.Signers["snapshot"] = []*tufrepository.Key{k} }
			repo.SetKeys("snapshot", 1, thief, honest)
			repo.Publish("root")
			sealedBy(thief)
			meta := repo.Signed["snapshot"]["meta"].(tufrepository.Object)
			meta["junk.json"] = tufrepository.Object{"version": 1}
			repo.PublishAll()
			f := follow(t, repo)
			f.ok(mirrorOf("m", repo))
			sealedBy(honest)
			if c.honest {
				repo.PublishAll()
				f.ok(mirrorOf("m", repo))
			}
			repo.SetKeys("snapshot", 1, honest)
			repo.Publish("root")
			sealedBy(honest)
			delete(meta, "junk.json")
			repo.PublishAll()
			if c.want != nil {
				f.fails(c.want, mirrorOf("m", repo))
				return
			}
			f.ok(mirrorOf("m", repo))
		})
	}
}
