package tuf_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// A client of a plain TUF repository: a folder keeps what it trusts from one
// run to the next.
func ExampleClient() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	repo := tufrepository.New(now) // stands for somebody's web server
	repo.AddTarget("targets", "tools/net-monitor.tar", []byte("content"))
	repo.PublishAll()
	server := httptest.NewServer(repo)
	defer server.Close()
	pinned := repo.Get("1.root.json") // shipped with the program

	dir, err := os.MkdirTemp("", "trusted")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := tuf.NewFolderStore(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := tuf.NewHTTPSource(server.URL+"/metadata/", server.Client())
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := tuf.NewClient(tuf.Options{Root: pinned, Store: store, Sources: []tuf.Source{source}, Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.Refresh(ctx); err != nil {
		fmt.Println(err) // errors.Is(err, tuf.ErrUnreachable): ask again later
		return
	}
	found, err := client.Lookup(ctx, "tools/net-monitor.tar")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(found.Listed, found.Chain, found.Target.Length, "bytes")
	// Output: true [root targets] 7 bytes
}

// archive is a Source of one's own: files that arrived on a disk, say.
type archive map[string][]byte

func (a archive) String() string { return "archive" }

func (a archive) Root(_ context.Context, version int64) ([]byte, error) {
	return a.file(fmt.Sprintf("%d.root.json", version))
}

func (a archive) Timestamp(context.Context) ([]byte, error) { return a.file("timestamp.json") }

func (a archive) File(_ context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	return a.file(fmt.Sprintf("%d.%s.json", want.Version, role))
}

func (a archive) file(name string) ([]byte, error) {
	raw, ok := a[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s", tuf.ErrNotFound, name)
	}
	return raw, nil
}

// A client over a source of one's own. A courier may be late: timestamp and
// snapshot may be two days past their expiry, and nothing else may.
func ExampleSource() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	repo := tufrepository.New(now)
	repo.Expire("root", now.AddDate(1, 0, 0))
	repo.Expire("targets", now.AddDate(1, 0, 0))
	repo.Publish("root")
	repo.PublishAll()
	files := archive(repo.Files())
	late := now.AddDate(0, 0, 31)

	for _, bound := range []time.Duration{0, 48 * time.Hour} {
		client, err := tuf.NewClient(tuf.Options{
			Root: files["1.root.json"], Store: tuf.MemoryStore{}, Sources: []tuf.Source{files}, Now: late, MaxStaleness: bound,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		err = client.Refresh(context.Background())
		var expired *tuf.ExpiredError
		if errors.As(err, &expired) {
			fmt.Println(expired.Role, "expired at", metadata.FormatTime(expired.Expires))
			continue
		}
		fmt.Println("trusted within", bound, "of expiry:", err == nil)
	}
	// Output:
	// timestamp expired at 2026-12-23T12:00:00Z
	// trusted within 48h0m0s of expiry: true
}
