package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// dryRunFlag adds --dry-run.
func dryRunFlag(cmd *cobra.Command, dryRun *bool) {
	cmd.Flags().BoolVar(dryRun, "dry-run", false, "say in words what would change, and publish nothing")
}

// previewed is the answer of a dry run.
type previewed struct {
	Changed bool              `json:"changed"` // always false
	Changes []*tuf.Difference `json:"changes"`
}

// preview answers with what change would publish, and publishes nothing.
func (p *publisher) preview(ctx context.Context, paths []string, change func(context.Context, *tuf.Draft) error) error {
	if err := p.c.bringKeys(ctx); err != nil {
		return err
	}
	list, err := p.repo.Preview(ctx, paths, change)
	if err := errors.Join(p.c.named(err), p.state.Commit()); err != nil {
		return err
	}
	var shown error
	err = p.c.answer(previewed{Changes: append([]*tuf.Difference{}, list...)}, func(w io.Writer) {
		shown = p.c.writeDifferences(w, list)
		if len(list) == 0 {
			fmt.Fprintln(w, "nothing would change: that is so already")
			return
		}
		fmt.Fprintln(w, "nothing was changed")
	})
	return errors.Join(err, shown)
}

// writeDifferences writes differences in words.
func (c *command) writeDifferences(w io.Writer, list []*tuf.Difference) error {
	name := c.namer()
	var errs []error
	for _, d := range list {
		errs = append(errs, d.Text(w, name))
	}
	return errors.Join(errs...)
}

// namer returns what keys are called in the keystore.
func (c *command) namer() func(metadata.Key) string {
	names := map[string]string{}
	if ks, err := c.keys(); err == nil {
		stored, _ := ks.List() // without it keys have no names
		for _, s := range stored {
			if id, err := tuf.KeyIdentity(s.Key); err == nil {
				names[id] = s.Name
			}
		}
	}
	return func(k metadata.Key) string {
		id, err := tuf.KeyIdentity(k)
		if err != nil {
			return ""
		}
		return names[id]
	}
}

// telling is change, which then tells a person who asked for it (-v) what is
// about to be published.
func (c *command) telling(change func(context.Context, *tuf.Draft) error) func(context.Context, *tuf.Draft) error {
	if !c.flags.verbose {
		return change
	}
	return func(ctx context.Context, d *tuf.Draft) error {
		if err := change(ctx, d); err != nil {
			return err
		}
		list, err := d.Changes(ctx)
		var b strings.Builder
		if err = errors.Join(err, c.writeDifferences(&b, list)); err != nil {
			c.detail("what changes cannot be told whole: %v", err)
		}
		for line := range strings.Lines(b.String()) {
			c.detail("%s", strings.TrimSuffix(line, "\n"))
		}
		return nil
	}
}
