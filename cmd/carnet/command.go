package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
	"github.com/carnet-project/carnet/verify"
)

// command is one run of carnet: what its verbs share. Everything is made when
// a verb first asks for it. It is for one goroutine.
type command struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	flags          commonFlags

	started   bool               // a verb runs: usage was right
	cancel    context.CancelFunc // ends the time limit
	loginHost string             // the registry that --username is for
	whole     context.Context    // of the process, without the time limit

	configDir  string
	registries *registrystore.Registries
	ends       map[string]*registrystore.Registries // by sideFlags.name
	endOf      map[string]string                    // sideFlags.name by host
	// What was read from standard input, which can be read once: the password of
	// --username, and those of the ends by sideFlags.name.
	loginPassword string
	endPasswords  map[string]string

	cache    *registrystore.Cache
	keystore *tuf.Keystore
	typed    [][]byte                 // passphrases, in this run
	signWith []string                 // keys of --key
	found    map[string]signers.Found // keys that were named by URI in this run
}

func newCommand(stdin io.Reader, stdout, stderr io.Writer) *command {
	return &command{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, cancel: func() {}, found: map[string]signers.Found{}, ends: map[string]*registrystore.Registries{}, endOf: map[string]string{}}
}

func (c *command) close() { c.cancel() }

// tree builds the verbs.
func (c *command) tree() *cobra.Command {
	root := &cobra.Command{
		Use:   "carnet",
		Short: "Trust metadata for OCI artifacts: revocable, fresh, and kept in the registry",
		Long: `Carnet keeps TUF trust metadata, one repository per publisher, as OCI artifacts
in ordinary registries. Publishers vouch for tags and digests through delegated
roles and can take that back; verifiers learn whether a name, at a tag, at a
digest, is still vouched for, and how old that statement is.

Exit codes: 0 verified or done, 1 not trusted, 2 wrong usage or configuration,
3 could not be decided or done.

Environment: CARNET_TRUST (the trust repository), CARNET_CONFIG (the configuration
folder), CARNET_PASSPHRASE (of private keys), CARNET_PIN (of tokens),
PKCS11_MODULE_PATH (the PKCS#11 module), NO_COLOR.`,
		Args:              unknownVerb,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error { return c.start(cmd, args) },
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	c.flags.register(root)
	root.AddGroup(
		&cobra.Group{ID: groupPublisher, Title: "For publishers:"},
		&cobra.Group{ID: groupVerifier, Title: "For verifiers:"},
		&cobra.Group{ID: groupMoving, Title: "Moving with the content:"},
	)
	for _, verb := range []func(*command) *cobra.Command{
		newInit, newDelegate, newSign, newRevoke, newRotate, newWriter, newPropose, newApprove, newRefresh, newPrune, newStatus, newLog, newAudit, newKey,
		newTrust, newPolicy, newVerify, newTree, newDoctor, newPromote, newSync, newSave, newLoad, newImport, newExport, newVersion,
	} {
		root.AddCommand(verb(c))
	}
	c.markStart(root)
	return root
}

// markStart notes when a verb runs: all that cobra refuses before, arguments,
// flags and groups of flags, is wrong usage.
func (c *command) markStart(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return explainArgs(cmd, check(cmd, args)) }
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.started = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		c.markStart(sub)
	}
}

// explainArgs adds to what cobra says about arguments which ones are wanted.
func explainArgs(cmd *cobra.Command, err error) error {
	var said *exitError
	if err == nil || errors.As(err, &said) {
		return err
	}
	return usagef("%w: %s (see %s --help)", err, cmd.UseLine(), cmd.CommandPath())
}

// oneFlag refuses two flags of which one excludes the other.
func oneFlag(cmd *cobra.Command, a, b string) error {
	if cmd.Flags().Changed(a) && cmd.Flags().Changed(b) {
		return usagef("give --%s or --%s, not both", a, b)
	}
	return nil
}

const (
	groupPublisher = "publisher"
	groupVerifier  = "verifier"
	groupMoving    = "moving"
)

// start sets the time limit, and who may see a password.
func (c *command) start(cmd *cobra.Command, args []string) (err error) {
	if err := c.flags.check(); err != nil {
		return err
	}
	if c.loginHost, err = c.credentialHost(cmd, args); err != nil {
		return err
	}
	c.whole = cmd.Context()
	ctx, cancel := c.limited()
	c.cancel = cancel
	cmd.SetContext(ctx)
	return nil
}

// limited returns a context that ends with the process, or when the time
// limit from now on is over.
func (c *command) limited() (context.Context, context.CancelFunc) {
	if c.flags.timeout > 0 {
		return context.WithTimeout(c.whole, c.flags.timeout)
	}
	return context.WithCancel(c.whole)
}

// group makes a command that only holds others.
func group(use, short, long, groupID string, verbs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Long: long, GroupID: groupID,
		Args: unknownVerb, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(verbs...)
	return g
}

// unknownVerb refuses a verb that does not exist, and names the nearest.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%s: did you mean %q?", message, near[0])
	}
	return usagef("%s (see %s --help)", message, cmd.CommandPath())
}

// config returns a path in the configuration folder.
func (c *command) config(elements ...string) (string, error) {
	if c.configDir == "" {
		dir, err := folder(c.flags.config, os.Getenv("CARNET_CONFIG"), "XDG_CONFIG_HOME", os.UserConfigDir)
		if err != nil {
			return "", usagef("no configuration folder: give --config: %w", err)
		}
		c.configDir = dir
	}
	return filepath.Join(append([]string{c.configDir}, elements...)...), nil
}

// folder picks the first that is set: a flag, an environment variable, the
// XDG base directory, the system's.
func folder(flag, env, xdg string, system func() (string, error)) (string, error) {
	for _, dir := range []string{flag, env} {
		if dir != "" {
			return dir, nil
		}
	}
	if base := os.Getenv(xdg); filepath.IsAbs(base) { // relative ones are to be ignored
		return filepath.Join(base, "carnet"), nil
	}
	base, err := system()
	return filepath.Join(base, "carnet"), err
}

// pins returns the pinned publishers.
func (c *command) pins() (*verify.Pins, error) {
	dir, err := c.config("publishers")
	return verify.OpenPins(dir), err
}

// states returns what was seen of the publishers.
func (c *command) states() (*verify.States, error) {
	dir, err := c.config("state")
	return verify.OpenStates(dir), err
}

// sameFolder reports whether two paths are one folder, also by links.
func sameFolder(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(x, y)
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}

// keys returns the keystore.
func (c *command) keys() (*tuf.Keystore, error) {
	if c.keystore == nil {
		dir, err := c.config("keys")
		if err != nil {
			return nil, err
		}
		c.keystore = tuf.OpenKeystore(dir, c.passphrase)
		c.keystore.Elsewhere(c.opener().Open)
	}
	return c.keystore, nil
}

// registry returns the way to all registries and image layouts.
func (c *command) registry() (*registrystore.Registries, error) {
	if c.registries != nil {
		return c.registries, nil
	}
	opts, err := c.registryOptions()
	if err != nil {
		return nil, err
	}
	c.registries, err = c.openRegistries(opts)
	return c.registries, err
}

func (c *command) openRegistries(opts registrystore.Options) (*registrystore.Registries, error) {
	if c.cache == nil {
		dir, err := folder(c.flags.cache, "", "XDG_CACHE_HOME", os.UserCacheDir)
		if err != nil {
			return nil, usagef("no cache folder: give --cache: %w", err)
		}
		c.cache = registrystore.OpenCache(dir)
	}
	regs, err := registrystore.New(opts, c.cache)
	return regs, usage(err)
}

func (c *command) registryOptions() (registrystore.Options, error) {
	f := c.flags
	opts := registrystore.Options{
		PlainHTTP: f.plainHTTP, Insecure: f.insecure, CAFile: f.caFile, Username: f.username, CredentialHost: c.loginHost,
		RegistryConfig: f.registryConfig, LayoutRoot: f.layoutRoot, UserAgent: "carnet/" + version,
	}
	if f.verbose {
		opts.Trace = func(s string) { c.detail("%s", s) }
	}
	if f.passwordStdin && c.loginPassword == "" {
		var err error
		if c.loginPassword, err = c.password("--password-stdin"); err != nil {
			return opts, err
		}
	}
	opts.Password = c.loginPassword
	return opts, nil
}

// password reads a registry's password from standard input.
func (c *command) password(flag string) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(c.stdin, maxPassword+1))
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(raw), "\r\n")
	if s == "" || len(raw) > maxPassword {
		return "", usagef("%s: want a password of at most 64 KiB on standard input", flag)
	}
	return s, nil
}

// maxPassword bounds what is read as a password, in bytes. Registries take
// tokens in its place, which can be long.
const maxPassword = 64 << 10
