package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// metadataFolder is where export puts the metadata, as TUF repositories do.
const metadataFolder = "metadata"

func newExport(c *command) *cobra.Command {
	var r rootFlags
	cmd := &cobra.Command{
		Use:     "export TRUST DIR",
		GroupID: groupMoving,
		Short:   "Write a publisher's metadata as a plain TUF repository",
		Long: `Export writes the newest state of the publisher in TRUST to DIR/metadata, byte for
byte, as a web server serves it to TUF clients: all roots, timestamp, snapshot, and
the file of every role. It verifies like a verifier, and writes only what changed;
timestamp is the last, so that who follows sees the state before or this one. A folder
belongs to one publisher, and is never taken back to an older state.

Target files are not exported: they are manifests in registries. A TUF client asks the
metadata for a target path, NAME:TAG or NAME@sha256:..., and gets length and SHA-256 of
the manifest, which any registry gives by that digest.

The publisher is pinned here, or --root or --root-digest says what to trust.`,
		Example: `  carnet export registry.example/trust /srv/www/tuf`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneFlag(cmd, "root", "root-digest"); err != nil {
				return err
			}
			return c.export(cmd.Context(), args[0], args[1], r)
		},
	}
	r.register(cmd)
	return cmd
}

// exported is the answer of export.
type exported struct {
	Changed   bool      `json:"changed"`
	Trust     string    `json:"trust"`
	Folder    string    `json:"folder"`
	Root      int64     `json:"rootVersion"`
	Timestamp int64     `json:"timestampVersion"`
	Expires   time.Time `json:"expires"`
	Written   []string  `json:"written"` // names in the folder
}

func (e exported) text(w io.Writer) {
	if !e.Changed {
		fmt.Fprintf(w, "nothing to do: %s holds timestamp version %d already\n", e.Folder, e.Timestamp)
		return
	}
	fmt.Fprintf(w, "wrote %s to %s: root %d, timestamp %d; expires %s\n",
		count(len(e.Written), "file"), e.Folder, e.Root, e.Timestamp, e.Expires.Format(time.RFC3339))
}

func (c *command) export(ctx context.Context, from, dir string, r rootFlags) error {
	repo, err := registrystore.ParseRepository(from, "")
	if err != nil {
		return err
	}
	pin, err := c.exportPin(ctx, repo, r)
	if err != nil {
		return err
	}
	client, pub, err := c.gather(ctx, pin)
	if err != nil {
		return err
	}
	out := exported{
		Trust: repo.String(), Folder: filepath.Join(dir, metadataFolder), Root: client.Root().Version,
		Timestamp: client.Timestamp().Version, Expires: client.Timestamp().Expires,
	}
	if out.Written, err = c.writeFolder(ctx, out.Folder, pub); err != nil {
		return err
	}
	out.Changed = len(out.Written) > 0
	return c.answer(out, out.text)
}

func (c *command) writeFolder(ctx context.Context, dir string, pub *tuf.Publication) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	folder, err := tuf.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	written, err := folder.Publish(ctx, pub, func(s string) { c.say("%s", s) })
	return append([]string{}, written...), errors.Join(err, folder.Close())
}

// exportPin is the pinned publisher in repo, or the one that the flags say.
func (c *command) exportPin(ctx context.Context, repo registrystore.Repository, r rootFlags) (verify.Pin, error) {
	if !r.given() {
		return c.pinOf(repo)
	}
	pin := verify.Pin{Repositories: []string{repo.String()}}
	var err error
	if r.file != "" {
		pin.Root, err = readInput(c, r.file)
	} else {
		pin.Root, err = c.findRoot(ctx, pin.Repositories, r.digest)
	}
	return pin, err
}

// gather reads and verifies the newest publication of a publisher, and
// remembers it as any verifier does.
func (c *command) gather(ctx context.Context, pin verify.Pin) (*tuf.Client, *tuf.Publication, error) {
	regs, err := c.registry()
	if err != nil {
		return nil, nil, err
	}
	states, err := c.states()
	if err != nil {
		return nil, nil, err
	}
	state, err := states.Load(pin.Root, regs.Cache())
	if err != nil {
		return nil, nil, err
	}
	var sources []tuf.Source
	for _, s := range pin.Repositories {
		trust, err := regs.OpenTrust(s)
		if err != nil {
			return nil, nil, err
		}
		sources = append(sources, trust)
	}
	client, err := tuf.NewClient(tuf.Options{Root: pin.Root, Store: state, Sources: sources, Now: c.now(), AllowExpired: true})
	if err != nil {
		return nil, nil, err
	}
	var pub *tuf.Publication
	if err = client.Refresh(ctx); err == nil {
		pub, err = client.Gather(ctx, tuf.Gathering{Report: func(s string) { c.say("%s", s) }})
	}
	if err := errors.Join(err, state.Commit()); err != nil {
		return nil, nil, err
	}
	if t := client.Timestamp(); t.ExpiredAt(c.now()) {
		c.say("timestamp version %d expired at %s: clients refuse it until its publisher refreshes", t.Version, metadata.FormatTime(t.Expires))
	}
	return client, pub, nil
}
