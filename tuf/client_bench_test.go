package tuf_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

// thousand is a repository with 1,000 targets in one delegated role.
func thousand() *tufrepository.Repository {
	repo := tufrepository.New(start)
	repo.Hashes = true
	repo.Delegate(start, "targets", tufrepository.Delegation{Name: "releases", Paths: []string{"*"}})
	for i := range 1000 {
		repo.AddTarget("releases", fmt.Sprintf("app-%d:1.0", i), []byte(fmt.Sprint(i)))
	}
	repo.PublishAll()
	return repo
}

// BenchmarkUpdate is a refresh and one look-up, over files in memory, by this
// client and by go-tuf's: cold with nothing trusted but the first root, warm
// with everything trusted and nothing new.
func BenchmarkUpdate(b *testing.B) {
	repo := thousand()
	m := mirrorOf("m", repo)
	root := repo.Get("1.root.json")
	carnet := func(b *testing.B, store tuf.Store) {
		c, err := tuf.NewClient(tuf.Options{Root: root, Store: store, Sources: []tuf.Source{m}, Now: start})
		require.NoError(b, err)
		require.NoError(b, c.Refresh(b.Context()))
		found, err := c.Lookup(b.Context(), "app-500:1.0")
		require.NoError(b, err)
		require.True(b, found.Listed)
		m.asked = m.asked[:0]
	}
	gotuf := func(b *testing.B, o *oracle) {
		up, err := o.refresh(m.files)
		require.NoError(b, err)
		_, err = up.GetTargetInfo("app-500:1.0")
		require.NoError(b, err)
	}
	folder := func(b *testing.B) tuf.Store {
		store, err := tuf.NewFolderStore(b.TempDir())
		require.NoError(b, err)
		return store
	}
	memory := func(*testing.B) tuf.Store { return tuf.MemoryStore{} }
	for name, store := range map[string]func(*testing.B) tuf.Store{"memory": memory, "folder": folder} {
		b.Run("cold/carnet-"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				carnet(b, store(b))
			}
		})
		b.Run("warm/carnet-"+name, func(b *testing.B) {
			s := store(b)
			carnet(b, s)
			b.ReportAllocs()
			for b.Loop() {
				carnet(b, s)
			}
		})
	}
	b.Run("cold/go-tuf-folder", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			gotuf(b, newOracle(b, root))
		}
	})
	b.Run("warm/go-tuf-folder", func(b *testing.B) {
		o := newOracle(b, root)
		gotuf(b, o)
		b.ReportAllocs()
		for b.Loop() {
			gotuf(b, o)
		}
	})
}
