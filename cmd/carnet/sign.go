package main

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

type signFlags struct {
	trust, role, as string
	claims          []string
	recursive, wait bool
	dryRun          bool
}

func newSign(c *command) *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:     "sign REF…",
		GroupID: groupPublisher,
		Short:   "Vouch for artifacts: for their tags and their digests",
		Long: `Sign looks artifacts up and lets a role vouch for them: for the tag, if the
reference has one, and for the digest; of an index also for the manifests that it
lists. Any number of references is one publication.

Without --role it takes the only role that is trusted with the name and whose key is
at hand. With --recursive everything that refers to the artifact, such as SBOMs and
scan results, is vouched for too, by digest. With --as an artifact is signed under
another name than that of the place where it is now.

Where several roles must agree, each of them signs, with --role: until enough of them
have signed the same digest it does not pass, and sign says who is missing.

To sign again replaces what was signed for the same names: claims are not kept unless
they are given again. An interrupted sign can be run again.`,
		Example: "  carnet sign registry.example/net-monitor:1.0 --claim stage=prod\n  carnet sign oci:net-monitor:1.0 --recursive --role releases",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.sign(cmd.Context(), args, f) },
	}
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringVar(&f.role, "role", "", "`role` that vouches")
	cmd.Flags().StringVar(&f.as, "as", "", "`name` to sign under, in place of the repository's path")
	cmd.Flags().StringArrayVar(&f.claims, "claim", nil, "signed statement `NAME=VALUE`; may be repeated")
	cmd.Flags().BoolVar(&f.recursive, "recursive", false, "vouch for everything that refers to the artifact too")
	waitFlag(cmd, &f.wait)
	dryRunFlag(cmd, &f.dryRun)
	return cmd
}

// signed is one row of sign's answer.
type signed struct {
	Name   string        `json:"name"`
	Tag    *string       `json:"tag"`
	Digest digest.Digest `json:"digest"`
	Role   string        `json:"role"`
}

func (s signed) String() string {
	if s.Tag != nil {
		return fmt.Sprintf("%s vouches for %s:%s at %s", s.Role, s.Name, *s.Tag, s.Digest)
	}
	return fmt.Sprintf("%s vouches for %s@%s", s.Role, s.Name, s.Digest)
}

// signAnswer is the answer of sign.
type signAnswer struct {
	published
	Signed []signed `json:"signed"`
	// Pending are the names that do not pass yet.
	Pending []pending `json:"pending"`
}

// pending is a name at which other roles must list the same.
type pending struct {
	Target  string   `json:"target"`
	Missing []string `json:"missing"` // roles, of which
	More    *int     `json:"more"`    // so many must; null: not known
}

func pendingOf(list []tuf.Pending) []pending {
	out := []pending{}
	for _, p := range list {
		e := pending{Target: p.Path, Missing: p.Missing}
		if p.More > 0 {
			e.More = &p.More
		}
		out = append(out, e)
	}
	return out
}

// pendingText says once what many names wait for.
func pendingText(list []tuf.Pending) []string {
	var lines []string
	names := map[string][]string{}
	for _, p := range list {
		says := p.String()
		if names[says] == nil {
			lines = append(lines, says)
		}
		names[says] = append(names[says], p.Path)
	}
	for i, says := range lines {
		more := ""
		if n := len(names[says]); n > 1 {
			more = " and " + count(n-1, "more name")
		}
		lines[i] = names[says][0] + more + ": " + says
	}
	return lines
}

func (c *command) sign(ctx context.Context, args []string, f signFlags) error {
	refs, err := c.references(args)
	if err != nil {
		return err
	}
	v := tuf.Vouching{Role: f.role}
	if v.Claims, err = claims(f.claims); err != nil {
		return err
	}
	if f.as != "" {
		if err := metadata.CheckName(f.as); err != nil {
			return usagef("--as: %w", err)
		}
	}
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	artifacts, err := c.artifacts(ctx, refs, f.as, f.recursive)
	if err != nil {
		return err
	}
	var paths []string
	for _, a := range artifacts {
		paths = append(paths, a.Paths()...)
	}
	var out []signed
	var denied []string
	var waiting []tuf.Pending
	change := func(ctx context.Context, d *tuf.Draft) (err error) {
		if out, denied, err = vouch(ctx, d, v, artifacts); err != nil {
			return err
		}
		waiting, err = agreements(ctx, d, artifacts, out)
		return err
	}
	if f.dryRun {
		return p.preview(ctx, paths, change)
	}
	res, err := p.publish(ctx, paths, change)
	if err != nil {
		return err
	}
	for _, path := range denied {
		c.say("%s is still listed by the withdrawal role: Carnet decides by digest, other TUF clients refuse it until `carnet revoke artifact` is run again for what was withdrawn there", path)
	}
	if f.wait {
		if err := p.settled(ctx, res); err != nil {
			return err
		}
	}
	return c.answer(signAnswer{p.published(res), out, pendingOf(waiting)}, func(w io.Writer) {
		for _, s := range out {
			fmt.Fprintln(w, s)
		}
		for _, line := range pendingText(waiting) {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintln(w, p.published(res))
	})
}

func vouch(ctx context.Context, d *tuf.Draft, v tuf.Vouching, artifacts []tuf.Artifact) (out []signed, denied []string, err error) {
	for _, a := range artifacts {
		role, err := d.Vouch(ctx, v, a)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.Paths()[0], err)
		}
		s := signed{Name: a.Name, Digest: a.Digest, Role: role}
		if a.Tag != "" {
			s.Tag = &a.Tag
		}
		out = append(out, s)
		listed, err := d.DeniedPaths(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		denied = append(denied, listed...)
	}
	return out, denied, nil
}

// agreements returns what does not pass yet, once all was signed.
func agreements(ctx context.Context, d *tuf.Draft, artifacts []tuf.Artifact, by []signed) ([]tuf.Pending, error) {
	var out []tuf.Pending
	for i, a := range artifacts {
		list, err := d.Pending(ctx, by[i].Role, a)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}
