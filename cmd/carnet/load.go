package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

type loadFlags struct {
	verifyFlags
	file         string
	move, dryRun bool
}

func newLoad(c *command) *cobra.Command {
	f := loadFlags{verifyFlags: verifyFlags{floors: floors{}}}
	cmd := &cobra.Command{
		Use:     "load -f FILE DST",
		GroupID: groupMoving,
		Short:   "Verify a file that carnet save wrote, and load it",
		Long: `Load verifies all of FILE: every byte, every trust repository as a verifier does, and
every artifact by the policy, or by --publisher, under the name that it will have. It
asks no publisher: what the file holds and what this machine remembers must do, and
the policy's max-staleness decides how old that may be. Only if all of it is allowed
anything is written: artifacts with what refers to them, then trust repositories, then
tags. An interrupted load can be run again.

What was saved from HOST/PATH goes to DST/PATH: DST is HOST[:PORT], HOST[:PORT]/PATH
or oci:DIR. A tag that is at another artifact stays, unless --move is given. Nothing
steps back: of trust that is older than what DST or this machine has, nothing is taken.

Afterwards carnet verify --offline decides on this machine with no network. Publishers
whose trust is in FILE are pinned before, by a root file that came another way.`,
		Example: `  carnet load -f release.tar registry.example:5000
  carnet load -f release.tar oci:/srv/layouts --layout-root /srv/layouts --publisher wabbit
  carnet load -f release.tar registry.example:5000/mirror --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneFlag(cmd, "publisher", "policy"); err != nil {
				return err
			}
			if f.file == "" {
				return usagef("give -f FILE, the file to load")
			}
			return c.load(cmd.Context(), f, args[0])
		},
	}
	set := cmd.Flags()
	set.StringVarP(&f.file, "file", "f", "", "`file` to load")
	set.StringVar(&f.publisher, "publisher", "", "pinned publisher whose word alone decides, in place of a policy")
	policyFlag(cmd, &f.policy)
	set.DurationVar(&f.maxAge, "max-age", 0, "greatest age of a publisher's word, in place of the policy's")
	set.Var(f.floors, "floor", "`NAME=ROOT.TIMESTAMP`: refuse older metadata of this publisher; may be repeated")
	set.BoolVar(&f.move, "move", false, "let a tag move that is at another artifact")
	dryRunFlag(cmd, &f.dryRun)
	return cmd
}

// loadedView is the answer of load.
type loadedView struct {
	File        string               `json:"file"`
	Destination string               `json:"destination"`
	Loaded      bool                 `json:"loaded"`
	Referrers   int                  `json:"referrers"`
	Sent        int                  `json:"sent"`
	Artifacts   []loadedArtifactView `json:"artifacts"`
	Trust       []loadedTrustView    `json:"trust"`
}

type loadedArtifactView struct {
	Source      string          `json:"source"`
	Destination string          `json:"destination"`
	Digest      digest.Digest   `json:"digest"`
	Allowed     bool            `json:"allowed"`
	Withdrawn   *string         `json:"withdrawn"` // of an index's manifest
	Decision    verify.Decision `json:"decision"`
}

type loadedTrustView struct {
	Source      string     `json:"source"`
	Destination string     `json:"destination"`
	Publisher   string     `json:"publisher"`
	Changed     bool       `json:"changed"`
	Older       bool       `json:"older"` // than what is there or was seen here
	Root        *int64     `json:"rootVersion"`
	Timestamp   *int64     `json:"timestampVersion"`
	Issued      *time.Time `json:"issued"`
	Age         *int64     `json:"age"` // seconds
	Expires     *time.Time `json:"expires"`
}

func (c *command) load(ctx context.Context, f loadFlags, dst string) (err error) {
	file, err := registrystore.OpenArchive(f.file)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	l, err := c.loader(f, file, dst)
	if err != nil {
		return err
	}
	reading, copying := c.countdown("reading "+f.file+":"), c.counter("loading:")
	defer reading.done()
	defer copying.done()
	read := int64(0)
	l.Read = func(n int64) { read += n; reading.at(int(read>>20), int(file.Size()>>20)) }
	l.Step = copying.step
	done, err := l.Load(ctx)
	view := c.loaded(f, dst, done)
	c.sayNotes(done)
	if err != nil && !errors.Is(err, promotion.ErrNotTrusted) && !errors.Is(err, promotion.ErrUndecided) {
		return err
	}
	if aerr := c.answer(view, func(w io.Writer) { c.loadedText(w, done, view, f.dryRun) }); aerr != nil {
		return aerr
	}
	switch {
	case errors.Is(err, promotion.ErrNotTrusted):
		return &exitError{code: exitNotTrusted}
	case err != nil:
		return &exitError{code: exitFailed}
	}
	return nil
}

// sayNotes says once each what the decisions note.
func (c *command) sayNotes(done *promotion.Loaded) {
	said := map[string]bool{}
	for _, a := range done.Artifacts {
		for _, note := range a.Decision.Notes {
			if !said[note] {
				said[note] = true
				c.say("%s", note)
			}
		}
	}
}

func (c *command) loader(f loadFlags, file *registrystore.Archive, dst string) (*promotion.Loader, error) {
	place, err := registrystore.ParsePlace(dst, c.flags.layoutRoot)
	if err != nil {
		return nil, err
	}
	regs, err := c.registry()
	if err != nil {
		return nil, err
	}
	states, err := c.states()
	if err != nil {
		return nil, err
	}
	pins, err := c.pins()
	if err != nil {
		return nil, err
	}
	list, err := pins.List()
	if err != nil {
		return nil, err
	}
	policy, err := c.loadPolicy(f, file)
	if err != nil {
		return nil, err
	}
	return &promotion.Loader{
		File: file, To: regs, Place: place, Pins: list, States: states, Policy: policy, MaxAge: f.maxAge, Floors: f.floors,
		Now: c.now, Move: f.move, DryRun: f.dryRun, Note: func(s string) { c.say("%s", s) },
	}, nil
}

// loadPolicy is what decides; where the file has trust alone nothing has to be
// decided, and no policy is needed.
func (c *command) loadPolicy(f loadFlags, file *registrystore.Archive) (*verify.Policy, error) {
	policy, err := c.policyOf(f.verifyFlags)
	if err == nil || f.policy != "" || f.publisher != "" {
		return policy, err
	}
	for _, e := range file.Entries() {
		if e.Publisher == "" {
			return nil, err
		}
	}
	return &verify.Policy{}, nil
}

func (c *command) loaded(f loadFlags, dst string, done *promotion.Loaded) loadedView {
	out := loadedView{
		File: f.file, Destination: dst, Loaded: done.Done, Referrers: done.Referrers, Sent: done.Sent,
		Artifacts: []loadedArtifactView{}, Trust: []loadedTrustView{},
	}
	for _, a := range done.Artifacts {
		v := loadedArtifactView{Source: a.Source, Destination: a.Destination.String(), Digest: a.Digest, Allowed: a.Allowed(), Decision: a.Decision}
		if a.Withdrawn != "" {
			v.Withdrawn = &a.Withdrawn
		}
		out.Artifacts = append(out.Artifacts, v)
	}
	for _, t := range done.Trust {
		out.Trust = append(out.Trust, c.loadedTrust(t))
	}
	return out
}

func (c *command) loadedTrust(t promotion.LoadedTrust) loadedTrustView {
	v := loadedTrustView{Source: t.Source, Destination: t.Destination.String(), Publisher: t.Publisher, Older: t.Older}
	if s := t.Synced; s != nil {
		v.Changed, v.Older = s.Changed, s.Behind
		v.Root, v.Timestamp, v.Expires = &s.Root, &s.Timestamp, &s.Expires
		if !s.Issued.IsZero() {
			age := int64(c.now().Sub(s.Issued) / time.Second)
			v.Issued, v.Age = &s.Issued, &age
		}
	}
	return v
}

func (c *command) loadedText(w io.Writer, done *promotion.Loaded, v loadedView, dry bool) {
	refused := 0
	for _, a := range done.Artifacts {
		if a.Allowed() {
			continue
		}
		refused++
		fmt.Fprintf(w, "%s may not be loaded as %s\n%s", a.Source, a.Destination, c.decisionText(a.Decision))
		if a.Withdrawn != "" {
			fmt.Fprintf(w, "  %s\n", printable(a.Withdrawn))
		}
	}
	what := fmt.Sprintf("%s and %s from %s to %s", count(len(done.Artifacts), "artifact"), count(done.Referrers, "referrer"), v.File, v.Destination)
	switch {
	case refused > 0:
		fmt.Fprintf(w, "nothing is loaded: %d of %s in %s may not be\n", refused, count(len(done.Artifacts), "artifact"), v.File)
		return
	case dry:
		fmt.Fprintf(w, "would load %s\n", what)
	case len(done.Artifacts)+len(done.Trust) == 0:
		fmt.Fprintf(w, "nothing to do: %s names nothing\n", v.File)
	default:
		fmt.Fprintf(w, "loaded %s: %d blobs and manifests sent\n", what, done.Sent)
	}
	for _, t := range v.Trust {
		t.text(w, dry)
	}
}

func (t loadedTrustView) text(w io.Writer, dry bool) {
	has := map[bool]string{true: "would have", false: "has"}[dry && t.Changed]
	switch {
	case t.Timestamp == nil:
		fmt.Fprintf(w, "  %s stays as it is: this machine has seen newer trust of %s than %s\n", t.Destination, t.Publisher, t.Source)
		return
	case t.Older:
		fmt.Fprintf(w, "  %s stays as it is: it has newer trust of %s than %s\n", t.Destination, t.Publisher, t.Source)
		return
	}
	fmt.Fprintf(w, "  %s %s state %d.%d of %s, expires %s\n", t.Destination, has, *t.Root, *t.Timestamp, t.Publisher, t.Expires.Format(time.RFC3339))
}
