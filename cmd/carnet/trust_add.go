package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func newTrustAdd(c *command) *cobra.Command {
	var file, want, archive string
	cmd := &cobra.Command{
		Use:   "add NAME TRUST...",
		Short: "Pin a publisher",
		Long: `Add pins a publisher under a name of your own, with the trust repositories that
are asked for its metadata, together. Its root is the one in --root, or the one
in the repositories that has the digest --root-digest, which "carnet init" printed:
get either from the publisher by a way that you trust. With --archive the digest is
looked for in a file of "carnet save", and no repository is asked.

With the same root again, the repositories are replaced.`,
		Example: `  carnet trust add wabbit registry.example/trust --root wabbit-root.json
  carnet trust add wabbit registry.example/trust --root-digest sha256:9b1f...
  carnet trust add wabbit oci:layouts/trust --root-digest sha256:9b1f... --archive release.tar`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneFlag(cmd, "root", "root-digest"); err != nil {
				return err
			}
			if archive != "" && want == "" {
				return usagef("--archive %s: give the --root-digest to look for in it", archive)
			}
			pin, err := c.pinFrom(cmd.Context(), args[0], args[1:], file, want, archive)
			if err != nil {
				return err
			}
			return c.trustAdd(pin)
		},
	}
	cmd.Flags().StringVar(&file, "root", "", "the publisher's root `file`")
	cmd.Flags().StringVar(&want, "root-digest", "", "the root's `digest`, sha256:...")
	cmd.Flags().StringVar(&archive, "archive", "", "look for the root in this `file` of carnet save")
	return cmd
}

func (c *command) pinFrom(ctx context.Context, name string, repositories []string, file, want, archive string) (verify.Pin, error) {
	pin := verify.Pin{Name: name, Repositories: repositories}
	err := usage(verify.CheckPinName(name))
	switch {
	case err != nil:
	case file != "":
		pin.Root, err = readInput(c, file)
	case want == "":
		err = usagef("give --root FILE or --root-digest sha256:…, as the publisher gave it to you: nothing is trusted on first use")
	case archive != "":
		pin.Root, err = c.findArchivedRoot(ctx, archive, want)
	default:
		pin.Root, err = c.findRoot(ctx, repositories, want)
	}
	return pin, err
}

func (c *command) trustAdd(pin verify.Pin) error {
	pins, err := c.pins()
	if err != nil {
		return err
	}
	if err := pins.Add(pin); err != nil {
		return err
	}
	if pin, err = pins.Get(pin.Name); err != nil {
		return err
	}
	v, err := viewPin(pin)
	if err != nil {
		return err
	}
	return c.answer(v, v.text)
}

// findRoot returns the root with the digest that a person gave, out of what
// the repositories hold. The digest alone decides.
func (c *command) findRoot(ctx context.Context, repositories []string, arg string) ([]byte, error) {
	want, err := rootDigest(arg)
	if err != nil {
		return nil, err
	}
	var found []string
	var failed error
	for _, repo := range repositories {
		root, others, err := c.rootIn(ctx, repo, want)
		if root != nil {
			return root, nil
		}
		found, failed = append(found, others...), errors.Join(failed, err)
	}
	if failed != nil {
		return nil, failed // the root may be where nobody answered
	}
	return nil, noSuchRoot(want, found)
}

func rootDigest(arg string) (digest.Digest, error) {
	want, err := digest.Parse(arg)
	if err != nil || want.Algorithm() != digest.SHA256 {
		return "", usagef("--root-digest %q: want sha256:<64 hexadecimal digits>", arg)
	}
	return want, nil
}

func noSuchRoot(want digest.Digest, found []string) error {
	return usagef("no root has the digest %s; found %s: compare it with what the publisher gave you", want, strings.Join(found, ", "))
}

// rootIn looks for a root in one repository, and says what others are there.
func (c *command) rootIn(ctx context.Context, repo string, want digest.Digest) (root []byte, others []string, err error) {
	regs, err := c.registry()
	if err != nil {
		return nil, nil, err
	}
	trust, err := regs.OpenTrust(repo)
	if err != nil {
		return nil, nil, err
	}
	if err := trust.Open(ctx); err != nil {
		return nil, nil, fmt.Errorf("no root to be read: %w", err)
	}
	return rootOf(ctx, trust, want)
}

// rootOf looks for a root in a source, from version 1 on.
func rootOf(ctx context.Context, source tuf.Source, want digest.Digest) (root []byte, others []string, err error) {
	for v := int64(1); v <= metadata.MaxRootSteps; v++ {
		raw, err := source.Root(ctx, v)
		if errors.Is(err, tuf.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, others, err
		}
		d := digest.FromBytes(raw)
		if d == want {
			return raw, nil, nil
		}
		others = append(others, fmt.Sprintf("root %d of %s is %s", v, source, d))
	}
	return nil, others, nil
}
