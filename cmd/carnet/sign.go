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
	res, err := p.publish(ctx, paths, func(ctx context.Context, d *tuf.Draft) (err error) {
		out, denied, err = vouch(ctx, d, v, artifacts)
		return err
	})
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
	return c.answer(signAnswer{p.published(res), out}, func(w io.Writer) {
		for _, s := range out {
			fmt.Fprintln(w, s)
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
