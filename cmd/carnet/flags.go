package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// commonFlags are those that every verb takes.
type commonFlags struct {
	plainHTTP, insecure, passwordStdin bool
	caFile, username, registryConfig   string
	layoutRoot, config, cache          string
	output                             string
	verbose, quiet, noColor            bool
	timeout                            time.Duration
}

// defaultTimeout ends a command that a registry keeps waiting.
const defaultTimeout = 5 * time.Minute

func (f *commonFlags) register(root *cobra.Command) {
	set := root.PersistentFlags()
	set.BoolVar(&f.plainHTTP, "plain-http", false, "speak HTTP without TLS (the default with localhost and 127.0.0.1)")
	set.BoolVar(&f.insecure, "insecure", false, "do not check the registry's certificate")
	set.StringVar(&f.caFile, "ca-file", "", "PEM `file` of the authority that issued the registry's certificate")
	set.StringVarP(&f.username, "username", "u", "", "`name` to log in to the registry with")
	set.BoolVar(&f.passwordStdin, "password-stdin", false, "read the registry's password from standard input")
	set.StringVar(&f.registryConfig, "registry-config", "", "`file` with credentials in place of docker's config.json")
	set.StringVar(&f.layoutRoot, "layout-root", "", "`folder` below which an image layout's path is its name")
	set.StringVar(&f.config, "config", "", "configuration `folder` (default $CARNET_CONFIG, else $XDG_CONFIG_HOME/carnet)")
	set.StringVar(&f.cache, "cache", "", "cache `folder`, which may be deleted (default $XDG_CACHE_HOME/carnet)")
	set.VarP(oneOf(&f.output, "text", "json"), "output", "o", "form of the answer: text or json")
	set.BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error what is done, each request included")
	set.BoolVar(&f.quiet, "quiet", false, "say nothing on standard error but errors")
	set.BoolVar(&f.noColor, "no-color", false, "no colour on a terminal (as NO_COLOR does)")
	set.DurationVar(&f.timeout, "timeout", defaultTimeout, "`duration` of the whole command at most, retries included; 0 for no limit")
}

// check refuses flags that contradict each other.
func (f *commonFlags) check() error {
	switch {
	case f.timeout < 0:
		return usagef("--timeout %s: want a duration from 0", f.timeout)
	case f.passwordStdin && f.username == "":
		return usagef("--password-stdin: give --username too")
	case f.username != "" && !f.passwordStdin:
		return usagef("--username: give the password with --password-stdin")
	case f.verbose && f.quiet:
		return usagef("--verbose and --quiet contradict each other")
	case f.caFile != "" && !isFile(f.caFile):
		return usagef("--ca-file %s: there is no such file", f.caFile)
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// choice is a flag with a few possible words.
type choice struct {
	value *string
	words []string
}

// oneOf returns a flag that takes one of the words, the first by default.
func oneOf(value *string, words ...string) *choice {
	*value = words[0]
	return &choice{value, words}
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

func (c *choice) Set(s string) error {
	for _, w := range c.words {
		if s == w {
			*c.value = s
			return nil
		}
	}
	return usagef("want %s", strings.Join(c.words, " or "))
}
