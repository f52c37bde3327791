package main

import (
	"strings"

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
	set.BoolVar(&f.passwordStdin, name+"-password-stdin", false, "read that registry's password from standard input; with both, a line each, that of SRC first")
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

// sides returns the ways to both ends of a copy.
func (c *command) sides(from, to *sideFlags, source, destination registrystore.Repository) (a, b *registrystore.Registries, err error) {
	for _, f := range []*sideFlags{from, to} {
		if err := f.check(); err != nil {
			return nil, nil, err
		}
	}
	if err := c.readPasswords(from, to); err != nil {
		return nil, nil, err
	}
	if a, err = c.side(from, source); err != nil {
		return nil, nil, err
	}
	b, err = c.side(to, destination)
	return a, b, err
}

// readPasswords reads what standard input holds for the two ends, once: one
// password alone, or both, a line each.
func (c *command) readPasswords(from, to *sideFlags) (err error) {
	switch {
	case c.endPasswords != nil || !from.passwordStdin && !to.passwordStdin:
		return nil
	case c.flags.passwordStdin:
		return usagef("--password-stdin: standard input holds the password of one end already: give --from-username and --to-username, each with its own, in place of --username")
	}
	read := map[string]string{}
	switch {
	case !to.passwordStdin:
		read[from.name], err = c.password("--from-password-stdin")
	case !from.passwordStdin:
		read[to.name], err = c.password("--to-password-stdin")
	default:
		read[from.name], read[to.name], err = c.twoPasswords()
	}
	if err == nil {
		c.endPasswords = read
	}
	return err
}

// twoPasswords reads two lines from standard input.
func (c *command) twoPasswords() (first, second string, err error) {
	const flags = "--from-password-stdin and --to-password-stdin"
	both, err := c.password(flags)
	if err != nil {
		return "", "", err
	}
	lines := strings.Split(strings.ReplaceAll(both, "\r\n", "\n"), "\n")
	if len(lines) != 2 || lines[0] == "" || lines[1] == "" {
		return "", "", usagef("%s: want two lines on standard input, none of them empty: the password of SRC and that of DST; found %d", flags, len(lines))
	}
	return lines[0], lines[1], nil
}

func (c *command) side(f *sideFlags, repo registrystore.Repository) (*registrystore.Registries, error) {
	if *f == (sideFlags{name: f.name}) {
		return c.registry()
	}
	if c.ends[f.name] != nil {
		return c.ends[f.name], nil
	}
	opts, err := c.sideOptions(f, repo)
	if err != nil {
		return nil, err
	}
	regs, err := c.openRegistries(opts)
	if err == nil {
		c.ends[f.name], c.endOf[repo.Host] = regs, f.name
	}
	return regs, err
}

func (c *command) sideOptions(f *sideFlags, repo registrystore.Repository) (registrystore.Options, error) {
	opts, err := c.registryOptions()
	if err != nil {
		return opts, err
	}
	opts.PlainHTTP, opts.Insecure = opts.PlainHTTP || f.plainHTTP, opts.Insecure || f.insecure
	if f.caFile != "" {
		opts.CAFile = f.caFile
	}
	if f.registryConfig != "" {
		opts.RegistryConfig = f.registryConfig
	}
	if f.username == "" {
		return opts, nil
	}
	if repo.IsLayout() {
		return opts, usagef("--%s-username: %s is no registry", f.name, repo)
	}
	opts.Username, opts.CredentialHost, opts.Password = f.username, repo.Host, c.endPasswords[f.name]
	return opts, nil
}

// registryAt returns the way to a registry that may be one end of a copy: then
// it is reached as that end is, DST before SRC.
func (c *command) registryAt(host string) (*registrystore.Registries, error) {
	if name := c.endOf[host]; name != "" {
		return c.ends[name], nil
	}
	return c.registry()
}
