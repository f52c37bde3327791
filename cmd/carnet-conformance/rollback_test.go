package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

// withAndWithoutHashes runs a scenario for repositories that list lengths and
// hashes of metadata, and for those that do not.
func withAndWithoutHashes(t *testing.T, f func(t *testing.T, s *scenario)) {
	for name, hashes := range map[string]bool{"versions only": false, "hashes": true} {
		t.Run(name, func(t *testing.T) {
			s := newClient(t)
			s.repo.Hashes = hashes
			s.repo.PublishAll()
			f(t, s)
		})
	}
}

func TestTimestampRollback(t *testing.T) {
	withAndWithoutHashes(t, func(t *testing.T, s *scenario) {
		old := s.repo.Get("timestamp.json")
		s.repo.Publish("timestamp")
		s.refresh(0)
		s.repo.Put("timestamp.json", old)
		s.repo.Requests()
		s.refresh(1)
		s.requested("2.root.json", "timestamp.json")
		s.trusts(map[string]int64{"root": 1, "timestamp": 3, "snapshot": 2, "targets": 2})
	})
}

func TestTimestampOfTheSameVersionIsNotTaken(t *testing.T) {
	s := newClient(t)
	s.refresh(0)
	was := s.read(s.meta, "timestamp.json")
	s.repo.Signed["timestamp"]["meta"].(tufrepository.Object)["snapshot.json"].(tufrepository.Object)["version"] = 100
	s.repo.Republish("timestamp")
	s.repo.Requests()
	s.refresh(0)
	s.requested("2.root.json", "timestamp.json")
	require.Equal(t, was, s.read(s.meta, "timestamp.json"))
}

func TestSnapshotRollbackInTimestamp(t *testing.T) {
	withAndWithoutHashes(t, func(t *testing.T, s *scenario) {
		s.refresh(0)
		s.repo.SetVersion("snapshot", 1)
		s.repo.Republish("snapshot")
		s.repo.Publish("timestamp")
		s.repo.Requests()
		s.refresh(1)
		s.requested("2.root.json", "timestamp.json")
		s.trusts(map[string]int64{"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2})
	})
}

func TestTargetsRollbackInSnapshot(t *testing.T) {
	withAndWithoutHashes(t, func(t *testing.T, s *scenario) {
		s.refresh(0)
		s.repo.SetVersion("targets", 1)
		s.repo.Republish("targets")
		s.repo.Publish("snapshot", "timestamp")
		s.repo.Requests()
		s.refresh(1)
		s.requested("2.root.json", "timestamp.json", "3.snapshot.json")
		s.trusts(map[string]int64{"root": 1, "timestamp": 3, "snapshot": 2, "targets": 2})
	})
}

func TestRoleDroppedFromSnapshot(t *testing.T) {
	s := newClient(t)
	s.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "A", Paths: []string{"*"}})
	s.repo.PublishAll()
	s.refresh(0)
	delete(s.repo.Signed["snapshot"]["meta"].(tufrepository.Object), "A.json")
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(1)
	s.trusts(map[string]int64{"root": 1, "timestamp": 3, "snapshot": 2, "targets": 2})
}

func TestDelegatedRollbackInSnapshot(t *testing.T) {
	s := newClient(t)
	s.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "A", Paths: []string{"*"}})
	s.repo.PublishAll()
	s.repo.Publish("A", "snapshot", "timestamp")
	s.refresh(0)
	s.repo.SetVersion("A", 1)
	s.repo.Republish("A")
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(1)
}

func TestSnapshotOfAnotherVersionThanTimestampSays(t *testing.T) {
	s := newClient(t)
	s.repo.SetVersion("snapshot", 2)
	s.repo.Put("1.snapshot.json", s.repo.Sign("snapshot"))
	s.refresh(1)
	s.requested("2.root.json", "timestamp.json", "1.snapshot.json")
	s.trusts(map[string]int64{"root": 1, "timestamp": 1})
}

func TestTargetsOfAnotherVersionThanSnapshotSays(t *testing.T) {
	s := newClient(t)
	s.repo.SetVersion("targets", 2)
	s.repo.Put("1.targets.json", s.repo.Sign("targets"))
	s.refresh(1)
	s.trusts(map[string]int64{"root": 1, "timestamp": 1, "snapshot": 1})
}

func TestRootOfAnotherVersion(t *testing.T) {
	for _, c := range []struct {
		name    string
		version int
		code    int
	}{{"skips one", 4, 1}, {"goes back", 1, 1}, {"is the trusted one again", 2, 0}} {
		t.Run(c.name, func(t *testing.T) {
			s := newClient(t)
			s.repo.Publish("root")
			s.refresh(0)
			s.repo.SetVersion("root", c.version)
			s.repo.Put("3.root.json", s.repo.Sign("root"))
			s.refresh(c.code)
			s.stored("root.json", "2.root.json")
		})
	}
}

func TestFastForwardRecovery(t *testing.T) {
	for _, c := range []struct {
		leaps  string
		rotate []string
		again  []string
		want   map[string]int64
	}{
		{"timestamp", []string{"timestamp"}, []string{"timestamp"}, map[string]int64{"root": 2, "timestamp": 1, "snapshot": 2, "targets": 2}},
		{"snapshot", []string{"snapshot", "timestamp"}, []string{"snapshot", "timestamp"}, map[string]int64{"root": 2, "timestamp": 3, "snapshot": 1, "targets": 2}},
		{"targets", []string{"snapshot"}, []string{"targets", "snapshot", "timestamp"}, map[string]int64{"root": 2, "timestamp": 3, "snapshot": 3, "targets": 1}},
	} {
		t.Run(c.leaps, func(t *testing.T) {
			s := newClient(t)
			s.repo.SetVersion(c.leaps, 99998)
			s.repo.PublishAll()
			s.refresh(0)
			s.repo.SetVersion(c.leaps, 0)
			s.repo.Publish(c.again...)
			s.refresh(1) // the leap still locks out
			for _, role := range c.rotate {
				s.repo.SetKeys(role, 1, tufrepository.NewKey("new "+role))
			}
			for _, role := range c.again {
				s.repo.Republish(role)
			}
			s.repo.Publish("root")
			s.refresh(0)
			s.trusts(c.want)
		})
	}
}

func TestTimestampByRotatedKeysIsForgottenAtOnce(t *testing.T) {
	s := newClient(t)
	s.refresh(0)
	s.repo.SetKeys("timestamp", 1, tufrepository.NewKey("new"))
	s.repo.Publish("root")
	s.refresh(1)
	s.trusts(map[string]int64{"root": 2, "snapshot": 1, "targets": 1})
}

func TestExpiredFiles(t *testing.T) {
	for _, c := range []struct {
		role string
		want map[string]int64
	}{
		{"root", map[string]int64{"root": 2, "timestamp": 1, "snapshot": 1, "targets": 1}},
		{"timestamp", all},
		{"snapshot", map[string]int64{"root": 1, "timestamp": 2, "snapshot": 1, "targets": 1}},
		{"targets", map[string]int64{"root": 1, "timestamp": 2, "snapshot": 2, "targets": 1}},
	} {
		t.Run(c.role, func(t *testing.T) {
			s := newClient(t)
			s.refresh(0)
			s.repo.Expire(c.role, s.now) // not later than now is expired
			if c.role == "root" {
				s.repo.Publish("root")
			}
			s.repo.PublishAll()
			s.refresh(1)
			s.trusts(c.want)
		})
	}
}

func TestIntermediateRootMayBeExpired(t *testing.T) {
	s := newClient(t)
	s.repo.Expire("root", start.AddDate(0, 0, -1))
	s.repo.Publish("root")
	s.repo.Expire("root", start.AddDate(0, 0, 1))
	s.repo.Publish("root")
	s.refresh(0)
	s.stored("root.json", "3.root.json")
}

func TestFreeze(t *testing.T) {
	s := newClient(t)
	s.repo.Expire("timestamp", start.AddDate(0, 0, 7))
	s.repo.PublishAll()
	s.refresh(0)
	s.now = start.AddDate(0, 0, 18)
	s.refresh(1)
	t.Run("expired state still guards the update", func(t *testing.T) {
		s.repo.Expire("timestamp", start.AddDate(0, 0, 21))
		s.repo.PublishAll()
		s.refresh(0)
		s.trusts(map[string]int64{"root": 1, "timestamp": 3, "snapshot": 3, "targets": 3})
	})
	t.Run("everything but root by another clock", func(t *testing.T) {
		s.now = start.Add(-time.Hour)
		s.refresh(0)
	})
}
