package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func newStatus(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:     "status",
		GroupID: groupPublisher,
		Short:   "Show how a publisher stands: versions, expiries, keys",
		Long:    "Status shows every role with its version, until when its file is valid, how many\nsignatures it needs and how many of its keys are on this machine. Expired files are\nshown too.",
		Example: "  carnet status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			out, err := p.status(cmd.Context())
			if err != nil {
				return err
			}
			return c.answer(out, func(w io.Writer) { out.text(w, c) })
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	return cmd
}

// statusAnswer is the answer of status.
type statusAnswer struct {
	Publisher string       `json:"publisher"`
	ID        string       `json:"id"`
	Trust     string       `json:"trust"`
	Identity  string       `json:"identity"`
	Issued    *time.Time   `json:"issued"`
	Withdrawn int          `json:"withdrawn"`
	Roles     []roleStatus `json:"roles"`
}

type roleStatus struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires"`
	Expired   bool      `json:"expired"`
	Threshold int       `json:"threshold"`
	Keys      int       `json:"keys"`
	AtHand    int       `json:"atHand"`
	Targets   int       `json:"targets"`
}

func (p *publisher) status(ctx context.Context) (*statusAnswer, error) {
	state, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	root := state.Root().Root
	out := &statusAnswer{Publisher: p.pin.Name, Trust: p.trust.String(), Identity: tuf.Identity(state.Snapshot())}
	if out.ID, err = p.pin.ID(); err != nil {
		return nil, err
	}
	if x := state.Timestamp().Timestamp.Carnet; x != nil {
		out.Issued = &x.Issued
	}
	for _, f := range []*metadata.File{state.Root(), state.Timestamp(), state.Snapshot()} {
		out.Roles = append(out.Roles, p.roleStatus(f.Type, f.Header, root.Keys, root.Roles[f.Type], 0))
	}
	return out, p.delegated(ctx, state, out)
}

// delegated adds targets and every delegated role.
func (p *publisher) delegated(ctx context.Context, state *tuf.State, out *statusAnswer) error {
	root := state.Root().Root
	top, err := state.Client().Targets(ctx)
	if err != nil {
		return err
	}
	out.Roles = append(out.Roles, p.roleStatus(metadata.RoleTargets, top.Header, root.Keys, root.Roles[metadata.RoleTargets], len(top.Targets)))
	open := func(e delegations.Edge) (*metadata.Targets, error) { return state.Client().Open(ctx, e) }
	return delegations.Walk(open, func(e delegations.Edge, _ metadata.Delegation) error {
		t, err := open(e)
		if err != nil {
			return err
		}
		if e.Withdrawal {
			out.Withdrawn = withdrawnIn(t)
		}
		out.Roles = append(out.Roles, p.roleStatus(e.Role, t.Header, e.Keys, e.RoleKeys, len(t.Targets)))
		return nil
	})
}

// withdrawnIn counts the artifacts that the withdrawal role lists.
func withdrawnIn(t *metadata.Targets) int {
	n := 0
	for path, target := range t.Targets {
		if d := target.Notice(); d != nil && path == metadata.WithdrawnPath(d.Digest) {
			n++
		}
	}
	return n
}

func (p *publisher) roleStatus(role string, h metadata.Header, keys metadata.Keys, rk metadata.RoleKeys, targets int) roleStatus {
	s := roleStatus{Role: role, Version: h.Version, Expires: h.Expires, Expired: h.ExpiredAt(p.c.now()), Threshold: rk.Threshold, Keys: len(rk.KeyIDs), Targets: targets}
	ks, err := p.c.keys()
	if err != nil {
		return s
	}
	for _, id := range rk.KeyIDs {
		if k, ok := keys[id]; ok && ks.Has(k) {
			s.AtHand++
		}
	}
	return s
}

func (s *statusAnswer) text(w io.Writer, c *command) {
	fmt.Fprintf(w, "publisher %s at %s\n", s.Publisher, s.Trust)
	if s.Issued != nil {
		fmt.Fprintf(w, "refreshed %s ago\n", c.now().Sub(*s.Issued).Truncate(time.Second))
	}
	fmt.Fprintf(w, "withdrawn %d\n\n", s.Withdrawn)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROLE\tVERSION\tVALID TILL\tSIGNATURES\tKEYS HERE\tTARGETS")
	for _, r := range s.Roles {
		till := r.Expires.Format(time.RFC3339)
		if r.Expired {
			till += " EXPIRED"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d of %d\t%d\t%d\n", r.Role, r.Version, till, r.Threshold, r.Keys, r.AtHand, r.Targets)
	}
	_ = t.Flush() // to memory
}
