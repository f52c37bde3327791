package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

type revokeArtifactFlags struct {
	trust, reason, advisory, replacedBy, by string
	undo, wait, dryRun                      bool
}

func newRevokeArtifact(c *command) *cobra.Command {
	var f revokeArtifactFlags
	cmd := &cobra.Command{
		Use:   "artifact REF|NAME@DIGEST --reason TEXT",
		Short: "Withdraw an artifact: it passes under no name and tag any more",
		Long: `Withdraw an artifact, by a reference or by NAME@sha256:…, where NAME is the name
that it was signed under. It is denied by digest, so under every name and tag of the
publisher; an index takes along the manifests that are in no other index. Every
other artifact stays, and so do the keys. A reference with a tag means the digest that
the publisher signed for the tag, not what the registry has there now.

--undo lifts a withdrawal. To withdraw again changes the notice and brings the list of
paths up to date that other TUF clients refuse.`,
		Example: "  carnet revoke artifact registry.example/net-monitor:1.0 --reason 'remote code execution' --advisory CVE-2026-1234 --replaced-by net-monitor:1.1\n  carnet revoke artifact net-monitor@sha256:… --undo",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.revokeArtifact(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, in `words`, for people")
	cmd.Flags().StringVar(&f.advisory, "advisory", "", "`id` of an advisory, such as CVE-2026-1234")
	cmd.Flags().StringVar(&f.replacedBy, "replaced-by", "", "`reference` of what replaces it")
	cmd.Flags().StringVar(&f.by, "by", "", "`name` of who withdraws (default: the user's login name)")
	cmd.Flags().BoolVar(&f.undo, "undo", false, "lift the withdrawal")
	dryRunFlag(cmd, &f.dryRun)
	waitFlag(cmd, &f.wait)
	return cmd
}

// withdrawn is the answer of revoke artifact.
type withdrawn struct {
	published
	Withdrawn []digest.Digest `json:"withdrawn"`
	Lifted    []digest.Digest `json:"lifted"`
	Paths     []string        `json:"paths"`
}

func (c *command) revokeArtifact(ctx context.Context, what string, f revokeArtifactFlags) error {
	if f.reason != "" && f.undo {
		return usagef("--undo takes no --reason: what is lifted leaves no notice")
	}
	if f.reason == "" && !f.undo {
		return usagef("give --reason TEXT to withdraw, or --undo to lift a withdrawal")
	}
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	path, err := c.targetPath(what)
	if err != nil {
		return err
	}
	var out *revocation.Outcome
	change := func(ctx context.Context, d *tuf.Draft) error {
		dig, err := c.withdrawnDigest(ctx, d, path)
		if err != nil {
			return err
		}
		if f.undo {
			out, err = revocation.Lift(ctx, d, dig)
			return err
		}
		out, err = revocation.Withdraw(ctx, d, revocation.Withdrawal{
			Digest: dig, Reason: f.reason, Advisory: f.advisory, ReplacedBy: f.replacedBy, By: f.author(),
		})
		return err
	}
	if f.dryRun {
		return p.preview(ctx, []string{path.String()}, change)
	}
	res, err := p.publish(ctx, []string{path.String()}, change)
	if err != nil {
		return err
	}
	if f.wait {
		if err := p.settled(ctx, res); err != nil {
			return err
		}
	}
	return c.answerWithdrawn(p.published(res), out, f.undo)
}

func (c *command) answerWithdrawn(pub published, out *revocation.Outcome, undo bool) error {
	v := withdrawn{published: pub, Paths: append([]string{}, out.Paths...), Withdrawn: []digest.Digest{}, Lifted: []digest.Digest{}}
	word := "withdrawn: "
	if undo {
		v.Lifted, word = out.Digests, "no longer withdrawn: "
	} else {
		v.Withdrawn = out.Digests
	}
	return c.answer(v, func(w io.Writer) {
		for _, d := range out.Digests {
			fmt.Fprintln(w, word+d.String())
		}
		for _, p := range out.Paths {
			fmt.Fprintln(w, "  listed as "+p)
		}
		if len(out.Paths) == 0 && !undo {
			fmt.Fprintln(w, "  nothing vouched for it")
		}
		fmt.Fprintln(w, pub)
	})
}

func (f revokeArtifactFlags) author() string {
	if f.by != "" {
		return f.by
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// targetPath takes apart what is to be withdrawn: a reference to a place, or a
// name of the publisher's.
func (c *command) targetPath(s string) (metadata.Path, error) {
	if path, err := metadata.ParsePath(s); err == nil && !strings.HasPrefix(s, "oci:") {
		return path, nil
	}
	ref, err := registrystore.ParseReference(s, c.flags.layoutRoot)
	if err != nil {
		return metadata.Path{}, err
	}
	if ref.Digest != "" {
		return metadata.Path{Name: ref.Name, Digest: ref.Digest}, nil
	}
	return metadata.Path{Name: ref.Name, Tag: ref.Tag}, nil
}

// withdrawnDigest returns the digest that is meant: the one that the publisher
// signed.
func (c *command) withdrawnDigest(ctx context.Context, d *tuf.Draft, path metadata.Path) (digest.Digest, error) {
	if path.Digest != "" {
		return path.Digest, nil
	}
	f, err := d.State().Client().Lookup(ctx, path.String())
	if err != nil {
		return "", err
	}
	if f.Disagreement != nil {
		return "", usage(fmt.Errorf("the roles do not agree on %s: name the artifact by its digest, %s@sha256:…: %s", path, path.Name, f.Disagreement))
	}
	if !f.Listed {
		return "", usage(errors.Join(fmt.Errorf("%s was never signed: name the artifact by its digest, %s@sha256:…", path, path.Name)))
	}
	return f.Target.Hashes.Digest(), nil
}
