package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

type initFlags struct {
	publisher     string
	rootKeys      []string
	rootThreshold int
	onlineKey     string
	expiry        []string
	noPassphrase  bool
}

func newInit(c *command) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:     "init TRUST --publisher NAME",
		GroupID: groupPublisher,
		Short:   "Make a publisher: its first root, targets, snapshot and timestamp",
		Long: `Init makes a publisher in a trust repository of its own, TRUST, and pins it on
this machine. Keys that are missing are made: NAME-root, NAME-targets,
NAME-revocations, and NAME-online for snapshot and timestamp. It prints the
digest of the root, which verifiers need to pin the publisher.

Files live, unless --expiry says otherwise: root, targets and delegated roles 365
days, snapshot 7 days, timestamp 24 hours. Somebody has to run carnet refresh more
often than the timestamp expires.`,
		Example: "  carnet init registry.example/trust --publisher wabbit --expiry timestamp=48h\n  carnet init oci:trust --publisher wabbit --no-passphrase",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.init(cmd.Context(), args[0], f)
		},
	}
	cmd.Flags().StringVar(&f.publisher, "publisher", "", "`name` of the publisher")
	cmd.Flags().StringArrayVar(&f.rootKeys, "root-key", nil, "`key` of root, like a name in the keystore or file:PATH; may be repeated (default NAME-root)")
	cmd.Flags().IntVar(&f.rootThreshold, "root-threshold", 1, "`number` of root keys that must sign a root")
	cmd.Flags().StringVar(&f.onlineKey, "online-key", "", "`key` of snapshot and timestamp (default NAME-online)")
	cmd.Flags().StringArrayVar(&f.expiry, "expiry", nil, "`ROLE=DURATION` that files live; ROLE is root, targets, snapshot, timestamp or delegated; may be repeated")
	cmd.Flags().BoolVar(&f.noPassphrase, "no-passphrase", false, "store the keys that are made without a passphrase")
	_ = cmd.MarkFlagRequired("publisher")
	return cmd
}

// initialised is the answer of init.
type initialised struct {
	Publisher  string        `json:"publisher"`
	ID         string        `json:"id"`
	Trust      string        `json:"trust"`
	RootDigest digest.Digest `json:"rootDigest"`
	Version    int64         `json:"timestampVersion"`
	Expires    time.Time     `json:"expires"`
}

func (c *command) init(ctx context.Context, trust string, f initFlags) error {
	repo, spec, err := c.spec(ctx, trust, f)
	if err != nil {
		return err
	}
	regs, err := c.registry()
	if err != nil {
		return err
	}
	opts, err := c.writer(regs, repo, nil)
	if err != nil {
		return err
	}
	opts.Store = tuf.MemoryStore{}
	root, res, err := tuf.Create(ctx, opts, spec)
	if err != nil {
		return c.named(err)
	}
	pins, err := c.pins()
	if err == nil {
		err = pins.Add(verify.Pin{Name: f.publisher, Root: root, Repositories: []string{repo.Absolute()}})
	}
	d := digest.FromBytes(root)
	if err != nil {
		return fmt.Errorf("the publisher is made and could not be pinned here; do that with `carnet trust add %s %s --root-digest %s`: %w", f.publisher, trust, d, err)
	}
	decoded, err := metadata.Decode(metadata.RoleRoot, root)
	if err != nil {
		return err
	}
	out := initialised{f.publisher, decoded.Root.Carnet.ID, repo.Absolute(), d, res.Timestamp, res.Expires}
	return c.answer(out, func(w io.Writer) {
		fmt.Fprintf(w, "publisher  %s\ntrust      %s\nroot       %s\nfresh till %s\n", out.Publisher, out.Trust, out.RootDigest, out.Expires.Format(time.RFC3339))
		fmt.Fprintf(w, "\nHand this to verifiers:\n  carnet trust add %s %s --root-digest %s\n", out.Publisher, out.Trust, out.RootDigest)
	})
}

// spec checks what was asked for before any key is made.
func (c *command) spec(ctx context.Context, trust string, f initFlags) (registrystore.Repository, tuf.Spec, error) {
	repo, err := registrystore.ParseRepository(trust, c.flags.layoutRoot)
	if err != nil {
		return repo, tuf.Spec{}, err
	}
	if err := verify.CheckPinName(f.publisher); err != nil {
		return repo, tuf.Spec{}, usage(err)
	}
	if err := c.unpinned(f.publisher); err != nil {
		return repo, tuf.Spec{}, err
	}
	spec := tuf.Spec{Name: f.publisher, RootThreshold: f.rootThreshold}
	if spec.Expiry, err = expiries(f.expiry); err != nil {
		return repo, spec, err
	}
	if want := max(len(f.rootKeys), 1); f.rootThreshold < 1 || f.rootThreshold > want {
		return repo, spec, usagef("--root-threshold %d with %d root keys: want 1 to %d", f.rootThreshold, want, want)
	}
	return repo, spec, c.initKeys(ctx, f, &spec)
}

func (c *command) unpinned(name string) error {
	pins, err := c.pins()
	if err != nil {
		return err
	}
	if _, err := pins.Get(name); !errors.Is(err, verify.ErrUnknownPublisher) {
		return errors.Join(err, usagef("a publisher %q is pinned on this machine: choose another name, or `carnet trust remove %s` first", name, name))
	}
	return nil
}

func (c *command) initKeys(ctx context.Context, f initFlags, spec *tuf.Spec) (err error) {
	passphrase := sync.OnceValues(func() ([]byte, error) { // one for all
		if f.noPassphrase {
			return nil, nil
		}
		return c.newPassphrase(ctx, "the keys of "+f.publisher)
	})
	one := func(role, named string) ([]metadata.Key, error) {
		if named != "" {
			return c.publicKeys(ctx, []string{named})
		}
		k, err := c.ensureKey(f.publisher+"-"+role, passphrase)
		return []metadata.Key{k}, err
	}
	if len(f.rootKeys) > 0 {
		spec.Root, err = c.publicKeys(ctx, f.rootKeys)
	} else {
		spec.Root, err = one("root", "")
	}
	if err != nil {
		return err
	}
	if spec.Targets, err = one("targets", ""); err != nil {
		return err
	}
	if spec.Withdrawals, err = one("revocations", ""); err != nil {
		return err
	}
	spec.Timestamp, err = one("online", f.onlineKey)
	spec.Snapshot = spec.Timestamp
	return err
}

// expiries reads ROLE=DURATION.
func expiries(list []string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for _, s := range list {
		role, text, _ := strings.Cut(s, "=")
		d, err := duration(text)
		if !metadata.IsTopLevel(role) && role != tuf.ExpiryDelegated || err != nil || d < time.Second || d%time.Second != 0 {
			return nil, usagef("--expiry %s: want ROLE=DURATION like timestamp=48h or root=365d; ROLE is root, targets, snapshot, timestamp or delegated", s)
		}
		out[role] = d
	}
	return out, nil
}

// duration reads Go's durations and whole days, "365d".
func duration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		return 24 * d, err
	}
	return time.ParseDuration(s)
}
