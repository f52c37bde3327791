package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// runGoTUF looks a target up with go-tuf's own client, as its documentation
// shows. It does not ask a registry what the tag is there.
func runGoTUF(_ context.Context, j job, dir string) error {
	cfg, err := config.New(j.URL, j.Root)
	if err != nil {
		return err
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = filepath.Join(dir, "metadata"), filepath.Join(dir, "targets")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if err := cfg.SetDefaultFetcherHTTPClient(&http.Client{Transport: transport}); err != nil {
		return err
	}
	up, err := updater.New(cfg)
	if err != nil {
		return err
	}
	up.UnsafeSetRefTime(j.Now)
	if err := up.Refresh(); err != nil {
		return err
	}
	info, err := up.GetTargetInfo(j.Path)
	if err != nil {
		return err
	}
	if found := "sha256:" + info.Hashes["sha256"].String(); found != j.Digests[0] {
		return fmt.Errorf("want %s, found %s", j.Digests[0], found)
	}
	return nil
}
