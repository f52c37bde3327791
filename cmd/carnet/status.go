package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func newStatus(c *command) *cobra.Command {
	var trust string
	var within []string
	cmd := &cobra.Command{
		Use:     "status",
		GroupID: groupPublisher,
		Short:   "Show how a publisher stands: versions, expiries, keys, what to do",
		Long: `Status shows every role with its version, until when its file is valid, how many
signatures it needs and how many of its keys are on this machine, and warns of
what expires: who must act, and the command to run. Expired files are shown too.

A file is warned about when 30 days are left (notice), 7 (warning) and 1
(critical). One that lives shorter is warned about when a quarter, an eighth and a
sixteenth of its life is left: a timestamp of 24 hours in its last 6.

With --fail-within the command ends with code 1 if a file expires within that
time, is expired or is not validly signed; with 3 if that could not be found out.
ROLE=DURATION sets the time for one kind of file.`,
		Example: "  carnet status -o json\n  carnet status --fail-within 14d --fail-within timestamp=3h --fail-within snapshot=1d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limits, err := withins(within)
			if err != nil {
				return err
			}
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			out, err := p.status(cmd.Context())
			if err != nil {
				return err
			}
			out.fail(limits)
			if err := c.answer(out, func(w io.Writer) { out.text(w, c) }); err != nil || len(out.Failing) == 0 {
				return err
			}
			return &exitError{exitNotTrusted, fmt.Errorf("expired or expires within the time that --fail-within gives: %s", strings.Join(out.Failing, ", "))}
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringArrayVar(&within, "fail-within", nil, "end with code 1 if a file expires within this `[ROLE=]DURATION`, like 14d or timestamp=3h; may be repeated")
	return cmd
}

// statusAnswer is the answer of status.
type statusAnswer struct {
	Publisher string        `json:"publisher"`
	ID        string        `json:"id"`
	Trust     string        `json:"trust"`
	Identity  string        `json:"identity"`
	Issued    *time.Time    `json:"issued"`
	Withdrawn int           `json:"withdrawn"`
	Roles     []roleStatus  `json:"roles"`
	Settled   settledStatus `json:"settled"`
	Latest    latestStatus  `json:"latest"`
	Warnings  []warning     `json:"warnings"`
	Failing   []string      `json:"failing"` // roles, by --fail-within; null without it

	spoilt  error  // why the newest state is not the one that is shown
	refresh string // the command that signs again what can be signed here
}

type roleStatus struct {
	Role      string     `json:"role"`
	Version   int64      `json:"version"`
	Expires   *time.Time `json:"expires"` // null if the file cannot be read
	Expired   bool       `json:"expired"`
	Left      int64      `json:"left"`     // seconds until it expires, negative after that
	Lifetime  int64      `json:"lifetime"` // seconds that a new file lives
	Level     level      `json:"level"`
	Threshold int        `json:"threshold"`
	Keys      int        `json:"keys"`
	AtHand    int        `json:"atHand"`
	Signers   []signerAt `json:"signers"`
	Targets   int        `json:"targets"`
	GivenUp   bool       `json:"givenUp"` // its own keys revoked the role
	Error     *string    `json:"error"`   // why verifiers refuse the file
}

// signerAt is one key of a role as this machine sees it.
type signerAt struct {
	KeyID  string  `json:"keyid"`
	Name   *string `json:"name"` // in the keystore here
	AtHand bool    `json:"atHand"`
}

// latestStatus is what the tag latest names, 0 for no state, and the newest
// state that is listed.
type latestStatus struct {
	Version int64 `json:"timestampVersion"`
	Newest  int64 `json:"newest"`
	Behind  bool  `json:"behind"`
}

// settledStatus says whether the newest state is settled, and up to which
// state all is: a timestamp by a refresher's key descends from it. 0 is none.
type settledStatus struct {
	Settled bool  `json:"settled"`
	Version int64 `json:"timestampVersion"`
}

func (p *publisher) settledStatus(ctx context.Context, state *tuf.State) (settledStatus, error) {
	settled, err := p.repo.Settled(ctx, state)
	if settled == nil || err != nil {
		return settledStatus{}, err
	}
	return settledStatus{settled.Contains(tuf.Identity(state.Snapshot())), settled.Version}, nil
}

func (p *publisher) status(ctx context.Context) (*statusAnswer, error) {
	state, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	out := &statusAnswer{Publisher: p.pin.Name, Trust: p.trust.String(), Identity: tuf.Identity(state.Snapshot()), Warnings: []warning{}}
	if out.ID, err = p.pin.ID(); err != nil {
		return nil, err
	}
	if x := state.Timestamp().Timestamp.Carnet; x != nil {
		out.Issued = &x.Issued
	}
	hint, err := p.repo.Hint(ctx, state)
	if err != nil {
		return nil, err
	}
	out.Latest = latestStatus{hint.Latest, hint.Newest, hint.Behind}
	if out.Settled, err = p.settledStatus(ctx, state); err != nil {
		return nil, err
	}
	out.spoilt = state.Spoilt()
	if err := p.roleStatuses(ctx, state, out); err != nil {
		return nil, err
	}
	out.warn(p)
	return out, nil
}

// roleStatuses adds the top-level roles and every delegated role. A file that
// verifiers refuse is shown with the reason: that is when one looks.
func (p *publisher) roleStatuses(ctx context.Context, state *tuf.State, out *statusAnswer) error {
	root := state.Root().Root
	for _, f := range []*metadata.File{state.Root(), state.Timestamp(), state.Snapshot()} {
		out.Roles = append(out.Roles, p.roleStatus(state, f.Type, f.Header, root.Keys, root.Roles[f.Type]))
	}
	top, err := state.Client().Targets(ctx)
	if err != nil {
		return err
	}
	out.Roles = append(out.Roles, p.roleStatus(state, metadata.RoleTargets, top.Header, root.Keys, root.Roles[metadata.RoleTargets]))
	out.Roles[len(out.Roles)-1].Targets = len(top.Targets)
	refused := map[string]error{}
	open := func(e delegations.Edge) (*metadata.Targets, error) {
		t, err := state.Client().Open(ctx, e)
		if e.Role != metadata.RoleTargets && (errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold)) {
			refused[e.Role] = err
			return &metadata.Targets{}, nil
		}
		return t, err
	}
	return delegations.Walk(open, func(e delegations.Edge, _ metadata.Delegation) error {
		t, err := open(e)
		if err != nil {
			return err
		}
		s := p.roleStatus(state, e.Role, t.Header, e.Keys, e.RoleKeys)
		s.Targets, s.GivenUp = len(t.Targets), t.Revoked
		if err := refused[e.Role]; err != nil {
			s.refuse(err, state.Snapshot().Snapshot.Meta[e.Role].Version)
		}
		if e.Withdrawal {
			out.Withdrawn = withdrawnIn(t)
		}
		out.Roles = append(out.Roles, s)
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

func (p *publisher) roleStatus(state *tuf.State, role string, h metadata.Header, keys metadata.Keys, rk metadata.RoleKeys) roleStatus {
	life, left := state.Lifetime(role), h.Expires.Sub(p.c.now())
	s := roleStatus{
		Role: role, Version: h.Version, Expires: &h.Expires, Expired: h.ExpiredAt(p.c.now()), Threshold: rk.Threshold, Keys: len(rk.KeyIDs),
		Left: int64(left / time.Second), Lifetime: int64(life / time.Second), Level: levelOf(left, life), Signers: []signerAt{},
	}
	ks, err := p.c.keys()
	for _, id := range rk.KeyIDs {
		at := signerAt{KeyID: id}
		if k, ok := keys[id]; ok && err == nil {
			at.AtHand = ks.Has(k)
			if name := p.c.storedName(k); name != "" {
				at.Name = &name
			}
		}
		if at.AtHand {
			s.AtHand++
		}
		s.Signers = append(s.Signers, at)
	}
	return s
}

// refuse notes that verifiers do not take the file.
func (s *roleStatus) refuse(err error, version int64) {
	why := err.Error()
	s.Error, s.Version, s.Level = &why, version, levelInvalid
	s.Expires, s.Expired, s.Left = nil, false, 0
}

func (s settledStatus) String() string {
	switch {
	case s.Settled:
		return "settled: a refresher sealed the newest state"
	case s.Version == 0:
		return "not settled yet: no refresher sealed anything that is kept; the newest state waits for `carnet refresh` by a refresher"
	}
	return fmt.Sprintf("settled up to state %d; what came after waits for `carnet refresh` by a refresher", s.Version)
}

func (s *statusAnswer) text(w io.Writer, c *command) {
	fmt.Fprintf(w, "publisher %s at %s\n", s.Publisher, s.Trust)
	if s.Issued != nil {
		fmt.Fprintf(w, "refreshed %s ago\n", c.now().Sub(*s.Issued).Truncate(time.Second))
	}
	fmt.Fprintf(w, "withdrawn %d\n%s\n\n", s.Withdrawn, s.Settled)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROLE\tVERSION\tVALID TILL\tSIGNATURES\tKEYS HERE\tTARGETS")
	for _, r := range s.Roles {
		fmt.Fprintf(t, "%s\t%d\t%s\t%d of %d\t%d\t%d\n", printable(r.Role), r.Version, r.till(), r.Threshold, r.Keys, r.AtHand, r.Targets)
	}
	_ = t.Flush() // to memory
	for _, warning := range s.Warnings {
		fmt.Fprintln(w)
		warning.text(w, c)
	}
	if s.refresh != "" {
		fmt.Fprintf(w, "\nall of that which can be signed here, in one publication:\n  %s\n", s.refresh)
	}
}

func (s roleStatus) till() string {
	switch {
	case s.Error != nil:
		return "INVALID"
	case s.Expired:
		return s.Expires.Format(time.RFC3339) + " EXPIRED"
	}
	return s.Expires.Format(time.RFC3339)
}
