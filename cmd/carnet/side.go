package main

import (
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
)

// sideFlags say how one end of a copy is reached, where it is another way than
// the common flags say.
type sideFlags struct {
	name                               string // "from" or "to"
	username, caFile, registryConfig   string
	passwordStdin, plainHTTP, insecure bool
}

// register adds --from-… or --to-….
func (f *sideFlags) register(cmd *cobra.Command, name, what string) {
	f.name = name
	set := cmd.Flags()
	set.StringVar(&f.username, name+"-username", "", "`name` to log in to the registry of "+what+" with")
	set.BoolVar(&f.passwordStdin, name+"-password-stdin", false, "read that registry's password from standard input")
	set.StringVar(&f.registryConfig, name+"-registry-config", "", "`file` with credentials for "+what)
	set.StringVar(&f.caFile, name+"-ca-file", "", "PEM `file` of the authority of that registry's certificate")
	set.BoolVar(&f.plainHTTP, name+"-plain-http", false, "speak HTTP without TLS with that registry")
	set.BoolVar(&f.insecure, name+"-insecure", false, "do not check that registry's certificate")
}

func (f *sideFlags) check() error {
	switch {
	case f.passwordStdin && f.username == "":
		return usagef("--%s-password-stdin: give --%s-username too", f.name, f.name)
	case f.username != "" && !f.passwordStdin:
		return usagef("--%s-username: give the password with --%s-password-stdin", f.name, f.name)
	case f.caFile != "" && !isFile(f.caFile):
		return usagef("--%s-ca-file %s: there is no such file", f.name, f.caFile)
	}
	return nil
}

// sides returns the ways to both ends of a copy. One password can come by
// standard input, the other end's by docker's configuration.
func (c *command) sides(from, to *sideFlags, source, destination registrystore.Repository) (a, b *registrystore.Registries, err error) {
	for _, f := range []*sideFlags{from, to} {
		if err := f.check(); err != nil {
			return nil, nil, err
		}
	}
	if from.passwordStdin && to.passwordStdin || c.flags.passwordStdin && (from.passwordStdin || to.passwordStdin) {
		return nil, nil, usagef("one password comes by standard input: log in to the other registry with docker login or oras login")
	}
	if a, err = c.side(from, source); err != nil {
		return nil, nil, err
	}
	b, err = c.side(to, destination)
	return a, b, err
}

func (c *command) side(f *sideFlags, repo registrystore.Repository) (*registrystore.Registries, error) {
	if *f == (sideFlags{name: f.name}) {
		return c.registry()
	}
	if c.ends[f.name] != nil {
		return c.ends[f.name], nil
	}
	opts, err := c.registryOptions()
	if err != nil {
		return nil, err
	}
	opts.PlainHTTP, opts.Insecure = opts.PlainHTTP || f.plainHTTP, opts.Insecure || f.insecure
	if f.caFile != "" {
		opts.CAFile = f.caFile
	}
	if f.registryConfig != "" {
		opts.RegistryConfig = f.registryConfig
	}
	if f.username != "" {
		if repo.IsLayout() {
			return nil, usagef("--%s-username: %s is no registry", f.name, repo)
		}
		opts.Username, opts.CredentialHost = f.username, repo.Host
		if opts.Password, err = c.password("--" + f.name + "-password-stdin"); err != nil {
			return nil, err
		}
	}
	c.ends[f.name], err = c.openRegistries(opts)
	return c.ends[f.name], err
}
