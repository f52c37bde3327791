package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func newImport(c *command) *cobra.Command {
	var r rootFlags
	cmd := &cobra.Command{
		Use:     "import SOURCE TRUST",
		GroupID: groupMoving,
		Short:   "Copy a plain TUF repository into a trust repository",
		Long: `Import verifies the TUF repository that another tool publishes, and copies its newest
state, byte for byte, into a trust repository; its publisher is pinned here. Run it
again to take what is new: nothing older than what was seen is taken.

SOURCE is the folder of the metadata, as a URL (https://...) or on disk (a path; one
that could be a registry's name begins with ./ or /), or a TUF mirror in a registry
(HOST/PATH[:TAG], or oci:DIR[:TAG]): one manifest for the top level, and one for each
delegated role under its name as tag. Target files are not copied; the artifacts that
they stand for are looked up by path and digest where they are.

What the trust repository lost of the newest state is stored again.

The root comes from the publisher by a way of its own, once: nothing is trusted on
first use.`,
		Example: `  carnet import https://tuf.example/metadata registry.example/trust/vendor --publisher vendor --root 1.root.json
  carnet import https://tuf.example/metadata registry.example/trust/vendor`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneFlag(cmd, "root", "root-digest"); err != nil {
				return err
			}
			return c.importFrom(cmd.Context(), args[0], args[1], r)
		},
	}
	r.register(cmd)
	cmd.Flags().StringVar(&r.publisher, "publisher", "", "`name` under which the publisher is pinned here")
	return cmd
}

// rootFlags say what is trusted of a publisher that is not pinned yet.
type rootFlags struct{ publisher, file, digest string }

func (r *rootFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.file, "root", "", "the publisher's root `file`")
	cmd.Flags().StringVar(&r.digest, "root-digest", "", "the root's `digest`, sha256:...")
}

func (r rootFlags) given() bool { return r.file != "" || r.digest != "" }

// imported is the answer of import.
type imported struct {
	Changed   bool      `json:"changed"`
	Publisher string    `json:"publisher"`
	Source    string    `json:"source"`
	Trust     string    `json:"trust"`
	Root      int64     `json:"rootVersion"`
	Timestamp int64     `json:"timestampVersion"`
	Identity  string    `json:"identity"`
	Expires   time.Time `json:"expires"`
	Roles     int       `json:"roles"`
	Restored  int       `json:"restored"` // lost files that are stored again
}

func (i imported) text(w io.Writer) {
	if i.Restored > 0 {
		fmt.Fprintf(w, "stored again %s that %s had lost; it holds timestamp version %d of %s\n", count(i.Restored, "file"), i.Trust, i.Timestamp, i.Publisher)
		return
	}
	if !i.Changed {
		fmt.Fprintf(w, "nothing to do: %s holds timestamp version %d of %s\n", i.Trust, i.Timestamp, i.Publisher)
		return
	}
	fmt.Fprintf(w, "imported %s into %s: root %d, timestamp %d, %s; expires %s\n",
		i.Publisher, i.Trust, i.Root, i.Timestamp, count(i.Roles, "role"), i.Expires.Format(time.RFC3339))
}

func (c *command) importFrom(ctx context.Context, from, to string, r rootFlags) error {
	repo, err := registrystore.ParseRepository(to, "")
	if err != nil {
		return err
	}
	regs, err := c.registry()
	if err != nil {
		return err
	}
	source, done, err := openTUF(regs, from)
	if err != nil {
		return err
	}
	defer done()
	pin, err := c.importPin(ctx, source, repo, r)
	if err != nil {
		return err
	}
	trust, err := regs.Trust(repo)
	if err != nil {
		return err
	}
	states, err := c.states()
	if err != nil {
		return err
	}
	state, err := states.Load(pin.Root, regs.Cache())
	if err != nil {
		return err
	}
	res, err := tuf.Import(ctx, tuf.Importing{
		Root: pin.Root, Store: state, Source: source, To: trust.Journal().(tuf.Destination), Now: c.now(),
		Report: func(s string) { c.say("%s", s) },
	})
	if err := errors.Join(err, state.Commit()); err != nil {
		return err
	}
	pins, err := c.pins()
	if err != nil {
		return err
	}
	if err := pins.Add(pin); err != nil {
		return fmt.Errorf("imported into %s, but not pinned here: %w", trust, err)
	}
	out := imported{
		res.Changed, pin.Name, source.String(), trust.String(), res.Root, res.Timestamp, res.Identity, res.Expires, res.Roles, res.Restored,
	}
	return c.answer(out, out.text)
}

// openTUF opens a plain TUF repository: what --help of import says of SOURCE.
func openTUF(regs *registrystore.Registries, s string) (source tuf.Source, done func(), err error) {
	done = func() {}
	switch {
	case strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://"):
		source, err = tuf.NewHTTPSource(s, regs.HTTPClient())
		return source, done, usage(err)
	case isFolderPath(s):
		folder, err := openMetadata(s)
		if err != nil {
			return nil, nil, usage(fmt.Errorf("%s: want a folder with TUF metadata: %w", s, err))
		}
		return folder, func() { _ = folder.Close() }, nil
	}
	source, err = regs.TUFMirror(s)
	return source, done, err
}

// isFolderPath reports whether s is a folder's path and no registry's name.
func isFolderPath(s string) bool {
	if strings.HasPrefix(s, "oci:") {
		return false
	}
	host, _, _ := strings.Cut(s, "/")
	return filepath.IsAbs(s) || strings.HasPrefix(s, ".") || host != "localhost" && !strings.ContainsAny(host, ".:")
}

// openMetadata opens a folder of metadata, or the one that `carnet export`
// made in a folder.
func openMetadata(dir string) (*tuf.Folder, error) {
	inner := filepath.Join(dir, metadataFolder)
	if !isFile(filepath.Join(dir, "timestamp.json")) && isFile(filepath.Join(inner, "timestamp.json")) {
		dir = inner
	}
	return tuf.OpenFolder(dir)
}

// importPin is what the publisher is pinned with: as it is pinned already, or
// as the flags say. Nothing is written, and what pins.Add would refuse
// afterwards is refused now.
func (c *command) importPin(ctx context.Context, source tuf.Source, repo registrystore.Repository, r rootFlags) (verify.Pin, error) {
	pin, err := c.pinnedFor(repo, r)
	if err != nil {
		return pin, err
	}
	given, err := c.givenRoot(ctx, source, r)
	switch {
	case err != nil:
		return pin, err
	case given != nil && pin.Root != nil && !slices.Equal(given, pin.Root):
		return pin, usage(fmt.Errorf("publisher %s: %w with root %s: remove that pin first", pin.Name, verify.ErrPinned, pin.Digest()))
	case given == nil && pin.Root == nil:
		return pin, usagef("%s is not pinned: give --root FILE or --root-digest sha256:…, as the publisher gave it to you: nothing is trusted on first use", pin.Name)
	case given != nil:
		pin.Root = given
	}
	if !hasRepository(pin, repo) {
		pin.Repositories = append(pin.Repositories, repo.String())
	}
	return pin, c.checkFree(pin, repo)
}

// pinnedFor returns the pin with the name given, or else the one that has its
// metadata in repo; without a root where it is new.
func (c *command) pinnedFor(repo registrystore.Repository, r rootFlags) (verify.Pin, error) {
	if r.publisher == "" {
		pin, err := c.pinOf(repo)
		if err != nil && r.given() {
			err = usagef("give --publisher NAME: under which name is the publisher to be pinned here?")
		}
		return pin, err
	}
	if err := verify.CheckPinName(r.publisher); err != nil {
		return verify.Pin{}, usage(err)
	}
	pins, err := c.pins()
	if err != nil {
		return verify.Pin{}, err
	}
	pin, err := pins.Get(r.publisher)
	if errors.Is(err, verify.ErrUnknownPublisher) {
		return verify.Pin{Name: r.publisher}, nil
	}
	return pin, err
}

// givenRoot returns the root that the flags give, or nil if they give none.
func (c *command) givenRoot(ctx context.Context, source tuf.Source, r rootFlags) ([]byte, error) {
	switch {
	case r.file != "":
		return readInput(c, r.file)
	case r.digest == "":
		return nil, nil
	}
	want, err := rootDigest(r.digest)
	if err != nil {
		return nil, err
	}
	root, others, err := rootOf(ctx, source, want)
	if root == nil && err == nil {
		err = noSuchRoot(want, others)
	}
	return root, err
}

// checkFree refuses a publisher that is pinned under another name, or a trust
// repository that is another's.
func (c *command) checkFree(pin verify.Pin, repo registrystore.Repository) error {
	id, err := pin.ID()
	if err != nil {
		return err
	}
	pins, err := c.pins()
	if err != nil {
		return err
	}
	list, err := pins.List()
	if err != nil {
		return err
	}
	for _, other := range list {
		if other.Name == pin.Name {
			continue
		}
		otherID, err := other.ID()
		if err != nil {
			return err
		}
		if otherID == id {
			return usage(fmt.Errorf("publisher %s: %w as %s", pin.Name, verify.ErrPinned, other.Name))
		}
		if hasRepository(other, repo) {
			return usagef("%s is the trust repository of %s: give each publisher one of its own", repo, other.Name)
		}
	}
	return nil
}

func hasRepository(pin verify.Pin, repo registrystore.Repository) bool {
	return slices.ContainsFunc(pin.Repositories, func(s string) bool { return sameRepository(s, repo) })
}
