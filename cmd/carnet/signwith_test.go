package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

// Whoever publishes may bring the keys for it: CI has no keystore. Verbs that
// sign nothing are the exception.
func TestPublishingVerbsTakeKeys(t *testing.T) {
	reading := []string{"carnet log", "carnet prune", "carnet delegate list", "carnet writer list",
		"carnet propose list", "carnet propose show", "carnet propose export", "carnet propose import", "carnet propose forget"}
	var with []string
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.Flags().Lookup("trust") == nil || slices.Contains(reading, cmd.CommandPath()) {
			return
		}
		if assert.NotNil(t, cmd.Flags().Lookup("key"), "%s: no --key", cmd.CommandPath()) {
			with = append(with, cmd.CommandPath())
		}
	}
	walk(newCommand(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}).tree())
	assert.Contains(t, with, "carnet sign")
	assert.Contains(t, with, "carnet delegate add")
}
