package main

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// verifyFlags are what a decision can be asked with.
type verifyFlags struct {
	publisher, policy           string
	maxAge                      time.Duration
	floors                      floors
	at                          instant
	resolve, recursive, offline bool
}

func newVerify(c *command) *cobra.Command {
	f := verifyFlags{floors: floors{}}
	cmd := &cobra.Command{
		Use:     "verify REF...",
		Short:   "Decide whether artifacts may be used",
		GroupID: groupVerifier,
		Long: `Verify decides about each REF by the policy, or by --publisher alone: is this name,
at this tag, at this digest, still vouched for, and how old is that statement? It
prints a decision for each, with -o json one line of JSON for each. A tag and a
digest in one REF must agree.

It exits with 0 if all are allowed, with 1 if one is not, else with 3 if one could
not be decided.`,
		Example: `  carnet verify registry.example/prod/net-monitor:1.0
  carnet verify --publisher wabbit oci:net-monitor:1.0 -o json
  docker pull "registry.example/net-monitor@$(carnet verify --resolve -o json registry.example/net-monitor:1.0 | jq -r .results[0].signedDigest)"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneFlag(cmd, "publisher", "policy"); err != nil {
				return err
			}
			if cmd.Flags().Changed("publisher") && f.publisher == "" {
				return usagef("--publisher is empty: name a pinned publisher, or leave it out to decide by the policy")
			}
			return c.verify(cmd.Context(), f, args)
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.publisher, "publisher", "", "pinned publisher whose word alone decides, in place of a policy")
	policyFlag(cmd, &f.policy)
	set.DurationVar(&f.maxAge, "max-age", 0, "greatest age of a publisher's word, in place of the policy's")
	set.Var(f.floors, "floor", "`NAME=ROOT.TIMESTAMP`: refuse older metadata of this publisher; may be repeated")
	set.BoolVar(&f.resolve, "resolve", false, "accept the signed digest of a tag also where the registry's tag has another")
	set.BoolVar(&f.recursive, "recursive", false, "decide about the manifests of an index and about all that refers to the artifact too")
	set.Var(&f.at, "at", "decide as of this `time` (RFC 3339) with the metadata of now")
	set.BoolVar(&f.offline, "offline", false, "open no socket: decide from image layouts and from what was seen before")
	return cmd
}

func (c *command) verify(ctx context.Context, f verifyFlags, args []string) error {
	refs, err := c.references(args)
	if err != nil {
		return err
	}
	if f.offline && f.recursive && slices.ContainsFunc(refs, func(r registrystore.Reference) bool { return !r.IsLayout() }) {
		return usagef("--recursive with --offline: a registry's referrers cannot be listed offline; name them by digest, or use an image layout")
	}
	policy, err := c.policyOf(f)
	if err != nil {
		return err
	}
	v, err := c.verifier(f, policy)
	if err != nil {
		return err
	}
	decide := v.Verify
	if f.recursive {
		decide = v.VerifyRecursive
	}
	decisions, err := decide(ctx, refs...)
	if err != nil {
		return err
	}
	return c.answerDecisions(decisions)
}

func (c *command) references(args []string) ([]registrystore.Reference, error) {
	refs := make([]registrystore.Reference, len(args))
	for i, arg := range args {
		var err error
		if refs[i], err = registrystore.ParseReference(arg, c.flags.layoutRoot); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func (c *command) verifier(f verifyFlags, policy *verify.Policy) (*verify.Verifier, error) {
	regs, err := c.registry()
	if err != nil {
		return nil, err
	}
	return c.verifierOver(regs, f, policy)
}

func (c *command) verifierOver(regs *registrystore.Registries, f verifyFlags, policy *verify.Policy) (*verify.Verifier, error) {
	states, err := c.states()
	if err != nil {
		return nil, err
	}
	v, err := verify.New(verify.Options{
		Registries: regs, Policy: policy, States: states, Now: c.now, At: f.at.Time, Offline: f.offline,
		MaxAge: f.maxAge, Floors: f.floors, Resolve: f.resolve,
	})
	return v, usage(err)
}

func (c *command) policyOf(f verifyFlags) (*verify.Policy, error) {
	if f.publisher == "" {
		return c.policy(f.policy)
	}
	pins, err := c.pins()
	if err != nil {
		return nil, err
	}
	return verify.PublisherPolicy(pins, f.publisher)
}

func (c *command) answerDecisions(decisions []verify.Decision) error {
	for _, d := range decisions {
		for _, note := range d.Notes {
			c.say("%s: %s", d.Reference, note)
		}
	}
	err := c.answerLines(func(enc *json.Encoder) error {
		for _, d := range decisions {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}, func(w io.Writer) {
		for _, d := range decisions {
			_, _ = io.WriteString(w, c.decisionText(d))
		}
	})
	if err != nil {
		return err
	}
	if code := verify.ExitCode(decisions); code != exitDone {
		return &exitError{code: code} // all was said
	}
	return nil
}

// decisionText colours the verdict in the decision's first line.
func (c *command) decisionText(d verify.Decision) string {
	color := map[verify.Verdict]string{verify.Allowed: green, verify.Denied: red, verify.Undecided: yellow}[d.Verdict]
	first, rest, _ := strings.Cut(d.Text(), "\n")
	return c.paint(color, first) + "\n" + rest
}

// floors is the flag --floor.
type floors map[string]verify.Floor

func (f floors) String() string { return "" }
func (f floors) Type() string   { return "floor" }

func (f floors) Set(s string) error {
	name, text, ok := strings.Cut(s, "=")
	floor, parsed := parseFloor(text)
	if !ok || name == "" || !parsed {
		return usagef("want NAME=ROOT.TIMESTAMP, like wabbit=3.1207")
	}
	f[name] = floor
	return nil
}

func parseFloor(s string) (verify.Floor, bool) {
	root, timestamp, dotted := strings.Cut(s, ".")
	r, errR := strconv.ParseUint(root, 10, 53)
	t, errT := strconv.ParseUint(timestamp, 10, 53)
	return verify.Floor{Root: int64(r), Timestamp: int64(t)}, dotted && errR == nil && errT == nil && r > 0
}

// floorFlag is the flag --floor of a command that is about one publisher.
type floorFlag verify.Floor

func (f *floorFlag) String() string { return "" }
func (f *floorFlag) Type() string   { return "floor" }

func (f *floorFlag) Set(s string) error {
	floor, ok := parseFloor(s)
	if !ok {
		return usagef("want ROOT.TIMESTAMP, like 3.1207")
	}
	*f = floorFlag(floor)
	return nil
}

// instant is a flag that takes a time.
type instant struct{ time.Time }

func (t *instant) Type() string { return "time" }

func (t *instant) String() string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

func (t *instant) Set(s string) error {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return usagef("want a time like 2026-11-23T15:04:05Z")
	}
	t.Time = at
	return nil
}
