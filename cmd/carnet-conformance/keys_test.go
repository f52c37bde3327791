package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

// signing is a version of a role: who may sign it, how many must, who did.
type signing struct {
	keys      []int
	threshold int
	signers   []int
}

func keysOf(numbers []int) []*tufrepository.Key {
	var out []*tufrepository.Key
	for _, n := range numbers {
		out = append(out, tufrepository.NewKey(strconv.Itoa(n)))
	}
	return out
}

func (s *scenario) sign(role string, v signing) {
	s.repo.SetKeys(role, v.threshold, keysOf(v.keys)...)
	s.repo.Signers[role] = keysOf(v.signers)
}

func TestRootRotation(t *testing.T) {
	five, six, ten := []int{0, 1, 2, 3, 4}, []int{0, 1, 3, 4, 5}, []int{5, 6, 7, 8, 9}
	for _, c := range []struct {
		name     string
		versions []signing
		good     int // how many versions are valid
	}{
		{"one key by another", []signing{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 1}}, {[]int{2}, 1, []int{2}}}, 3},
		{"foreign signatures beside", []signing{{[]int{1}, 1, []int{3, 1, 4}}, {[]int{2}, 1, []int{3, 2, 1, 4}}, {[]int{2}, 1, []int{3, 2, 4}}}, 3},
		{"any three of five", []signing{{five, 3, []int{0, 2, 4}}, {five, 3, []int{0, 4, 1}}, {five, 3, []int{0, 1, 3}}}, 3},
		{"one of five rotated", []signing{{five, 3, []int{0, 2, 4}}, {six, 3, []int{0, 4, 1}}}, 2},
		{"all of five rotated", []signing{{five, 3, []int{0, 2, 4}}, {ten, 3, []int{0, 2, 4, 5, 6, 7}}, {ten, 3, []int{5, 6, 7}}}, 3},
		{"threshold raised", []signing{{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{1, 2}}}, 2},
		{"threshold lowered", []signing{{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}, 3},
		{"not signed by the old key", []signing{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 3, 4}}}, 1},
		{"not signed by the new key", []signing{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{1, 3, 4}}}, 1},
		{"two of the new three", []signing{{five, 3, []int{0, 2, 4}}, {six, 3, []int{0, 2, 4}}}, 1},
		{"two of the old three", []signing{{five, 3, []int{0, 2, 4}}, {six, 3, []int{0, 4, 5}}}, 1},
		{"raised threshold not met", []signing{{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{2}}}, 1},
		{"old threshold not met when lowered", []signing{{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}, 1},
		{"what came before a forgery is kept", []signing{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{1, 2}}, {[]int{3}, 1, []int{3}}}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScenario(t)
			s.repo.SetVersion("root", 0)
			for _, v := range c.versions {
				s.sign("root", v)
				s.repo.Publish("root")
			}
			s.init(0)
			code := 0
			if c.good < len(c.versions) {
				code = 1
			}
			s.refresh(code)
			s.stored("root.json", strconv.Itoa(c.good)+".root.json")
		})
	}
}

func TestKeyRotationOfEveryRole(t *testing.T) {
	five, six := []int{0, 1, 2, 3, 4}, []int{0, 1, 3, 4, 5}
	for _, c := range []struct {
		name string
		signing
		good bool
	}{
		{"new key", signing{[]int{2}, 1, []int{2}}, true},
		{"foreign signatures beside", signing{[]int{1}, 1, []int{3, 1, 4}}, true},
		{"not the new key", signing{[]int{2}, 1, []int{1, 3, 4}}, false},
		{"three of five, one of them foreign", signing{six, 3, []int{0, 2, 4}}, false},
		{"two of three", signing{six, 3, []int{0, 4}}, false},
		{"three of five", signing{five, 3, []int{4, 0, 1}}, true},
		{"more than there are", signing{[]int{1, 2}, 3, []int{1, 2}}, false},
	} {
		for _, role := range []string{"timestamp", "snapshot", "targets"} {
			t.Run(c.name+"/"+role, func(t *testing.T) {
				s := newClient(t)
				s.refresh(0)
				s.sign(role, c.signing)
				s.repo.Publish("root", "targets", "snapshot", "timestamp")
				if c.good {
					s.refresh(0)
					s.trusts(map[string]int64{"root": 2, "timestamp": 2, "snapshot": 2, "targets": 2})
					return
				}
				s.refresh(1)
				if raw, err := os.ReadFile(filepath.Join(s.meta, role+".json")); err == nil {
					require.Contains(t, string(raw), `"version": 1`)
				}
			})
		}
	}
}

func TestOneKeyCountsOnce(t *testing.T) {
	key := tufrepository.NewKey("shared")
	other := key.With(tufrepository.Object{"comment": "the same key, listed in another form"})
	for name, keys := range map[string][]*tufrepository.Key{
		"under two IDs":   {key.As("first"), key.As("second")},
		"in two forms":    {key, other},
		"in capital hex":  {key, capital(key)},
		"three times two": {key, other, key.As("third")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newClient(t)
			s.repo.SetKeys("snapshot", 2, keys...)
			s.repo.Publish("root", "snapshot", "timestamp")
			s.refresh(1)
			s.trusts(map[string]int64{"root": 2, "timestamp": 2})
			s.repo.SetKeys("snapshot", 2, append(keys, tufrepository.NewKey("second"))...)
			s.repo.Publish("root", "snapshot", "timestamp")
			s.refresh(0)
		})
	}
}

func capital(k *tufrepository.Key) *tufrepository.Key {
	public := []byte(k.Public["keyval"].(tufrepository.Object)["public"].(string))
	for i, c := range public {
		if c >= 'a' && c <= 'f' {
			public[i] = c - 'a' + 'A'
		}
	}
	return k.With(tufrepository.Object{"keyval": tufrepository.Object{"public": string(public)}})
}

func TestTwoSignaturesByOneKeyID(t *testing.T) {
	s := newClient(t)
	s.repo.Put("1.snapshot.json", edit(s.repo.Get("1.snapshot.json"), func(file tufrepository.Object) {
		list := file["signatures"].([]any)
		file["signatures"] = append(list, list[0])
	}))
	s.refresh(1)
	s.trusts(map[string]int64{"root": 1, "timestamp": 1})
}

func TestInvalidSignatureBesideValidOnes(t *testing.T) {
	for _, sig := range []string{"", "00", "not hexadecimal", "a1b2c3"} {
		t.Run(sig, func(t *testing.T) {
			s := newClient(t)
			s.repo.SetKeys("timestamp", 1, tufrepository.NewKey("bad"), tufrepository.NewKey("good"))
			s.repo.Publish("root", "timestamp")
			s.repo.Put("timestamp.json", edit(s.repo.Get("timestamp.json"), func(file tufrepository.Object) {
				file["signatures"].([]any)[0].(tufrepository.Object)["sig"] = sig
			}))
			s.refresh(0)
		})
	}
}

func edit(raw []byte, change func(tufrepository.Object)) []byte {
	var file tufrepository.Object
	if err := json.Unmarshal(raw, &file); err != nil {
		panic(err)
	}
	change(file)
	return tufrepository.Encode(file)
}

func TestKeyTypes(t *testing.T) {
	rsa := tufrepository.NewRSAKey(2048, 32)
	for name, key := range map[string]*tufrepository.Key{
		"ed25519":                   tufrepository.NewKey("x"),
		"ecdsa":                     tufrepository.NewECDSAKey("ecdsa"),
		"ecdsa, scheme as type":     tufrepository.NewECDSAKey("ecdsa-sha2-nistp256"),
		"rsa":                       rsa,
		"rsa with the longest salt": tufrepository.NewRSAKey(2048, 222),
	} {
		t.Run(name, func(t *testing.T) {
			s := newClient(t)
			s.repo.SetKeys("root", 2, tufrepository.NewKey("root"), key)
			s.repo.Publish("root")
			s.refresh(0)
			s.stored("root.json", "2.root.json")
			s.repo.Publish("root")
			s.repo.Put("3.root.json", edit(s.repo.Get("3.root.json"), func(file tufrepository.Object) {
				entry := file["signatures"].([]any)[1].(tufrepository.Object)
				sig := []byte(entry["sig"].(string))
				sig[len(sig)-1] ^= 1 // another hexadecimal digit
				entry["sig"] = string(sig)
			}))
			s.refresh(1)
			s.stored("root.json", "2.root.json")
		})
	}
	t.Run("unusable", func(t *testing.T) {
		for name, members := range map[string]tufrepository.Object{
			"another type":   {"keytype": "sphincs"},
			"another scheme": {"scheme": "rsa-pkcs1v15-sha256"},
			"no key":         {"keyval": tufrepository.Object{"public": "-----BEGIN"}},
		} {
			t.Run(name, func(t *testing.T) {
				s := newClient(t)
				s.repo.SetKeys("timestamp", 1, tufrepository.NewKey("usable"), rsa.With(members))
				s.repo.Publish("root", "timestamp")
				s.refresh(0) // spoils nothing
				s.repo.SetKeys("timestamp", 2, s.repo.Signers["timestamp"]...)
				s.repo.Publish("root", "timestamp")
				s.refresh(1) // and counts for nothing
			})
		}
	})
}
