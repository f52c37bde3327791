package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

type saveFlags struct {
	file, publisher string
	tags, since     []string
}

func newSave(c *command) *cobra.Command {
	var f saveFlags
	cmd := &cobra.Command{
		Use:     "save -f FILE REF|TRUST...",
		GroupID: groupMoving,
		Short:   "Write artifacts and trust repositories to one file, for the air gap",
		Long: `Save writes to FILE what each REF names, with all that refers to it, and the newest
state of each trust repository TRUST, which it verifies like a verifier. FILE is an
OCI image layout in a tar: other tools read it too. Save decides nothing about
artifacts: carnet load does that where the file arrives.

With --since it leaves out what the other side has: FILE is an archive that was loaded
there, ROOT.TIMESTAMP the state of TRUST that is known there. New signatures,
withdrawals and referrers of old artifacts are new. Load such files in their order.

TRUST is a repository that a pinned publisher has its metadata in, or a mirror of it.
With --tag a repository that is none stands for its tags that match. FILE is replaced
when the new one is whole; what it holds alone decides its bytes.`,
		Example: `  carnet save -f release.tar registry.example/net-monitor:1.0 registry.example/trust
  carnet save -f new.tar --since release.tar registry.example/net-monitor --tag '1.*' registry.example/trust
  carnet save -f trust.tar --since 1.1207 registry.example/trust`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.file == "" {
				return usagef("give -f FILE, the file to write")
			}
			return c.save(cmd.Context(), f, args)
		},
	}
	set := cmd.Flags()
	set.StringVarP(&f.file, "file", "f", "", "`file` to write")
	set.StringVar(&f.publisher, "publisher", "", "pinned publisher whose the trust repositories are")
	set.StringArrayVar(&f.tags, "tag", nil, "`pattern` of tags of a repository that is no trust repository; may be repeated")
	set.StringArrayVar(&f.since, "since", nil, "earlier `archive`, or ROOT.TIMESTAMP, that the other side has; may be repeated")
	return cmd
}

// savedView is the answer of save.
type savedView struct {
	File      string           `json:"file"`
	Bytes     int64            `json:"bytes"`
	Artifacts int              `json:"artifacts"`
	Referrers int              `json:"referrers"`
	Blobs     int              `json:"blobs"` // manifests included
	Unchanged int              `json:"unchanged"`
	Trust     []savedTrustView `json:"trust"`
}

type savedTrustView struct {
	Repository string    `json:"repository"`
	Publisher  string    `json:"publisher"`
	Root       int64     `json:"rootVersion"`
	Timestamp  int64     `json:"timestampVersion"`
	Expires    time.Time `json:"expires"`
}

func (v savedView) text(w io.Writer) {
	if v.Artifacts+v.Referrers+len(v.Trust) == 0 {
		fmt.Fprintf(w, "nothing new: %s names nothing (%d bytes)\n", v.File, v.Bytes)
		return
	}
	fmt.Fprintf(w, "saved %s, %s and %s to %s: %s, %s\n", count(v.Artifacts, "artifact"), count(v.Referrers, "referrer"),
		count(len(v.Trust), "trust repository", "trust repositories"), v.File, count(v.Blobs, "blob"), count(v.Bytes, "byte"))
	for _, t := range v.Trust {
		fmt.Fprintf(w, "  %s of %s: state %d.%d, expires %s\n", t.Repository, t.Publisher, t.Root, t.Timestamp, t.Expires.Format(time.RFC3339))
	}
	if v.Unchanged > 0 {
		fmt.Fprintf(w, "  %d are as they were\n", v.Unchanged)
	}
}

func (c *command) save(ctx context.Context, f saveFlags, args []string) (err error) {
	if info, err := os.Stat(filepath.Dir(f.file)); err != nil || !info.IsDir() {
		return usagef("-f %s: there is no folder %s", f.file, filepath.Dir(f.file))
	}
	regs, err := c.registry()
	if err != nil {
		return err
	}
	bar := c.countdown("saving:")
	defer bar.done()
	s := &promotion.Saver{From: regs, Now: c.now, Step: bar.at, Note: func(s string) { c.say("%s", s) }}
	floor, err := c.since(s, f.since)
	defer func() { err = errors.Join(err, closeAll(s.Since)) }()
	if err != nil {
		return err
	}
	refs, trusts, err := c.cargo(ctx, f, args)
	if err != nil {
		return err
	}
	if floor != nil && len(trusts) != 1 {
		return usagef("--since %d.%d is the state of one trust repository, and %d are named", floor.Root, floor.Timestamp, len(trusts))
	}
	return c.saveTo(ctx, f.file, s, floor, refs, trusts)
}

// saveTo runs the saver, and keeps what was seen of the publishers.
func (c *command) saveTo(ctx context.Context, file string, s *promotion.Saver, floor *verify.Floor, refs []registrystore.Reference, trusts []promotion.TrustSource) error {
	states, err := c.states()
	if err != nil {
		return err
	}
	var opened []*verify.State
	for i := range trusts {
		state, err := states.Load(trusts[i].Publisher.Root, s.From.Cache())
		if err != nil {
			return err
		}
		trusts[i].Store, trusts[i].Since = state, floor
		opened = append(opened, state)
	}
	done, err := s.Save(ctx, file, refs, trusts)
	for _, state := range opened {
		err = errors.Join(err, state.Commit())
	}
	if err != nil {
		return err
	}
	out := savedView{File: file, Bytes: done.Bytes, Artifacts: done.Artifacts, Referrers: done.Referrers, Blobs: done.Blobs, Unchanged: done.Unchanged, Trust: []savedTrustView{}}
	for _, t := range done.Trust {
		out.Trust = append(out.Trust, savedTrustView(t))
	}
	return c.answer(out, out.text)
}

// since opens the archives of --since, and returns the state among them.
func (c *command) since(s *promotion.Saver, list []string) (*verify.Floor, error) {
	var floor *verify.Floor
	for _, arg := range list {
		if at, ok := parseFloor(arg); ok {
			if floor != nil {
				return nil, usagef("--since: one state at most: %s is another", arg)
			}
			floor = &at
			continue
		}
		a, err := registrystore.OpenArchive(arg)
		if err != nil {
			return nil, err
		}
		s.Since = append(s.Since, a)
	}
	return floor, nil
}

func closeAll(list []*registrystore.Archive) error {
	var errs []error
	for _, a := range list {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}

// cargo tells what the arguments mean: references, and trust repositories.
func (c *command) cargo(ctx context.Context, f saveFlags, args []string) ([]registrystore.Reference, []promotion.TrustSource, error) {
	var refs []registrystore.Reference
	var trusts []promotion.TrustSource
	for _, arg := range args {
		if ref, err := registrystore.ParseReference(arg, c.flags.layoutRoot); err == nil {
			refs = append(refs, ref)
			continue
		}
		repo, err := registrystore.ParseRepository(arg, c.flags.layoutRoot)
		if err != nil {
			return nil, nil, err
		}
		pin, isTrust, err := c.trustIn(ctx, repo, f.publisher)
		if err != nil {
			return nil, nil, err
		}
		if isTrust {
			trusts = append(trusts, promotion.TrustSource{Repository: repo, Publisher: pin})
			continue
		}
		if len(f.tags) == 0 {
			return nil, nil, usagef("%s is no trust repository: name a tag or a digest, or give --tag", arg)
		}
		regs, err := c.registry()
		if err != nil {
			return nil, nil, err
		}
		more, err := c.sourceReferences(ctx, regs, f.tags, arg)
		if err != nil {
			return nil, nil, err
		}
		refs = append(refs, more...)
	}
	return refs, trusts, nil
}

// trustIn reports whether a repository is a trust repository, and whose: that
// of a pinned publisher who has it, else the one that its root names.
func (c *command) trustIn(ctx context.Context, repo registrystore.Repository, name string) (verify.Pin, bool, error) {
	pins, err := c.pins()
	if err != nil {
		return verify.Pin{}, false, err
	}
	list, err := pins.List()
	if err != nil {
		return verify.Pin{}, false, err
	}
	if i := slices.IndexFunc(list, func(p verify.Pin) bool { return hasRepository(p, repo) && (name == "" || p.Name == name) }); i >= 0 {
		return list[i], true, nil
	}
	id, err := c.publisherIn(ctx, repo)
	if err != nil || id == "" {
		return verify.Pin{}, false, err
	}
	if name != "" {
		pin, err := pins.Get(name)
		return pin, true, err
	}
	for _, pin := range list {
		if own, err := pin.ID(); err == nil && own == id {
			return pin, true, nil
		}
	}
	return verify.Pin{}, true, usagef("%s is the trust repository of a publisher that is not pinned here: run: carnet trust add NAME %s --root FILE", repo, repo)
}

// publisherIn returns the id in the newest root of a trust repository, which
// nobody verified; "" for a repository that is none.
func (c *command) publisherIn(ctx context.Context, repo registrystore.Repository) (string, error) {
	regs, err := c.registry()
	if err != nil {
		return "", err
	}
	trust, err := regs.Trust(repo)
	if err != nil {
		return "", err
	}
	if err := trust.Open(ctx); err != nil {
		return "", ignoreNoTrust(err)
	}
	roots := trust.Publication().Roots
	raw, err := trust.Fetch(ctx, roots[len(roots)-1])
	if err != nil {
		return "", err
	}
	root, err := verify.OpenRoot(raw)
	if err != nil {
		return "", err
	}
	return verify.PublisherID(root), nil
}

// ignoreNoTrust takes an error that says that a repository holds no state.
func ignoreNoTrust(err error) error {
	if errors.Is(err, registrystore.ErrNotFound) || errors.Is(err, tuf.ErrUnreadable) {
		return nil
	}
	return err
}
