package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

func TestDownload(t *testing.T) {
	s := newClient(t)
	for _, target := range []string{"file.txt", "path/to/a/file.txt", "name with space:1.0@x", "..", "../up", ".hidden", "a?b#c"} {
		s.repo.AddTarget("targets", target, []byte(target))
	}
	s.repo.PublishAll()
	for target, url := range map[string]string{
		"file.txt":              "$.file.txt",
		"path/to/a/file.txt":    "path/to/a/$.file.txt",
		"name with space:1.0@x": "$.name%20with%20space:1.0@x",
		".hidden":               "$..hidden",
	} {
		s.download(0, target)
		requests := s.repo.Requests()
		hash := tufrepository.Sum("sha256", []byte(target))
		require.Equal(t, "targets/"+strings.Replace(url, "$", hash, 1), requests[len(requests)-1])
	}
	s.downloaded("file.txt", "path/to/a/file.txt", "name with space:1.0@x", ".hidden")
	for _, name := range s.files(s.got) {
		require.NotEqual(t, byte('.'), name[0], "no hidden file, no temporary one")
	}
	require.Len(t, s.files(s.dir), 4, "nothing beside the folders that were named")
}

func TestDownloadOfWhatIsThere(t *testing.T) {
	s := newClient(t)
	s.repo.AddTarget("targets", "file", []byte("one"))
	s.repo.PublishAll()
	s.download(0, "file")
	s.repo.Requests()
	s.download(0, "file")
	s.requested("2.root.json", "timestamp.json")
	t.Run("spoiled", func(t *testing.T) {
		require.NoError(t, os.WriteFile(filepath.Join(s.got, "file"), []byte("two"), 0o644))
		s.download(0, "file")
		s.downloaded("one")
	})
	t.Run("new version", func(t *testing.T) {
		s.repo.AddTarget("targets", "file", []byte("another"))
		s.repo.PublishAll()
		s.download(0, "file")
		s.downloaded("another")
	})
}

func TestDownloadOfAnotherFile(t *testing.T) {
	for name, served := range map[string]string{"other bytes": "bad", "longer": "good and more", "shorter": "go", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			s := newClient(t)
			s.repo.AddTarget("targets", "file", []byte("good"))
			s.repo.PublishAll()
			s.repo.PutTarget(tufrepository.Sum("sha256", []byte("good"))+".file", []byte(served))
			s.download(1, "file")
			s.downloaded()
			require.NoError(t, os.WriteFile(filepath.Join(s.got, "file"), []byte("old"), 0o644))
			s.download(1, "file")
			s.downloaded("old")
		})
	}
}

func TestDownloadHashAlgorithms(t *testing.T) {
	for _, algorithms := range [][]string{{"sha256"}, {"sha512"}, {"sha256", "sha512"}} {
		t.Run(strings.Join(algorithms, " and "), func(t *testing.T) {
			s := newClient(t)
			s.repo.AddTarget("targets", "file", []byte("good"), algorithms...)
			s.repo.PublishAll()
			s.download(0, "file")
			s.downloaded("good")
			for _, a := range algorithms { // each must match
				s.repo.AddTarget("targets", "file", []byte("else"), algorithms...)
				s.repo.Signed["targets"]["targets"].(tufrepository.Object)["file"].(tufrepository.Object)["hashes"].(tufrepository.Object)[a] =
					tufrepository.Sum(a, []byte("good"))
				s.repo.PutTarget(tufrepository.Sum(a, []byte("good"))+".file", []byte("else"))
				s.repo.PublishAll()
				require.NoError(t, os.RemoveAll(filepath.Join(s.got, "file")))
				s.download(1, "file")
				s.downloaded()
			}
		})
	}
	t.Run("unknown alone", func(t *testing.T) {
		s := newClient(t)
		s.repo.AddTarget("targets", "file", []byte("good"))
		s.repo.Signed["targets"]["targets"].(tufrepository.Object)["file"].(tufrepository.Object)["hashes"] = tufrepository.Object{"md5": "abcd"}
		s.repo.PutTarget("abcd.file", []byte("good"))
		s.repo.PublishAll()
		s.download(1, "file")
		s.downloaded()
	})
}

func TestDownloadOrder(t *testing.T) {
	s := newClient(t)
	s.repo.AddTarget("targets", "a", []byte("a"))
	s.repo.AddTarget("targets", "b", []byte("b"))
	s.repo.PublishAll()
	s.download(1, "b", "none", "a")
	s.requested("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "targets/"+tufrepository.Sum("sha256", []byte("b"))+".b")
	s.downloaded("b")
	s.download(0, "b", "a")
	s.requested("2.root.json", "timestamp.json", "targets/"+tufrepository.Sum("sha256", []byte("a"))+".a")
}

func TestDownloadRefreshesFirst(t *testing.T) {
	s := newClient(t)
	s.download(1, "nonexistent artifact")
	s.requested("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	s.trusts(all)
}

func TestWithdrawnFileIsNotDownloaded(t *testing.T) {
	s := newClient(t)
	digest := tufrepository.Sum("sha256", []byte("bad"))
	s.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "revocations", Paths: []string{"*"}})
	s.repo.Signed["targets"]["delegations"].(tufrepository.Object)["roles"].([]any)[0].(tufrepository.Object)["carnet"] = tufrepository.Object{"purpose": "withdrawal"}
	s.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "team", Paths: []string{"*"}})
	s.repo.AddTarget("team", "file", []byte("bad"))
	s.repo.PublishAll()
	s.download(0, "file")
	require.NoError(t, os.Remove(filepath.Join(s.got, "file")))
	s.repo.AddTarget("revocations", "withdrawn@sha256:"+digest, []byte("notice"))
	s.repo.PublishAll()
	s.download(1, "file")
	s.downloaded()
}

// edgeOf is a delegation for all paths unless it names some.
func edgeOf(parent, name string, paths ...string) func(*scenario) {
	if paths == nil {
		paths = []string{"*"}
	}
	return func(s *scenario) {
		s.repo.Delegate(start, parent, tufrepository.Delegation{Name: name, Paths: paths})
	}
}

func lastEdge(parent, name string) func(*scenario) {
	return func(s *scenario) {
		s.repo.Delegate(start, parent, tufrepository.Delegation{Name: name, Paths: []string{"*"}, Terminating: true})
	}
}

func TestSearchOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		edges   []func(*scenario)
		visited []string
	}{
		{"one", []func(*scenario){edgeOf("targets", "A")}, []string{"A"}},
		{"two", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B")}, []string{"A", "B"}},
		{"depth first", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), edgeOf("A", "C"), edgeOf("A", "D")}, []string{"A", "C", "D", "B"}},
		{"three levels", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), edgeOf("A", "C"), edgeOf("C", "D")}, []string{"A", "C", "D", "B"}},
		{"terminating ends the search", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), lastEdge("A", "C"), edgeOf("A", "D")}, []string{"A", "C"}},
		{"below terminating goes on", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), lastEdge("A", "C"), edgeOf("C", "D")}, []string{"A", "C", "D"}},
		{"other paths", []func(*scenario){edgeOf("targets", "A", "*.py"), edgeOf("targets", "B"), edgeOf("A", "C")}, []string{"B"}},
		{"other paths below", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), edgeOf("A", "C", "*.py")}, []string{"A", "B"}},
		{"cycle", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), edgeOf("B", "C"), edgeOf("C", "D"), edgeOf("D", "B")}, []string{"A", "B", "C", "D"}},
		{"two parents", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), edgeOf("B", "C"), edgeOf("A", "C")}, []string{"A", "C", "B"}},
		{"two parents, one for other paths", []func(*scenario){edgeOf("targets", "A"), edgeOf("targets", "B"), edgeOf("B", "C"), edgeOf("A", "C", "*.py")}, []string{"A", "B", "C"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newClient(t)
			for _, add := range c.edges {
				add(s)
			}
			s.repo.PublishAll()
			s.download(1, "missingpath")
			want := []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"}
			for _, role := range c.visited {
				want = append(want, "1."+role+".json")
			}
			s.requested(want...)
			s.download(1, "missingpath")
			s.requested("2.root.json", "timestamp.json")
		})
	}
}

func TestSearchTree(t *testing.T) {
	for target, visited := range map[string][]string{
		"targetfile": {}, "README.md": {"A"}, "releases/x/x_v1": {"B", "C"}, "releases/y/y_v1.zip": {"B", "D"}, "releases/z/z_v1.zip": {"B"},
		"releases/x/deep/er": {}, // a star does not match a slash
	} {
		t.Run(target, func(t *testing.T) {
			s := newClient(t)
			edgeOf("targets", "A", "*.doc", "*.md")(s)
			edgeOf("targets", "B", "releases/*/*")(s)
			edgeOf("B", "C", "releases/x/*")(s)
			edgeOf("B", "D", "releases/y/*.zip")(s)
			for role, paths := range map[string][]string{"targets": {"targetfile"}, "A": {"README.md"}, "C": {"releases/x/x_v1", "releases/x/deep/er"}, "D": {"releases/y/y_v1.zip", "releases/z/z_v1.zip"}} {
				for _, p := range paths {
					s.repo.AddTarget(role, p, []byte(p))
				}
			}
			s.repo.PublishAll()
			if target == "releases/z/z_v1.zip" || target == "releases/x/deep/er" { // listed by roles not trusted with it
				s.download(1, target)
				s.downloaded()
			} else {
				s.download(0, target)
				s.downloaded(target)
			}
			var roles []string
			for _, r := range s.repo.Requests()[4:] {
				if !strings.HasPrefix(r, "targets/") {
					roles = append(roles, strings.TrimSuffix(strings.TrimPrefix(r, "1."), ".json"))
				}
			}
			require.ElementsMatch(t, visited, roles)
		})
	}
}

func TestHashPrefixes(t *testing.T) {
	s := newClient(t)
	sum := tufrepository.Sum("sha256", []byte("file"))
	s.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "wrong", Prefixes: []string{"0" + sum[1:3], "f" + sum[1:3]}})
	s.repo.Delegate(start, "targets", tufrepository.Delegation{Name: "right", Prefixes: []string{sum[:2]}})
	s.repo.AddTarget("right", "file", []byte("x"))
	s.repo.PublishAll()
	s.download(0, "file")
	require.Equal(t, "1.right.json", s.repo.Requests()[4])
}

func TestSuccinctBins(t *testing.T) {
	s := newClient(t)
	var names []string
	for i := range 8 {
		names = append(names, "bin-"+strconv.FormatInt(int64(i), 16))
	}
	s.repo.DelegateBins(start, "targets", 3, "bin", names)
	first, err := strconv.ParseUint(tufrepository.Sum("sha256", []byte("file"))[:2], 16, 8)
	require.NoError(t, err)
	bin := names[first>>5]
	s.repo.AddTarget(bin, "file", []byte("x"))
	s.repo.PublishAll()
	s.download(0, "file")
	require.Equal(t, "1."+bin+".json", s.repo.Requests()[4])
	s.trusts(map[string]int64{"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2, bin: 1})
}

func TestUnusualRoleNames(t *testing.T) {
	for _, role := range []string{"?", "#", "/delegatedrole", "../delegatedrole", "..", ".", ".hidden", "ä ö", "a%2Fb", "A:B@C=D+E", strings.Repeat("ü", 128)} {
		t.Run(role, func(t *testing.T) {
			s := newClient(t)
			edgeOf("targets", role)(s)
			s.repo.PublishAll()
			s.download(1, "nonexistent target")
			require.Equal(t, "1."+tufrepository.Escape(role)+".json", s.repo.Requests()[4])
			require.Len(t, s.files(s.meta), 5)
			require.Len(t, s.files(s.dir), 4)
			s.download(1, "nonexistent target")
			s.requested("2.root.json", "timestamp.json") // found again under its name
		})
	}
}

func TestDelegatedRoleThatIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*scenario){
		"expired":      func(s *scenario) { s.repo.Expire("A", start); s.repo.PublishAll() },
		"unsigned":     func(s *scenario) { s.repo.Signers["A"] = nil; s.repo.PublishAll() },
		"by another's": func(s *scenario) { s.repo.Signers["A"] = s.repo.Signers["targets"]; s.repo.PublishAll() },
		"another version": func(s *scenario) {
			s.repo.PublishAll()
			s.repo.Publish("A")
			s.repo.Put("1.A.json", s.repo.Get("2.A.json"))
		},
		"missing": func(s *scenario) { s.repo.PublishAll(); s.repo.Remove("1.A.json") },
		"not in snapshot": func(s *scenario) {
			s.repo.Publish("A", "targets")
			delete(s.repo.Signed["snapshot"]["meta"].(tufrepository.Object), "A.json")
			s.repo.Publish("snapshot", "timestamp")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newClient(t)
			edgeOf("targets", "A")(s)
			s.repo.AddTarget("A", "file", []byte("x"))
			spoil(s)
			s.refresh(0)
			s.download(1, "file")
			s.downloaded()
			s.trusts(map[string]int64{"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2})
		})
	}
}

func TestDelegatedRoleExpiresInTheCache(t *testing.T) {
	s := newClient(t)
	edgeOf("targets", "A")(s)
	s.repo.AddTarget("A", "first", []byte("1"))
	s.repo.AddTarget("A", "second", []byte("2"))
	s.repo.Expire("A", start.AddDate(0, 0, 7))
	s.repo.PublishAll()
	s.download(0, "first")
	s.now = start.AddDate(0, 0, 18)
	s.download(1, "second")
	s.downloaded("1")
	s.repo.Expire("A", start.AddDate(0, 0, 21))
	s.repo.PublishAll()
	s.download(0, "second")
	s.downloaded("1", "2")
}
