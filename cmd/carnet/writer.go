package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func newWriter(c *command) *cobra.Command {
	return group("writer", "Say who may publish: keys of snapshot and timestamp", `A writer is a machine or a person with a key of its own for snapshot and timestamp:
whoever publishes seals the publication with one. Give each writer its own, so that
one can be dropped when it is lost or stolen and the others go on.

A refresher is a writer whose key is used from time to time for nothing else, by
carnet refresh: a withdrawal counts as settled when a timestamp by a refresher's
key contains it.`, groupPublisher, newWriterAdd(c), newWriterReplace(c), newWriterRemove(c), newWriterList(c))
}

func newWriterAdd(c *command) *cobra.Command {
	var trust string
	var refresher, dryRun bool
	cmd := &cobra.Command{
		Use:     "add KEY",
		Short:   "Let a key publish",
		Long:    "Add lists KEY for snapshot and timestamp in a new root.",
		Example: "  carnet writer add file:ci.pub\n  carnet writer add cron --refresher",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			add, err := c.publicKeys(cmd.Context(), args)
			if err != nil {
				return err
			}
			return c.changeWriters(cmd.Context(), trust, dryRun, "is a writer now", args[0], nil, nil, func(ctx context.Context, keys metadata.Keys, refreshers []string) ([]string, error) {
				if err := c.exchange(ctx, metadata.RoleTimestamp, keys, add, nil); err != nil {
					return nil, err
				}
				if id := add[0].ID(); refresher && !slices.Contains(refreshers, id) {
					refreshers = append(refreshers, id)
				}
				return refreshers, nil
			})
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	dryRunFlag(cmd, &dryRun)
	cmd.Flags().BoolVar(&refresher, "refresher", false, "its timestamps settle withdrawals: it runs carnet refresh")
	return cmd
}

func newWriterRemove(c *command) *cobra.Command {
	var trust string
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "remove KEY",
		Short:   "Let a key publish no longer",
		Long:    "Remove takes KEY out of snapshot and timestamp in a new root, which another\nwriter's key seals. What that key sealed is believed no longer.",
		Example: "  carnet writer remove ci",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeWriters(cmd.Context(), trust, dryRun, "is a writer no longer", args[0], nil, args, func(ctx context.Context, keys metadata.Keys, refreshers []string) ([]string, error) {
				if err := c.exchange(ctx, metadata.RoleTimestamp, keys, nil, args); err != nil {
					return nil, err
				}
				if len(keys) == 0 {
					return nil, usagef("%s is the only writer: nobody could publish; add another one first with `carnet writer add KEY`", args[0])
				}
				return refreshers, nil
			})
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	dryRunFlag(cmd, &dryRun)
	return cmd
}

// changeWriters publishes a new root with the keys that edit leaves. Nothing is
// changed if add are writers and remove were, and are no longer: it was done.
func (c *command) changeWriters(ctx context.Context, trust string, dryRun bool, what, key string, add []metadata.Key, remove []string, edit func(context.Context, metadata.Keys, []string) ([]string, error)) error {
	p, err := c.openPublisher(trust)
	if err != nil {
		return err
	}
	change := func(ctx context.Context, d *tuf.Draft) error {
		keys, err := writers(ctx, d)
		if err != nil {
			return err
		}
		if done, err := c.writersChanged(ctx, p, d, keys, add, remove); done || err != nil {
			return err
		}
		refreshers, err := edit(ctx, keys, refreshers(d.Root()))
		if err != nil {
			return err
		}
		return d.SetWriters(ctx, keys, refreshers)
	}
	if dryRun {
		return p.preview(ctx, nil, change)
	}
	res, err := p.publish(ctx, nil, change)
	if err != nil {
		return err
	}
	out := p.published(res)
	return c.answer(out, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n%s\n", key, what, out) })
}

// writers are the keys that may seal a publication alone: those of snapshot
// and of timestamp alike.
func writers(ctx context.Context, d *tuf.Draft) (metadata.Keys, error) {
	snapshot, _, err := d.KeysOf(ctx, metadata.RoleSnapshot)
	if err != nil {
		return nil, err
	}
	timestamp, _, err := d.KeysOf(ctx, metadata.RoleTimestamp)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(sortedIDs(snapshot), sortedIDs(timestamp)) {
		return nil, usagef("snapshot and timestamp have different keys here: change them one by one with `carnet rotate snapshot` and `carnet rotate timestamp`")
	}
	return timestamp, nil
}

func sortedIDs(keys metadata.Keys) []string {
	ids := make([]string, 0, len(keys))
	for id := range keys {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func refreshers(root *metadata.Root) []string {
	if root.Carnet == nil {
		return nil
	}
	return slices.Clone(root.Carnet.Refreshers)
}

// writerEntry is one row of writer list.
type writerEntry struct {
	Key       string   `json:"key"`
	KeyID     string   `json:"keyid"`
	Roles     []string `json:"roles"` // snapshot, timestamp
	Refresher bool     `json:"refresher"`
	Here      bool     `json:"here"` // the private key is on this machine
}

func newWriterList(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who may publish",
		Long:    "List shows the keys of snapshot and timestamp, which of them settle withdrawals, and\nwhich are on this machine.",
		Example: "  carnet writer list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			state, err := p.load(cmd.Context())
			if err != nil {
				return err
			}
			list, err := c.writerList(state.Root().Root)
			if err != nil {
				return err
			}
			return c.answer(list, func(w io.Writer) {
				for _, e := range list {
					fmt.Fprintf(w, "%s  %.12s  %s%s%s\n", e.Key, e.KeyID, strings.Join(e.Roles, ", "), note(e.Refresher, "refresher"), note(e.Here, "here"))
				}
			})
		},
	}
	trustFlag(cmd, &trust)
	return cmd
}

func note(on bool, text string) string {
	if !on {
		return ""
	}
	return ", " + text
}

func (c *command) writerList(root *metadata.Root) ([]writerEntry, error) {
	ks, err := c.keys()
	if err != nil {
		return nil, err
	}
	out := []writerEntry{}
	for _, id := range sortedIDs(root.Keys) {
		e := writerEntry{Key: c.keyName(root.Keys[id], id), KeyID: id, Here: ks.Has(root.Keys[id]), Refresher: slices.Contains(refreshers(root), id)}
		for _, role := range []string{metadata.RoleSnapshot, metadata.RoleTimestamp} {
			if slices.Contains(root.Roles[role].KeyIDs, id) {
				e.Roles = append(e.Roles, role)
			}
		}
		if len(e.Roles) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}
