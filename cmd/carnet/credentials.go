package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
)

// credentialHost returns the one registry that --username is for: the one
// that the command line names. A password never goes to a registry that only
// a policy or a pin names.
func (c *command) credentialHost(cmd *cobra.Command, args []string) (string, error) {
	if c.flags.username == "" {
		return "", nil
	}
	trust := cmd.Flags().Lookup("trust")
	if trust != nil {
		args = append(slices.Clone(args), trust.Value.String())
	}
	hosts := map[string]bool{}
	for _, arg := range args {
		if host := c.hostIn(arg); host != "" {
			hosts[host] = true
		}
	}
	if len(hosts) == 0 && trust != nil {
		repo, err := c.trustRepository("")
		if err != nil {
			return "", err
		}
		hosts[repo.Host] = true
	}
	delete(hosts, "") // an image layout
	switch names := slices.Sorted(maps.Keys(hosts)); len(names) {
	case 0:
		return "", usagef("--username: the command names no registry that it could be for")
	case 1:
		return names[0], nil
	default:
		hint := "log in to each with docker login or oras login"
		if cmd.Flags().Lookup("to-username") != nil {
			hint += ", or give --from-username and --to-username"
		}
		return "", usagef("--username with several registries (%s): %s", strings.Join(names, ", "), hint)
	}
}

// hostIn returns the registry in an argument, "" if it names none.
func (c *command) hostIn(arg string) string {
	if ref, err := registrystore.ParseReference(arg, c.flags.layoutRoot); err == nil {
		return ref.Host
	}
	if repo, err := registrystore.ParseRepository(arg, c.flags.layoutRoot); err == nil {
		return repo.Host
	}
	return ""
}
