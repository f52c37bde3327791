// Command carnet-conformance is Carnet's TUF client behind the command line
// of the TUF conformance suite. It runs the client of package tuf over plain
// HTTP and has no rule of its own.
//
//	carnet-conformance --metadata-dir DIR init TRUSTED_ROOT_FILE
//	carnet-conformance --metadata-url URL --metadata-dir DIR refresh
//	carnet-conformance --metadata-url URL --metadata-dir DIR --target-name PATH \
//		--target-dir DIR --target-base-url URL download
//
// It exits with 0 if all went well and with 1 if not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// patience is how long a run may take in all.
const patience = 5 * time.Minute

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o, err := parse(args)
	if err == nil {
		err = o.do(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "carnet-conformance:", err)
		return 1
	}
	return 0
}

type options struct {
	metadataURL, metadataDir string
	targetURL, targetDir     string
	targets                  []string
	verb                     string
	rest                     []string
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("carnet-conformance", flag.ContinueOnError)
	f.StringVar(&o.metadataURL, "metadata-url", "", "base `URL` of the repository's metadata")
	f.StringVar(&o.metadataDir, "metadata-dir", "", "`folder` of the trusted metadata")
	f.StringVar(&o.targetURL, "target-base-url", "", "base `URL` of the repository's target files")
	f.StringVar(&o.targetDir, "target-dir", "", "`folder` for downloaded files")
	f.Func("target-name", "target `path` to download; may be given several times", func(s string) error {
		o.targets = append(o.targets, s)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() == 0 || o.metadataDir == "" {
		return nil, errors.New("want --metadata-dir and one of init, refresh, download")
	}
	o.verb, o.rest = f.Arg(0), f.Args()[1:]
	return o, nil
}

func (o *options) do(ctx context.Context) error {
	switch {
	case o.verb == "init" && len(o.rest) == 1:
		return o.init(o.rest[0])
	case o.verb == "refresh" && len(o.rest) == 0:
		_, err := o.refresh(ctx)
		return err
	case o.verb == "download" && len(o.rest) == 0:
		return o.download(ctx)
	}
	return fmt.Errorf("unknown command %q, or a wrong number of arguments", o.verb)
}

func (o *options) init(file string) error {
	root, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := tuf.NewClient(tuf.Options{Root: root}); err != nil {
		return err
	}
	store, err := tuf.NewFolderStore(o.metadataDir)
	if err != nil {
		return err
	}
	return store.Put(metadata.RoleRoot, root)
}

func (o *options) refresh(ctx context.Context, paths ...string) (*tuf.Client, error) {
	now, err := clock(ctx)
	if err != nil {
		return nil, err
	}
	store, err := tuf.NewFolderStore(o.metadataDir)
	if err != nil {
		return nil, err
	}
	root, err := store.Get(metadata.RoleRoot)
	if err != nil {
		return nil, err
	}
	source, err := tuf.NewHTTPSource(o.metadataURL, nil)
	if err != nil {
		return nil, err
	}
	c, err := tuf.NewClient(tuf.Options{Root: root, Store: store, Sources: []tuf.Source{source}, Now: now})
	if err != nil {
		return nil, err
	}
	return c, c.Refresh(ctx, paths...)
}

func (o *options) download(ctx context.Context) error {
	to, err := tuf.NewDownloads(o.targetURL, nil, o.targetDir)
	if err != nil {
		return err
	}
	c, err := o.refresh(ctx, o.targets...)
	if err != nil {
		return err
	}
	for _, target := range o.targets {
		if _, err := c.Download(ctx, target, to); err != nil {
			return err
		}
	}
	return nil
}

// clock asks the date command: the suite puts a false clock under programs
// that use the C library, and this one does not.
func clock(ctx context.Context) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("date: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("date: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
