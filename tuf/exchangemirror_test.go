package tuf_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// mirrored is a foreign repository whose mirrors hold all of it.
func mirrored(t *testing.T) *foreign {
	f := newForeign(t)
	f.Hashes = true
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "team", Paths: []string{"team/*"}})
	f.Delegate(start, "team", tufrepository.Delegation{Name: "sub.team", Paths: []string{"team/sub*"}})
	f.AddTarget("team", "team/file", []byte("one"))
	f.AddTarget("sub.team", "team/sub", []byte("two"))
	f.Publish("root")
	f.PublishAll()
	return f
}

var mirroredFiles = map[string]string{"team/file": "one", "team/sub": "two"}

func openMirror(t *testing.T, opts registrystore.Options, name string) *registrystore.TUFMirror {
	t.Helper()
	regs, err := registrystore.New(opts, nil)
	require.NoError(t, err)
	m, err := regs.TUFMirror(name)
	require.NoError(t, err)
	return m
}

// Mirrors are read as their own tools write them: to registries, and to image
// layouts without tags.
func TestImportFromMirrorsOfOtherTools(t *testing.T) {
	f, reg := mirrored(t), fixtures.Distribution(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	require.NoError(t, f.Mirror().Push(t.Context(), reg.Repository(t, "tuf/metadata").Target, "latest"))
	require.NoError(t, f.Mirror().Save(dir))
	require.True(t, f.take(openMirror(t, reg.Options(), reg.Host+"/tuf/metadata")).Changed)
	f.requireListed(mirroredFiles)
	require.False(t, f.take(openMirror(t, registrystore.Options{}, "oci:"+dir)).Changed)
	f.trust, f.store = "oci:"+filepath.Join(t.TempDir(), "trust"), tuf.MemoryStore{}
	require.True(t, f.take(openMirror(t, registrystore.Options{}, "oci:"+dir)).Changed)
	f.requireListed(mirroredFiles)
	_, err := tuf.Import(t.Context(), f.importing(openMirror(t, registrystore.Options{}, "oci:"+dir+":v2")))
	require.ErrorContains(t, err, `no tag "v2"`)
}

// What a mirror should not hold is passed by or refused, and nothing of it
// decides where something is written.
func TestImportFromHostileMirrors(t *testing.T) {
	garbage := []byte(`{"signed":{},"signatures":[]}`)
	const file = "application/vnd.tuf.metadata+json"
	for name, c := range map[string]struct {
		spoil func(m tufrepository.Mirror)
		want  string // "" where it is imported all the same
	}{
		"names of paths": {func(m tufrepository.Mirror) {
			for _, n := range []string{"../../timestamp.json", "/etc/passwd", "timestamp.json/../x", "", "..", "\x00"} {
				m[""] = append([]tufrepository.Layer{{Name: n, MediaType: file, Raw: garbage}}, m[""]...)
			}
		}, ""},
		"a second layer of one name": {func(m tufrepository.Mirror) {
			m[""] = append(m[""], tufrepository.Layer{Name: "timestamp.json", MediaType: file, Raw: garbage})
		}, ""},
		"garbage first": {func(m tufrepository.Mirror) {
			m[""] = append([]tufrepository.Layer{{Name: "timestamp.json", MediaType: file, Raw: garbage}}, m[""]...)
		}, "invalid"},
		"another kind of layer first": {func(m tufrepository.Mirror) {
			m[""] = append([]tufrepository.Layer{{Name: "timestamp.json", MediaType: "application/octet-stream", Raw: garbage}}, m[""]...)
		}, ""},
		"an oversized timestamp": {func(m tufrepository.Mirror) {
			m[""] = append([]tufrepository.Layer{{Name: "timestamp.json", MediaType: file, Raw: make([]byte, 1<<20)}}, m[""]...)
		}, "bytes where at most 65536 are allowed"},
		"a role longer than snapshot says": {func(m tufrepository.Mirror) {
			m["team"][0].Raw = append([]byte(" "), m["team"][0].Raw...)
		}, "are allowed"},
		"a role of as many other bytes": {func(m tufrepository.Mirror) {
			raw := append([]byte{}, m["team"][0].Raw...)
			raw[len(raw)-1]++
			m["team"][0].Raw = raw
		}, "invalid metadata: team version 1"},
		"a role under another's tag": {func(m tufrepository.Mirror) { m["team"] = m["sub.team"] }, "no such metadata: 1.team.json"},
		"a top-level file under a role's tag": {func(m tufrepository.Mirror) {
			m["team"] = append(m["team"], m[""]...)
			m[""] = m[""][:len(m[""])-1]
		}, "timestamp.json"},
		"a role at the top": {func(m tufrepository.Mirror) {
			m[""] = append(m[""], m["team"]...)
			delete(m, "team")
		}, ""},
		"no role": {func(m tufrepository.Mirror) { delete(m, "sub.team") }, "no such metadata: 1.sub.team.json"},
	} {
		t.Run(name, func(t *testing.T) {
			f := mirrored(t)
			m := f.Mirror()
			c.spoil(m)
			dir := filepath.Join(t.TempDir(), "mirror")
			require.NoError(t, m.Save(dir))
			_, err := tuf.Import(t.Context(), f.importing(openMirror(t, registrystore.Options{}, "oci:"+dir)))
			if c.want == "" {
				require.NoError(t, err)
				f.requireListed(mirroredFiles)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.ErrorIs(t, f.open().Open(t.Context()), tuf.ErrNotFound, "nothing was imported")
		})
	}
}

// A mirror that lost or changed a blob is told; nothing is imported.
func TestImportFromADamagedMirror(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"lost":    os.Remove,
		"changed": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"longer":  func(path string) error { return os.Truncate(path, 1<<30) },
	} {
		f := mirrored(t)
		dir := filepath.Join(t.TempDir(), "mirror")
		require.NoError(t, f.Mirror().Save(dir))
		at := (&foreign{T: t, trust: "oci:" + filepath.Join(dir, "team")}).blob(f.Get(f.FileName("team", f.Version("team"))))
		require.NoError(t, os.Chmod(at, 0o600))
		require.NoError(t, spoil(at))
		_, err := tuf.Import(t.Context(), f.importing(openMirror(t, registrystore.Options{}, "oci:"+dir)))
		require.ErrorIs(t, err, tuf.ErrUnreachable, name)
		require.ErrorIs(t, f.open().Open(t.Context()), tuf.ErrNotFound, "nothing was imported")
	}
}
