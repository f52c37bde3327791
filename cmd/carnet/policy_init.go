package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/verify"
)

func newPolicyInit(c *command) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Write a policy to start from",
		Long:    "Init writes a commented policy that lets nothing pass yet; docs/policy.md explains every field. A file that is there is left alone.",
		Example: "  carnet policy init",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := c.policyPath(file)
			if err != nil {
				return err
			}
			if err := createFile(path, verify.DefaultPolicy); err != nil {
				return err
			}
			return c.answer(map[string]string{"policy": path}, func(w io.Writer) { fmt.Fprintln(w, path) })
		},
	}
	policyFlag(cmd, &file)
	return cmd
}

// createFile writes a file that must not be there yet.
func createFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s exists: it is left as it is", path)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
