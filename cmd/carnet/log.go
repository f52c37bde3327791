package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func newLog(c *command) *cobra.Command {
	var trust string
	n := 20
	cmd := &cobra.Command{
		Use:     "log",
		GroupID: groupPublisher,
		Short:   "Show what was published, the newest first",
		Long:    "Log shows the states that the trust repository keeps, and what each changed: roles,\nkeys and thresholds, delegations, target paths that were added or removed, root included.\nWith -o json every change is told whole.",
		Example: "  carnet log -n 5",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 1 {
				return usagef("--number %d: want at least 1", n)
			}
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			list, err := p.repo.History(cmd.Context(), n)
			if err != nil {
				return err
			}
			out := make([]logEntry, len(list))
			for i, h := range list {
				out[i] = newLogEntry(h)
			}
			name := c.namer()
			return c.answer(out, func(w io.Writer) {
				for _, e := range out {
					e.text(w, name)
				}
			})
		},
	}
	trustFlag(cmd, &trust)
	cmd.Flags().IntVarP(&n, "number", "n", n, "`number` of states to show at most")
	return cmd
}

// logEntry is one publication as log shows it.
type logEntry struct {
	RootVersion int64             `json:"rootVersion"`
	Version     int64             `json:"timestampVersion"`
	Identity    *string           `json:"identity"`
	Issued      *time.Time        `json:"issued"`
	Roles       []*tuf.Difference `json:"roles"`
	Unknown     bool              `json:"unknown"` // what changed cannot be told
	Error       *string           `json:"error"`
}

func newLogEntry(h tuf.Change) logEntry {
	e := logEntry{RootVersion: h.Root, Version: h.Timestamp, Unknown: h.Unknown, Roles: append([]*tuf.Difference{}, h.Roles...)}
	if h.Identity != "" {
		e.Identity = &h.Identity
	}
	if !h.Issued.IsZero() {
		e.Issued = &h.Issued
	}
	if h.Err != nil {
		s := h.Err.Error()
		e.Error = &s
	}
	return e
}

func (e logEntry) text(w io.Writer, name func(metadata.Key) string) {
	issued := "time unknown"
	if e.Issued != nil {
		issued = e.Issued.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "state %d  root %d  %s\n", e.Version, e.RootVersion, issued)
	switch {
	case e.Error != nil:
		fmt.Fprintf(w, "  not readable or not signed by this publisher: %s\n", *e.Error)
	case e.Unknown:
		fmt.Fprintln(w, "  the state before it is not kept: what changed is not known")
	case len(e.Roles) == 0:
		fmt.Fprintln(w, "  refreshed")
	}
	for _, r := range e.Roles {
		fmt.Fprintf(w, "  %s version %d\n", tuf.Printable(r.Role), r.Version.After)
		var b strings.Builder
		_ = r.Brief(&b, name) // a line that is cut says so
		for line := range strings.Lines(b.String()) {
			fmt.Fprint(w, "  "+line)
		}
	}
}
