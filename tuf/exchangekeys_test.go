package tuf_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
)

// sign makes keys the signers of a top-level role from the next root on.
func (f *foreign) sign(role string, threshold int, keys ...*tufrepository.Key) {
	old := f.Signers["root"]
	f.SetKeys(role, threshold, keys...)
	if role != "root" {
		f.Publish("root")
		return
	}
	now := f.Signers["root"]
	both := slices.Clone(now)
	for _, k := range old {
		if !slices.ContainsFunc(now, func(n *tufrepository.Key) bool { return n.ID == k.ID }) {
			both = append(both, k)
		}
	}
	f.Signers["root"] = both
	f.Publish("root")
	f.Signers["root"] = now
}

// targetNames are target paths as TUF repositories have them, and some that
// file systems and URLs have trouble with.
var targetNames = []string{
	"file.txt", "rubygems/specs.4.8.gz", "simple/django/index.html", "rsa.pub", "releases/v1.0/artifact-linux_amd64.tar.gz", "a b", "50%/x", "%2e%2e/x", "ünï/cödé.txt",
	"q?x=1#f", "CASE", "case", ".hidden", "../up", "a//b", "trailing/", "back\\slash", "quote\"", "*", "[a]", "tab\t", strings.Repeat("long/", 60) + "name",
}

// variety makes a repository with every kind of key, thresholds that change,
// members that nobody knows, several hashes and names of every sort.
func (f *foreign) variety() map[string]string {
	rsa, ecdsa, old := tufrepository.NewRSAKey(2048, 32), tufrepository.NewECDSAKey("ecdsa"), tufrepository.NewECDSAKey("ecdsa-sha2-nistp256")
	f.sign("root", 2, rsa, old, tufrepository.NewKey("offline"))
	f.sign("targets", 2, rsa, ecdsa)
	f.sign("snapshot", 1, rsa)
	f.sign("timestamp", 1, old, tufrepository.NewKey("second timestamp"))
	f.sign("root", 3, rsa, ecdsa, old)
	f.sign("root", 1, tufrepository.NewKey("last root").With(tufrepository.Object{"x-comment": "of nobody's business"}))
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "several", Paths: []string{"*", "*/*", "*/*/*"}, Threshold: 2, Keys: []*tufrepository.Key{rsa, ecdsa, old}})
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "end", Paths: []string{"end/*"}, Terminating: true})
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "hidden", Paths: []string{"end/*"}})
	f.Delegate(start, "several", tufrepository.Delegation{Name: "all", Paths: []string{strings.Repeat("*/", 60) + "*"}})
	want := map[string]string{}
	for i, name := range targetNames {
		role := "several"
		if strings.HasPrefix(name, "long/") {
			role = "targets"
		}
		f.AddTarget(role, name, []byte(name), [][]string{{"sha256"}, {"sha256", "sha512"}}[i%2]...)
		want[name] = name
	}
	f.AddTarget("end", "end/file", []byte("the end"))
	f.AddTarget("hidden", "end/other", []byte("never"))
	want["end/file"] = "the end"
	for _, signed := range f.Signed {
		signed["x-unknown"] = tufrepository.Object{"list": []any{1, "two", nil, true}}
	}
	f.Signed["targets"]["delegations"].(tufrepository.Object)["x-unknown"] = "too"
	f.Signed["several"]["targets"].(tufrepository.Object)["file.txt"].(tufrepository.Object)["custom"] = tufrepository.Object{"x": []any{}}
	f.Publish("root")
	f.PublishAll()
	return want
}

// Every kind of key, thresholds that rise and fall, members that nobody knows,
// several hashes, names of every sort: in and out byte for byte, and both
// Carnet and go-tuf find every target afterwards.
func TestExchangeOfEveryVariety(t *testing.T) {
	for name, hashes := range map[string]bool{"with hashes": true, "without hashes": false} {
		t.Run(name, func(t *testing.T) {
			f := newForeign(t)
			f.Hashes = hashes
			want := f.variety()
			require.EqualValues(t, 8, f.take(f.http()).Root)
			require.Empty(t, f.told)
			f.requireListed(want)
			c := f.verifier()
			found, err := c.Lookup(t.Context(), "end/other")
			require.NoError(t, err)
			require.False(t, found.Listed, "behind a terminating delegation")
			dir := t.TempDir()
			export(t, f.root, f.open(), f.now, dir)
			require.Equal(t, f.served(), filesIn(t, dir))
			peer := overHTTP(t, dir, f.root)
			peer.requireListed(f.now, want)
			_, err = peer.follow(f.now).GetTargetInfo("end/other")
			require.Error(t, err)
		})
	}
}

// Who pinned any of the roots, from the first to the last, follows.
func TestEveryPinnedRootFollows(t *testing.T) {
	f := newForeign(t)
	f.variety()
	f.take(f.http())
	dir := t.TempDir()
	export(t, f.root, f.open(), f.now, dir)
	for _, name := range []string{"1.root.json", "2.root.json", "5.root.json", "8.root.json"} {
		f.root = f.Get(name)
		f.requireListed(map[string]string{"file.txt": "file.txt"})
		raw, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		overHTTP(t, dir, raw).requireListed(f.now, map[string]string{"file.txt": "file.txt"})
	}
}

// A target whose only hash is not SHA-256 is no artifact, and stays what it is.
func TestTargetWithoutSHA256(t *testing.T) {
	f := newForeign(t)
	f.AddTarget("targets", "file", []byte("content"), "sha512")
	f.PublishAll()
	f.take(f.http())
	found, err := f.verifier().Lookup(t.Context(), "file")
	require.NoError(t, err)
	require.True(t, found.Listed)
	require.Empty(t, found.Target.Hashes.Digest())
	require.Equal(t, tufrepository.Sum("sha512", []byte("content")), found.Target.Hashes.Get("sha512"))
	dir := t.TempDir()
	export(t, f.root, f.open(), f.now, dir)
	info, err := overHTTP(t, dir, f.root).follow(f.now).GetTargetInfo("file")
	require.NoError(t, err)
	require.Len(t, info.Hashes, 1)
}
