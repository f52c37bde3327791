package tuf_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func TestStores(t *testing.T) {
	folder, err := tuf.NewFolderStore(filepath.Join(t.TempDir(), "new", "folder"))
	require.NoError(t, err)
	for name, store := range map[string]tuf.Store{"folder": folder, "memory": tuf.MemoryStore{}} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Get("root")
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NoError(t, store.Delete("root"), "is gone already")
			for _, content := range []string{"first, and longer", "second", ""} {
				raw := []byte(content)
				require.NoError(t, store.Put("root", raw))
				copy(raw, "XXXXXX")
				got, err := store.Get("root")
				require.NoError(t, err)
				require.Equal(t, content, string(got))
			}
			require.NoError(t, store.Delete("root"))
			_, err = store.Get("root")
			require.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

func TestFolderStoreKeepsRolesApart(t *testing.T) {
	dir := t.TempDir()
	store, err := tuf.NewFolderStore(filepath.Join(dir, "store"))
	require.NoError(t, err)
	long := strings.Repeat("ä", 128)
	roles := []string{"root", "a/b", "a%2Fb", "a%2fb", "../../up", "/etc/passwd", "..", ".", ".hidden", "%2Ehidden", "\x00", "CON?", "ü", long, long[:len(long)-2], strings.Repeat("x", 256)}
	for _, role := range roles {
		require.NoError(t, store.Put(role, []byte(role)))
	}
	for _, role := range roles {
		raw, err := store.Get(role)
		require.NoError(t, err)
		require.Equal(t, role, string(raw))
	}
	entries, err := os.ReadDir(filepath.Join(dir, "store"))
	require.NoError(t, err)
	require.Len(t, entries, len(roles), "no temporary file is left, no two roles share one")
	for _, e := range entries {
		require.NotEqual(t, byte('.'), e.Name()[0])
		require.Equal(t, ".json", filepath.Ext(e.Name()))
	}
	outside, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, outside, 1)
}

func TestFolderStoreReadsNoMoreThanAFileMayHave(t *testing.T) {
	dir := t.TempDir()
	store, err := tuf.NewFolderStore(dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "timestamp.json"), make([]byte, metadata.MaxTimestamp*2), 0o600))
	raw, err := store.Get("timestamp")
	require.NoError(t, err)
	require.Len(t, raw, metadata.MaxTimestamp+1, "too long to be taken for a whole one")
}

func TestFolderStoreThatCannotWriteKeepsWhatItHas(t *testing.T) {
	dir := t.TempDir()
	store, err := tuf.NewFolderStore(dir)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "root.json"), 0o700)) // nothing replaces a folder
	require.NoError(t, os.WriteFile(filepath.Join(dir, "root.json", "x"), nil, 0o600))
	require.Error(t, store.Put("root", []byte("x")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the temporary file is removed")
}
