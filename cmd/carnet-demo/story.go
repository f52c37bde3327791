package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// story is Wabbit Networks publishing net-monitor, ACME Rockets consuming it,
// and somebody with push access to the registry between them.
type story struct {
	*stage
	lifetime time.Duration // of the timestamp
	root     string        // digest of Wabbit's root, handed over out of band
	v10, v11 string        // digests of the images
	attached []string      // digests of what is attached to version 1.1
}

// The people, and what each types first.
const (
	wabbit   = "export CARNET_CONFIG=$PWD/wabbit XDG_CACHE_HOME=$PWD/wabbit/cache CARNET_PASSPHRASE='correct horse battery'"
	acme     = "export CARNET_CONFIG=$PWD/acme XDG_CACHE_HOME=$PWD/acme/cache; unset CARNET_PASSPHRASE"
	attacker = "unset CARNET_CONFIG XDG_CACHE_HOME CARNET_PASSPHRASE"
)

func (s *story) wabbit()   { s.as("Wabbit Networks, the publisher", wabbit) }
func (s *story) acme()     { s.as("ACME Rockets, a verifier", acme) }
func (s *story) attacker() { s.as("somebody with push access to the registry, and no key", attacker) }

// tell plays all scenes. It ends early if a scene has not what it needs.
func (s *story) tell(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{s.publish, s.consume, s.attack, s.withdraw, s.carry, s.freeze} {
		if err := errors.Join(scene(ctx), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

var (
	digestForm = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	rootForm   = regexp.MustCompile(`(?m)^root +(sha256:[0-9a-f]{64})$`)
)

func (s *story) publish(ctx context.Context) error {
	s.scene("Wabbit Networks publishes net-monitor: the carnet program itself, with its SBOM and a scan result")
	s.wabbit()
	one := s.image(ctx, "pack version 1.0 as an image, and attach SBOM and scan result", "1.0")
	two := s.image(ctx, "the same for version 1.1", "1.1")
	s.play(ctx, step{title: "make a key for releases", line: "carnet key generate wabbit-releases", says: []string{"private encrypted"}})
	o := s.play(ctx, step{
		title: fmt.Sprintf("make the publisher; its word holds for %s", s.lifetime),
		line:  fmt.Sprintf("carnet init oci:registry/trust --publisher wabbit --expiry timestamp=%s", s.lifetime),
		says:  []string{"carnet trust add wabbit oci:", "/registry/trust --root-digest sha256:"},
	})
	m := rootForm.FindStringSubmatch(o.stdout)
	if m == nil || len(one) != 3 || len(two) != 3 {
		return errors.New("the story ends here: there is no root or no image to go on with")
	}
	s.root, s.v10, s.v11, s.attached = m[1], one[0], two[0], two[1:]
	s.play(ctx, step{
		title: "trust the key for releases with net-monitor, and with nothing else",
		line:  "carnet delegate add releases --path net-monitor --key wabbit-releases",
		says:  []string{"releases is trusted with net-monitor by targets"},
	})
	if err := s.begin(step{title: "keep Wabbit's word fresh", line: fmt.Sprintf("carnet refresh --every %s", s.lifetime/5), says: []string{"fresh until"}}); err != nil {
		return err
	}
	s.play(ctx, step{
		title: "sign both images and all that is attached to them, in one publication",
		line:  "carnet sign --recursive --claim stage=prod oci:registry/net-monitor:1.0 oci:registry/net-monitor:1.1",
		says:  []string{"releases vouches for net-monitor:1.0 at " + s.v10, "releases vouches for net-monitor:1.1 at " + s.v11, "published as state"},
	})
	s.play(ctx, step{title: "show how the publisher stands", line: "carnet status", says: []string{"releases", "withdrawn 0"}})
	return nil
}

// image packs an image and returns its digest, and those of its SBOM and scan
// result.
func (s *story) image(ctx context.Context, title, version string) []string {
	o := s.play(ctx, step{
		title: title,
		line:  fmt.Sprintf(`carnet-demo image "$(command -v carnet)" oci:registry/net-monitor:%s`, version),
		says:  []string{mediaTypeSBOM, mediaTypeScan},
	})
	return digestForm.FindAllString(o.stdout, -1)
}

// policy is what ACME demands: of every image layout, that Wabbit's role for
// releases vouches for it, for production.
const policy = `cat >acme/policy.yaml <<'END'
version: 1
rules:
  - name: production
    scope: oci:**
    level: enforce
    require:
      - publisher: wabbit
        role: releases
        claims: {stage: prod}
END`

func (s *story) consume(ctx context.Context) error {
	s.scene("ACME Rockets uses it: nothing is trusted before it is pinned")
	s.acme()
	s.play(ctx, step{
		title: "nobody is trusted on first use",
		line:  "carnet verify --publisher wabbit oci:registry/net-monitor:1.1",
		exit:  1, why: "unknown-publisher", says: []string{": denied", "wabbit: unknown-publisher:"},
	})
	s.play(ctx, step{
		title: "pin Wabbit's root by the digest that Wabbit handed over",
		line:  "carnet trust add wabbit oci:registry/trust --root-digest " + s.root,
	})
	s.passes(ctx, "version 1.1, on Wabbit's word alone", "--publisher wabbit oci:registry/net-monitor:1.1")
	s.play(ctx, step{title: "write a policy", line: policy})
	s.play(ctx, step{title: "check the policy", line: "carnet policy check"})
	s.passes(ctx, "the tag", "oci:registry/net-monitor:1.1")
	s.passes(ctx, "the digest, for a program to read", "-o json oci:registry/net-monitor@"+s.v10)
	s.passes(ctx, "the image with its SBOM and its scan result", "--recursive oci:registry/net-monitor:1.1", s.attached...)
	s.play(ctx, step{
		title: "show what is attached, and what each is vouched for by",
		line:  "carnet tree oci:registry/net-monitor:1.1",
		says:  []string{mediaTypeSBOM, mediaTypeScan, "wabbit: ok:"},
	})
	return nil
}

// passes verifies what must be allowed.
func (s *story) passes(ctx context.Context, title, args string, also ...string) {
	want := []string{": allowed", "wabbit: ok:"}
	if strings.HasPrefix(args, "-o json") {
		want = []string{`"allowed":true`, `"reason":"ok"`}
	}
	s.play(ctx, step{title: title + ": passes", line: "carnet verify " + args, why: "ok", says: append(want, also...)})
}

// rejected verifies what must be denied, for that reason.
func (s *story) rejected(ctx context.Context, title, args, reason string, also ...string) {
	s.play(ctx, step{
		title: title + ": rejected", line: "carnet verify " + args,
		exit: 1, why: reason, says: append([]string{": denied", "wabbit: " + reason + ":"}, also...),
	})
}

func (s *story) attack(ctx context.Context) error {
	s.scene("The registry is attacked: what is pushed into it is not what Wabbit signed")
	s.attacker()
	s.play(ctx, step{
		title: "move tag 1.1 back to the older image, which is signed too",
		line:  "carnet-demo tag oci:registry/net-monitor:1.1 " + s.v10,
	})
	s.acme()
	s.rejected(ctx, "a tag that was moved back", "oci:registry/net-monitor:1.1", "digest-mismatch", s.v11)
	s.attacker()
	s.play(ctx, step{title: "push an image that Wabbit never signed", line: `carnet-demo image "$(command -v carnet-demo)" oci:registry/net-monitor:1.2`})
	s.play(ctx, step{title: "copy signed images to another name", line: "cp -r registry/net-monitor registry/net-viewer"})
	s.acme()
	s.rejected(ctx, "an image that was never signed", "oci:registry/net-monitor:1.2", "not-listed")
	s.rejected(ctx, "a signed image under another name", "oci:registry/net-viewer:1.0", "not-listed")
	s.wabbit()
	s.play(ctx, step{title: "move tag 1.1 to where it belongs", line: "carnet-demo tag oci:registry/net-monitor:1.1 " + s.v11})
	s.acme()
	s.passes(ctx, "the tag, moved forward again", "oci:registry/net-monitor:1.1")
	return nil
}

func (s *story) withdraw(ctx context.Context) error {
	s.scene("Version 1.0 turns out to be bad: Wabbit withdraws it, and keeps its keys and all else")
	s.wabbit()
	s.play(ctx, step{
		title: "withdraw version 1.0",
		line:  "carnet revoke artifact oci:registry/net-monitor:1.0 --reason 'leaks credentials into its log' --advisory WABBIT-2026-001 --replaced-by oci:registry/net-monitor:1.1",
		says:  []string{"withdrawn: " + s.v10},
	})
	s.acme()
	s.rejected(ctx, "what was withdrawn, with the reason why", "oci:registry/net-monitor:1.0", "revoked",
		"leaks credentials into its log", "WABBIT-2026-001", "oci:registry/net-monitor:1.1")
	s.passes(ctx, "what replaces it", "oci:registry/net-monitor:1.1")
	return nil
}

func (s *story) freeze(ctx context.Context) error {
	s.scene("The registry is frozen, and then set back: nothing new comes from Wabbit")
	s.wabbit()
	s.end("the refreshing stops")
	o := s.play(ctx, step{title: "see until when Wabbit's last word holds", line: "carnet status -o json", says: []string{`"role":"timestamp"`}})
	expires, err := timestampExpiry(o.stdout)
	if err != nil {
		return err
	}
	left := max(time.Until(expires).Truncate(time.Second)+time.Second, 0)
	s.play(ctx, step{title: "wait until after " + expires.Format(time.TimeOnly), line: fmt.Sprintf("sleep %d", int(left.Seconds()))})
	s.acme()
	s.rejected(ctx, "a word that has expired", "oci:registry/net-monitor:1.1", "expired")
	s.attacker()
	s.play(ctx, step{title: "keep a copy of Wabbit's metadata as it is now", line: "cp -r registry/trust old-trust"})
	s.wabbit()
	s.play(ctx, step{title: "refresh", line: "carnet refresh", says: []string{"published as state"}})
	s.acme()
	s.passes(ctx, "the same image, after the refresh", "oci:registry/net-monitor:1.1")
	s.attacker()
	s.play(ctx, step{title: "put the copy in the place of Wabbit's metadata", line: "mv registry/trust new-trust && mv old-trust registry/trust"})
	s.acme()
	s.rejected(ctx, "metadata older than what was seen before", "oci:registry/net-monitor:1.1", "rollback")
	s.wabbit()
	s.play(ctx, step{title: "put Wabbit's metadata back", line: "mv registry/trust old-trust && mv new-trust registry/trust"})
	s.play(ctx, step{title: "look back", line: "carnet log", says: []string{"refreshed", "revocations version 2", "withdrawn@" + s.v10}})
	return nil
}

// timestampExpiry reads the answer of carnet status -o json.
func timestampExpiry(answer string) (time.Time, error) {
	var status struct {
		Roles []struct {
			Role    string
			Expires time.Time
		}
	}
	if err := json.Unmarshal([]byte(answer), &status); err != nil {
		return time.Time{}, fmt.Errorf("carnet status -o json: %w", err)
	}
	for _, r := range status.Roles {
		if r.Role == "timestamp" {
			return r.Expires, nil
		}
	}
	return time.Time{}, errors.New("carnet status -o json: no timestamp in it")
}
