package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

// all are the trusted versions after a full update of a new repository.
var all = map[string]int64{"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}

func TestInitAsksNobody(t *testing.T) {
	s := newClient(t)
	s.requested()
	s.stored("root.json", "1.root.json")
	s.trusts(map[string]int64{"root": 1})
}

func TestInitialRootMustBeValid(t *testing.T) {
	for name, spoil := range map[string]func(string) string{
		"malformed": func(raw string) string { return strings.Replace(raw, `"version"`, `"versiom"`, 1) },
		"unsigned":  func(raw string) string { return strings.Replace(raw, `"sig": "`, `"sig": "00`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario(t)
			raw := spoil(string(s.repo.Get("1.root.json")))
			require.NotEqual(t, raw, string(s.repo.Get("1.root.json")))
			require.NoError(t, os.WriteFile(filepath.Join(s.meta, "root.json"), []byte(raw), 0o644))
			s.repo.Put("1.root.json", []byte(raw))
			s.refresh(1)
			s.requested()
			s.init(1)
		})
	}
}

func TestRefresh(t *testing.T) {
	s := newClient(t)
	s.refresh(0)
	s.requested("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	s.trusts(all)
	for _, role := range []string{"snapshot", "targets"} {
		s.stored(role+".json", "1."+role+".json")
	}
	s.stored("timestamp.json", "timestamp.json")
	t.Run("unchanged", func(t *testing.T) {
		s.refresh(0)
		s.requested("2.root.json", "timestamp.json")
		s.trusts(all)
	})
	t.Run("new timestamp alone", func(t *testing.T) {
		s.repo.Publish("timestamp")
		s.refresh(0)
		s.requested("2.root.json", "timestamp.json")
	})
	t.Run("new snapshot alone", func(t *testing.T) {
		s.repo.Publish("snapshot", "timestamp")
		s.refresh(0)
		s.requested("2.root.json", "timestamp.json", "2.snapshot.json")
	})
	t.Run("targets not in snapshot", func(t *testing.T) {
		s.repo.Publish("targets")
		s.refresh(0)
		s.requested("2.root.json", "timestamp.json")
		s.trusts(map[string]int64{"root": 1, "timestamp": 3, "snapshot": 2, "targets": 1})
	})
}

func TestBaseURLWithoutSlash(t *testing.T) {
	s := newClient(t)
	s.run(0, "--metadata-url", s.url+"/metadata", "--metadata-dir", s.meta, "refresh")
	s.requested("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
}

func TestRootIsMissingWhere403(t *testing.T) {
	s := newClient(t)
	s.repo.Answer("2.root.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	s.refresh(0)
}

func TestServerErrorIsNoEndOfTheRoots(t *testing.T) {
	s := newClient(t)
	s.repo.Answer("2.root.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.refresh(1)
	s.requested("2.root.json")
}

// endless sends data for ever, or a gigabyte, and counts.
type endless struct{ sent atomic.Int64 }

func (e *endless) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	chunk := []byte(strings.Repeat(" ", 64<<10))
	for req.Context().Err() == nil && e.sent.Load() < 1<<30 {
		n, err := w.Write(chunk)
		if e.sent.Add(int64(n)); err != nil {
			return
		}
	}
}

func TestEndlessData(t *testing.T) {
	for _, name := range []string{"2.root.json", "timestamp.json", "1.snapshot.json"} {
		t.Run(name, func(t *testing.T) {
			s, e := newClient(t), &endless{}
			s.repo.Answer(name, e.ServeHTTP)
			s.refresh(1)
			require.Less(t, e.sent.Load(), int64(64<<20))
		})
	}
	t.Run("target", func(t *testing.T) {
		s, e := newClient(t), &endless{}
		s.repo.AddTarget("targets", "file", []byte("x"))
		s.repo.PublishAll()
		s.repo.AnswerTarget(tufrepository.Sum("sha256", []byte("x"))+".file", e.ServeHTTP)
		s.download(1, "file")
		s.downloaded()
		require.Less(t, e.sent.Load(), int64(64<<20))
	})
}

func TestUnsignedMetadata(t *testing.T) {
	for _, c := range []struct {
		role  string
		trust map[string]int64
	}{
		{"root", map[string]int64{"root": 1}},
		{"timestamp", map[string]int64{"root": 1}},
		{"snapshot", map[string]int64{"root": 1, "timestamp": 2}},
		{"targets", map[string]int64{"root": 1, "timestamp": 2, "snapshot": 2}},
	} {
		t.Run(c.role, func(t *testing.T) {
			s := newClient(t)
			s.repo.Signers[c.role] = []*tufrepository.Key{tufrepository.NewKey("nobody's")}
			if c.role == "root" {
				s.repo.Publish("root")
			}
			s.repo.PublishAll()
			s.refresh(1)
			s.trusts(c.trust)
		})
	}
}

func TestUnknownMembersAreSigned(t *testing.T) {
	s := newClient(t)
	s.repo.Signed["root"]["custom-field"] = "<value>\u00e9"
	s.repo.Roles()["root"].(tufrepository.Object)["another-field"] = []any{1, true, nil}
	for _, key := range s.repo.Signed["root"]["keys"].(tufrepository.Object) {
		key.(tufrepository.Object)["extra-field"] = tufrepository.Object{"a": 1, "b": 2}
		key.(tufrepository.Object)["keyid_hash_algorithms"] = "md5"
	}
	s.repo.Publish("root")
	s.refresh(0)
	s.stored("root.json", "2.root.json")
}

func TestConsistentSnapshotOff(t *testing.T) {
	s := newClient(t)
	s.repo.Signed["root"]["consistent_snapshot"] = false
	s.repo.AddTarget("targets", "dir/file.txt", []byte("content"))
	s.repo.Publish("root", "targets", "snapshot", "timestamp")
	s.download(0, "dir/file.txt")
	s.requested("2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json", "targets/dir/file.txt")
	s.downloaded("content")
	delete(s.repo.Signed["root"], "consistent_snapshot")
	s.repo.Publish("root", "targets", "snapshot", "timestamp")
	s.refresh(0)
	s.requested("3.root.json", "4.root.json", "timestamp.json", "snapshot.json", "targets.json")
}

func TestMetadataHashes(t *testing.T) {
	s := newClient(t)
	s.repo.Hashes = true
	s.repo.Publish("targets", "snapshot", "timestamp")
	s.refresh(0)
	s.repo.Publish("targets")
	s.repo.Signed["snapshot"]["meta"].(tufrepository.Object)["targets.json"].(tufrepository.Object)["hashes"] = tufrepository.Object{"sha256": strings.Repeat("ab", 32)}
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(1)
	s.trusts(map[string]int64{"root": 1, "timestamp": 3, "snapshot": 3, "targets": 2})
}

func TestWrongUse(t *testing.T) {
	s := newScenario(t)
	for _, args := range [][]string{
		nil, {"init"}, {"--metadata-dir", s.meta}, {"--metadata-dir", s.meta, "init"}, {"--metadata-dir", s.meta, "fly"},
		{"--unknown"}, {"--metadata-dir", s.meta, "init", filepath.Join(s.dir, "none")}, {"--metadata-dir", s.meta, "refresh"},
	} {
		s.run(1, args...)
	}
}
