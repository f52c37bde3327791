package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

type promoteFlags struct {
	verifyFlags
	trust, role, attach string
	claims, tags        []string
	move, dryRun        bool
	from, to            sideFlags
}

func newPromote(c *command) *cobra.Command {
	f := promoteFlags{verifyFlags: verifyFlags{floors: floors{}}}
	cmd := &cobra.Command{
		Use:     "promote SRC... DST",
		Short:   "Verify an artifact and copy it, with all that is attached and the evidence for it",
		GroupID: groupMoving,
		Long: `Promote verifies SRC by the policy, or by --publisher, copies exactly the digest that
was verified to DST, an index's manifests and all that refers to it included, and
attaches the evidence of every publisher whose word counted, so that the copy is
verified also where no publisher can be reached. With --role it signs the new name too,
and records where the artifact came from. The tag of DST comes last. Then DST is
verified as somebody would who remembers nothing.

What is withdrawn is not promoted. A tag that is at another artifact stays, unless
--move is given. An interrupted promote can be run again: it sends what is missing.

With several SRC, or with --tag, DST is a repository, and each keeps its tag. A SRC
without a tag, with --tag, is a repository too.

Two registries with accounts of their own take --from-username and --to-username,
each with its password on standard input, a line each, that of SRC first.`,
		Example: "  carnet promote registry.example/dev/net-monitor:1.0 registry.example/prod/net-monitor:1.0\n" +
			"  carnet promote registry.example/net-monitor oci:net-monitor --tag '1.*' --publisher wabbit\n" +
			"  carnet promote registry.example/net-monitor:1.0 acme.example/prod/net-monitor:1.0 --trust acme.example/trust --role production",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneFlag(cmd, "publisher", "policy"); err != nil {
				return err
			}
			if f.role == "" && (cmd.Flags().Changed("trust") || len(f.claims) > 0 || len(c.signWith) > 0) {
				return usagef("--trust, --claim and --key are for the promoter's own signature: give --role too")
			}
			return c.promote(cmd.Context(), f, args)
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.publisher, "publisher", "", "pinned publisher whose word alone decides, in place of a policy")
	policyFlag(cmd, &f.policy)
	set.DurationVar(&f.maxAge, "max-age", 0, "greatest age of a publisher's word, in place of the policy's")
	set.Var(f.floors, "floor", "`NAME=ROOT.TIMESTAMP`: refuse older metadata of this publisher; may be repeated")
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	set.StringVar(&f.role, "role", "", "`role` that signs the new name")
	set.StringArrayVar(&f.claims, "claim", nil, "signed statement `NAME=VALUE` about the new name; may be repeated")
	set.StringArrayVar(&f.tags, "tag", nil, "`pattern` of tags of the repository SRC, like '1.*'; may be repeated")
	set.Var(oneOf(&f.attach, "always", "never"), "attach", "attach the evidence of those who vouch: always or never")
	set.BoolVar(&f.move, "move", false, "let a tag of DST move that is at another artifact")
	dryRunFlag(cmd, &f.dryRun)
	f.from.register(cmd, "from", "SRC")
	f.to.register(cmd, "to", "DST")
	return cmd
}

// promoteView is the answer about one reference.
type promoteView struct {
	Source      string          `json:"source"`
	Destination string          `json:"destination"`
	Digest      *digest.Digest  `json:"digest"`
	Promoted    bool            `json:"promoted"`
	Manifests   int             `json:"manifests"`
	Referrers   int             `json:"referrers"`
	Sent        int             `json:"sent"`
	Attached    []string        `json:"attached"`
	Verified    *bool           `json:"verified"`
	Alone       *bool           `json:"verifiedByAttachment"`
	Decision    verify.Decision `json:"decision"`
	Error       *string         `json:"error"`

	check, alone verify.Decision
	there        *verify.Decision // what was foreseen about the destination
	notes        []string
}

func (c *command) promote(ctx context.Context, f promoteFlags, args []string) error {
	p, check, err := c.promoter(ctx, f, args)
	if err != nil {
		return err
	}
	pairs, err := c.pairs(ctx, p.From, f.tags, args)
	if err != nil {
		return err
	}
	views, errs := c.promoteAll(ctx, p, check, pairs)
	if len(pairs) == 1 && errs[0] != nil && !isNotTrusted(errs[0]) {
		return errs[0]
	}
	code := exitDone
	for i, v := range views {
		for _, note := range v.notes {
			c.say("%s: %s", pairs[i].src, note)
		}
		if errs[i] != nil && !saidByDecision(v.Decision, errs[i]) {
			c.say("%s: %s", pairs[i].src, c.explain(ctx, errs[i]))
		}
		code = worse(code, c.promoteCode(v, errs[i]))
	}
	if err := c.answerPromoted(views, p.DryRun); err != nil {
		return err
	}
	if code != exitDone {
		return &exitError{code: code}
	}
	return nil
}

// parallelPromotions is how many references are promoted at once; each copies
// in parallel.
const parallelPromotions = 4

// promoteAll promotes every reference, those too that come after one that
// failed.
func (c *command) promoteAll(ctx context.Context, p *promotion.Promoter, check verify.Options, pairs []pair) ([]promoteView, []error) {
	what := "copying to " + pairs[0].dst.Repository.String() + ":"
	bar := c.counter(what)
	defer bar.done()
	p.Step = bar.step
	views, errs := make([]promoteView, len(pairs)), make([]error, len(pairs))
	var g errgroup.Group
	g.SetLimit(parallelPromotions)
	for i := range pairs {
		g.Go(func() error {
			views[i], errs[i] = c.promoteOne(ctx, p, check, pairs[i])
			return nil
		})
	}
	_ = g.Wait()
	return views, errs
}

// worse combines exit codes: not trusted beats failed beats wrong usage beats
// done.
func worse(a, b int) int {
	for _, code := range []int{exitNotTrusted, exitFailed, exitUsage} {
		if a == code || b == code {
			return code
		}
	}
	return exitDone
}

// saidByDecision reports whether the decision about the source says all that
// err does: where it could not be made, it does not say which end failed.
func saidByDecision(d verify.Decision, err error) bool {
	return !d.Allowed() && isNotTrusted(err) && !errors.Is(err, promotion.ErrUndecided)
}

func isNotTrusted(err error) bool {
	return errors.Is(err, promotion.ErrNotTrusted) || errors.Is(err, promotion.ErrUndecided) || errors.Is(err, promotion.ErrNotTrustedThere)
}

// promoteCode is what a reference ends with.
func (c *command) promoteCode(v promoteView, err error) int {
	switch {
	case errors.Is(err, promotion.ErrNotTrusted), errors.Is(err, promotion.ErrNotTrustedThere):
		return exitNotTrusted
	case err != nil:
		return c.exitCode(err)
	case v.Verified != nil:
		return verify.ExitCode([]verify.Decision{v.check})
	}
	return exitDone
}

// pair is a source and where it goes.
type pair struct{ src, dst registrystore.Reference }

// pairs reads SRC... DST.
func (c *command) pairs(ctx context.Context, regs *registrystore.Registries, patterns []string, args []string) ([]pair, error) {
	sources, last := args[:len(args)-1], args[len(args)-1]
	if len(patterns) == 0 && len(sources) == 1 {
		src, err := registrystore.ParseReference(sources[0], c.flags.layoutRoot)
		if err != nil {
			return nil, err
		}
		dst, err := registrystore.ParseReference(last, c.flags.layoutRoot)
		if err != nil {
			repo, rerr := registrystore.ParseRepository(last, c.flags.layoutRoot)
			if rerr != nil {
				return nil, err
			}
			dst = registrystore.Reference{Repository: repo, Tag: src.Tag}
		}
		if dst.Digest != "" {
			return nil, usagef("%s: DST is a tag or a repository: the digest is that of SRC", last)
		}
		return []pair{{src, dst}}, nil
	}
	repo, err := registrystore.ParseRepository(last, c.flags.layoutRoot)
	if err != nil {
		return nil, fmt.Errorf("DST must be a repository here: %w", err)
	}
	var out []pair
	for _, arg := range sources {
		refs, err := c.sourceReferences(ctx, regs, patterns, arg)
		if err != nil {
			return nil, err
		}
		for _, src := range refs {
			out = append(out, pair{src, registrystore.Reference{Repository: repo, Tag: src.Tag}})
		}
	}
	return out, oneSourceEach(out)
}

// maxPromoted bounds how many tags a pattern may mean.
const maxPromoted = 10_000

// sourceReferences returns what an argument means: a reference, or with
// patterns the tags of a repository that match one. The tags of Carnet and
// those that stand for lists of referrers are nobody's artifacts.
func (c *command) sourceReferences(ctx context.Context, regs *registrystore.Registries, patterns []string, arg string) ([]registrystore.Reference, error) {
	if len(patterns) == 0 {
		return c.references([]string{arg})
	}
	repo, err := registrystore.ParseRepository(arg, c.flags.layoutRoot)
	if err != nil {
		return nil, fmt.Errorf("with --tag SRC is a repository: %w", err)
	}
	artifacts, err := regs.Artifacts(repo)
	if err != nil {
		return nil, err
	}
	tags, err := artifacts.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var out []registrystore.Reference
	for _, tag := range tags {
		for _, pattern := range patterns {
			ok, err := path.Match(pattern, tag)
			if err != nil {
				return nil, usagef("--tag %s: %w", pattern, err)
			}
			if ok && !registrystore.IsOwnTag(tag) {
				out = append(out, registrystore.Reference{Repository: repo, Tag: tag})
				break
			}
		}
	}
	if len(out) == 0 || len(out) > maxPromoted {
		return nil, usagef("%s: %s, want 1 to %d", arg, count(len(out), "tag matches", "tags match"), maxPromoted)
	}
	return out, nil
}

func oneSourceEach(list []pair) error {
	seen := map[string]string{}
	for _, p := range list {
		if was, ok := seen[p.dst.Tag]; ok && p.dst.Tag != "" {
			return usagef("%s and %s would both become %s", was, p.src, p.dst)
		}
		seen[p.dst.Tag] = p.src.String()
	}
	return nil
}

// promoteOne promotes one reference and verifies what became of it.
func (c *command) promoteOne(ctx context.Context, p *promotion.Promoter, check verify.Options, pair pair) (promoteView, error) {
	res, err := p.Promote(ctx, pair.src, pair.dst)
	v := promoteView{
		Source: res.Source.String(), Destination: res.Destination.String(), Manifests: res.Manifests, Referrers: res.Referrers, Sent: res.Sent,
		Attached: append([]string{}, res.Attached...), Decision: res.Decision,
	}
	if res.Digest != "" {
		v.Digest = &res.Digest
	}
	if v.notes, v.there = res.Decision.Notes, res.There; err != nil {
		text := err.Error()
		v.Error = &text
	}
	if err != nil || p.DryRun {
		return v, err
	}
	v.Promoted = true
	if v.check, v.alone, err = p.Check(ctx, res.Destination, check); err != nil {
		return v, err
	}
	ok, alone := v.check.Allowed(), v.alone.Allowed()
	v.Verified, v.Alone = &ok, &alone
	return v, nil
}

func (c *command) answerPromoted(views []promoteView, dry bool) error {
	return c.answerLines(func(enc *json.Encoder) error {
		for _, v := range views {
			if err := enc.Encode(v); err != nil {
				return err
			}
		}
		return nil
	}, func(w io.Writer) {
		for _, v := range views {
			c.promotedText(w, v, dry)
		}
	})
}

func (c *command) promotedText(w io.Writer, v promoteView, dry bool) {
	switch {
	case !v.Decision.Allowed() || v.Digest == nil:
		fmt.Fprintf(w, "%s is not promoted\n%s", v.Source, c.decisionText(v.Decision))
		return
	case v.there != nil && !v.there.Allowed():
		fmt.Fprintf(w, "%s is not promoted: it would not be trusted there\n%s", v.Source, c.decisionText(*v.there))
		return
	case dry && v.Error == nil:
		fmt.Fprintf(w, "%s would become %s at %s, with %s and %s\n", v.Source, v.Destination, *v.Digest, count(v.Manifests, "manifest"), count(v.Referrers, "referrer"))
		fmt.Fprintf(w, "  would verify there: %s\n", map[bool]string{true: "yes", false: "if --role may sign that name"}[v.there != nil])
		return
	case !v.Promoted:
		fmt.Fprintf(w, "%s is not promoted\n", v.Source)
		return
	}
	fmt.Fprintf(w, "%s is %s at %s: %s and %s, %d sent\n", v.Source, v.Destination, *v.Digest, count(v.Manifests, "manifest"), count(v.Referrers, "referrer"), v.Sent)
	for _, name := range v.Attached {
		fmt.Fprintf(w, "  the evidence of %s is attached\n", name)
	}
	says := func(d verify.Decision) string {
		if d.Allowed() {
			return "yes"
		}
		return "no:\n" + d.Text()
	}
	fmt.Fprintf(w, "  verifies there: %s\n", says(v.check))
	fmt.Fprintf(w, "  by what is attached alone: %s\n", says(v.alone))
}

// promoter makes what promotes, and the options by which the result is
// verified.
func (c *command) promoter(ctx context.Context, f promoteFlags, args []string) (*promotion.Promoter, verify.Options, error) {
	policy, err := c.policyOf(f.verifyFlags)
	if err != nil {
		return nil, verify.Options{}, err
	}
	from, to, err := c.sides(&f.from, &f.to, c.repositoryIn(args[0]), c.repositoryIn(args[len(args)-1]))
	if err != nil {
		return nil, verify.Options{}, err
	}
	v, err := c.verifierOver(from, f.verifyFlags, policy)
	if err != nil {
		return nil, verify.Options{}, err
	}
	p := &promotion.Promoter{
		From: from, To: to, Policy: policy, Verify: v, Attach: f.attach == "always", Move: f.move, DryRun: f.dryRun,
		Note: func(s string) { c.say("%s", s) },
	}
	check := verify.Options{Policy: policy, Now: c.now}
	if f.role == "" {
		return p, check, nil
	}
	own, err := c.openPublisher(f.trust)
	if err != nil {
		return nil, check, err
	}
	pins, err := c.pins()
	if err != nil {
		return nil, check, err
	}
	mine, err := verify.PublisherPolicy(pins, own.pin.Name)
	if err != nil {
		return nil, check, err
	}
	if f.publisher != "" {
		check.Policy = mine // the source's publisher does not know the new name
	}
	vouching := tuf.Vouching{Role: f.role}
	if vouching.Claims, err = claims(f.claims); err != nil {
		return nil, check, err
	}
	p.Sign = func(ctx context.Context, s promotion.Signing) (*verify.Verifier, error) {
		signing := vouching
		if s.Origin != nil && s.Origin.Publisher != ownID(own) {
			signing.Origin = s.Origin
		}
		res, err := own.publish(ctx, s.Artifact.Paths(), func(ctx context.Context, d *tuf.Draft) error {
			_, _, err := vouch(ctx, d, signing, []tuf.Artifact{s.Artifact})
			return err
		})
		if err == nil && res.Proposal != nil {
			err = fmt.Errorf("%s is copied and has no tag: promote it again once the proposal is published", s.Artifact.Digest)
		}
		if err != nil {
			return nil, err
		}
		return c.verifierOver(from, verifyFlags{}, mine)
	}
	return p, check, nil
}

// repositoryIn returns the repository in an argument, the zero one if it is
// malformed: that is said later.
func (c *command) repositoryIn(arg string) registrystore.Repository {
	if ref, err := registrystore.ParseReference(arg, c.flags.layoutRoot); err == nil {
		return ref.Repository
	}
	repo, _ := registrystore.ParseRepository(arg, c.flags.layoutRoot)
	return repo
}

func ownID(p *publisher) string {
	id, _ := p.pin.ID() // it was opened by it
	return id
}
