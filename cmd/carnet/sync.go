package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

type syncFlags struct {
	publisher string
	history   int
	repair    bool
	every     time.Duration
	from, to  sideFlags
}

func newSync(c *command) *cobra.Command {
	var f syncFlags
	cmd := &cobra.Command{
		Use:     "sync SRC DST",
		GroupID: groupMoving,
		Short:   "Mirror a publisher's trust repository, only what changed",
		Long: `Sync makes the trust repository DST hold what SRC holds: all roots and the newest
state, byte for byte. Signatures, and withdrawals above all, so reach content that
was copied elsewhere before, without content being copied again.

SRC is verified as a verifier does it, with the pinned publisher and all that this
machine saw of it: a source that lies is refused, and DST never gets an older state
than it has. What is expired is taken all the same, since verifiers see that
themselves. Readers of DST see one switch, from the state before to the new one.
What an interrupted sync left out, the next one sends. What DST lost since, it does
not look for, but with --repair, which reads every file there.

The publisher is the pinned one that has SRC or DST among its repositories, or that
of --publisher. Verifiers ask DST once they pin it too: carnet trust add NAME DST.

With --every it goes on until it is interrupted; a failure is told and tried again
at the next turn. --timeout then bounds each turn.

Two registries with accounts of their own take --from-username and --to-username,
each with its password on standard input, a line each, that of SRC first.`,
		Example: `  carnet sync registry.example/trust mirror.example/wabbit/trust
  carnet sync --every 5m registry.example/trust oci:trust
  printf '%s\n' "$FROM_PASSWORD" "$TO_PASSWORD" | carnet sync registry.example/trust mirror.example/trust \
    --from-username alice --from-password-stdin --to-username mirror --to-password-stdin`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.history < 0 {
				return usagef("--history %d: want a number from 0", f.history)
			}
			if !cmd.Flags().Changed("every") {
				return c.sync(cmd.Context(), f, args)
			}
			if f.every < time.Second {
				return usagef("--every %s: want at least 1s", f.every)
			}
			return c.repeat(f.every, func(ctx context.Context) error { return c.sync(ctx, f, args) })
		},
	}
	cmd.Flags().StringVar(&f.publisher, "publisher", "", "pinned publisher that is mirrored")
	cmd.Flags().IntVar(&f.history, "history", 0, "mirror this `number` of older states too")
	cmd.Flags().BoolVar(&f.repair, "repair", false, "ask DST for every file, and send again what it lost")
	cmd.Flags().DurationVar(&f.every, "every", 0, "go on, with this `duration` between turns")
	f.from.register(cmd, "from", "SRC")
	f.to.register(cmd, "to", "DST")
	return cmd
}

// synced is the answer of sync.
type synced struct {
	Source      string     `json:"source"`
	Destination string     `json:"destination"`
	Publisher   string     `json:"publisher"`
	Changed     bool       `json:"changed"`
	Behind      bool       `json:"behind"`
	RootVersion int64      `json:"rootVersion"`
	Version     int64      `json:"timestampVersion"`
	Identity    string     `json:"identity"`
	Issued      *time.Time `json:"issued"`
	Expires     time.Time  `json:"expires"`
	Expired     bool       `json:"expired"`
	History     int        `json:"history"`  // older states that were copied
	Repaired    int        `json:"repaired"` // files that DST had lost
	Files       int        `json:"files"`    // that were sent
	Bytes       int64      `json:"bytes"`
}

func (c *command) sync(ctx context.Context, f syncFlags, args []string) error {
	m, state, pin, err := c.mirror(f, args)
	if err != nil {
		return err
	}
	done, err := m.Sync(ctx)
	if err = errors.Join(err, state.Commit()); err != nil {
		return err
	}
	out := synced{
		Source: m.From.String(), Destination: m.To.String(), Publisher: pin.Name, Changed: done.Changed, Behind: done.Behind,
		RootVersion: done.Root, Version: done.Timestamp, Identity: done.Identity, Expires: done.Expires, Expired: !c.now().Before(done.Expires),
		History: done.History, Repaired: done.Repaired, Files: done.Files, Bytes: done.Bytes,
	}
	if !done.Issued.IsZero() {
		out.Issued = &done.Issued
	}
	if out.Expired {
		c.say("the publisher's word expired at %s: verifiers of either repository see that", out.Expires.Format(time.RFC3339))
	}
	return c.answer(out, func(w io.Writer) { fmt.Fprintln(w, out) })
}

func (s synced) String() string {
	switch {
	case s.Repaired > 0:
		return fmt.Sprintf("%s has state %d, and %s that it had lost: %s, %s sent", s.Destination, s.Version, count(s.Repaired, "file"), count(s.Files, "file"), count(s.Bytes, "byte"))
	case s.Behind:
		return fmt.Sprintf("nothing to do: %s has state %d already, and %s an older one", s.Destination, s.Version, s.Source)
	case !s.Changed:
		return fmt.Sprintf("nothing to do: %s has state %d already", s.Destination, s.Version)
	}
	return fmt.Sprintf("%s has state %d now, fresh until %s: %s, %s sent", s.Destination, s.Version, s.Expires.Format(time.RFC3339), count(s.Files, "file"), count(s.Bytes, "byte"))
}

// mirror prepares one turn.
func (c *command) mirror(f syncFlags, args []string) (*promotion.Mirror, *verify.State, verify.Pin, error) {
	fail := func(err error) (*promotion.Mirror, *verify.State, verify.Pin, error) {
		return nil, nil, verify.Pin{}, err
	}
	from, err := registrystore.ParseRepository(args[0], "")
	if err != nil {
		return fail(err)
	}
	to, err := registrystore.ParseRepository(args[1], "")
	if err != nil {
		return fail(err)
	}
	if sameRepository(from.Absolute(), to) {
		return fail(usagef("%s is source and destination", from))
	}
	pin, err := c.mirrored(f.publisher, from, to)
	if err != nil {
		return fail(err)
	}
	a, b, err := c.sides(&f.from, &f.to, from, to)
	if err != nil {
		return fail(err)
	}
	states, err := c.states()
	if err != nil {
		return fail(err)
	}
	state, err := states.Load(pin.Root, a.Cache())
	if err != nil {
		return fail(err)
	}
	m := &promotion.Mirror{Root: pin.Root, Store: state, Now: c.now, History: f.history, Repair: f.repair, Report: func(s string) { c.say("%s", s) }}
	if m.From, err = a.Trust(from); err != nil {
		return fail(err)
	}
	m.To, err = b.Trust(to)
	return m, state, pin, err
}

// mirrored returns the publisher that is meant.
func (c *command) mirrored(name string, from, to registrystore.Repository) (verify.Pin, error) {
	pins, err := c.pins()
	if err != nil {
		return verify.Pin{}, err
	}
	if name != "" {
		return pins.Get(name)
	}
	list, err := pins.List()
	if err != nil {
		return verify.Pin{}, err
	}
	list = slices.DeleteFunc(list, func(p verify.Pin) bool {
		return !slices.ContainsFunc(p.Repositories, func(s string) bool { return sameRepository(s, from) || sameRepository(s, to) })
	})
	if len(list) != 1 {
		return verify.Pin{}, usagef("which publisher? %d pinned ones have their metadata in %s or %s: say --publisher NAME", len(list), from, to)
	}
	return list[0], nil
}
