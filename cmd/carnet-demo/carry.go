package main

import (
	"context"
	"fmt"
)

// vault is a machine of ACME's that no network reaches.
const vault = "export CARNET_CONFIG=$PWD/vault XDG_CACHE_HOME=$PWD/vault/cache; unset CARNET_PASSPHRASE"

func (s *story) vault() { s.as("a machine of ACME Rockets without a network", vault) }

// vaultPolicy is ACME's own, and believes metadata that comes by hand for a day.
const vaultPolicy = `cat >vault/policy.yaml <<'END'
version: 1
rules:
  - name: vault
    scope: oci:**
    level: enforce
    require:
      - publisher: wabbit
        role: releases
        claims: {stage: prod}
        max-staleness: 24h
END`

// carry moves what is trusted into ACME's registry, and on to where there is
// no network; withdrawals follow, and the image is not moved again.
func (s *story) carry(ctx context.Context) error {
	s.scene("ACME Rockets carries it into a registry of its own, and over an air gap")
	s.acme()
	s.promote(ctx)
	s.play(ctx, step{
		title: "mirror Wabbit's metadata", line: "carnet sync oci:registry/trust oci:acme/registry/trust",
		says: []string{"acme/registry/trust has state"},
	})
	s.play(ctx, step{
		title: "put the image, what is attached, and the metadata into one file",
		line:  "carnet save -f net-monitor.tar oci:acme/registry/net-monitor:1.1 oci:registry/trust",
		says:  []string{"saved 1 artifact", "of wabbit: state"},
	})
	s.vault()
	s.play(ctx, step{
		title: "pin Wabbit by its root's digest, which came on paper",
		line:  "carnet trust add wabbit oci:vault/registry/trust --root-digest " + s.root + " --archive net-monitor.tar",
	})
	s.play(ctx, step{title: "write a policy: metadata may be a day late", line: vaultPolicy})
	s.play(ctx, step{title: "verify all of the file, and load it", line: "carnet load -f net-monitor.tar oci:vault/registry", says: []string{"loaded 1 artifact"}})
	s.passes(ctx, "the image, with no network", "--offline oci:vault/registry/net-monitor:1.1")
	return s.follow(ctx)
}

func (s *story) promote(ctx context.Context) {
	s.play(ctx, step{
		title: "copy version 1.1 with all that is attached, and the evidence of who vouches for it",
		line:  "carnet promote oci:registry/net-monitor:1.1 oci:acme/registry/net-monitor:1.1",
		says:  []string{s.v11, "the evidence of wabbit is attached", "verifies there: yes", "by what is attached alone: yes"},
	})
	s.play(ctx, step{
		title: "what was withdrawn is not copied", line: "carnet promote oci:registry/net-monitor:1.0 oci:acme/registry/net-monitor:1.0",
		exit: 1, why: "revoked", says: []string{"is not promoted", "wabbit: revoked:"},
	})
}

// follow withdraws what was carried far away.
func (s *story) follow(ctx context.Context) error {
	s.scene("Wabbit withdraws what was carried away: the word follows, the image stays where it is")
	s.wabbit()
	s.play(ctx, step{
		title: "withdraw version 1.1", says: []string{"withdrawn: " + s.v11},
		line: "carnet revoke artifact oci:registry/net-monitor:1.1 --reason 'it was built on a stolen laptop'",
	})
	s.acme()
	s.play(ctx, step{
		title: "save the metadata alone, and of that what is new", line: "carnet save -f news.tar --since net-monitor.tar oci:registry/trust",
		says: []string{"of wabbit: state"},
	})
	s.vault()
	s.play(ctx, step{title: "load it", line: "carnet load -f news.tar oci:vault/registry", says: []string{"vault/registry/trust has state"}})
	s.rejected(ctx, "what was loaded before", "--offline oci:vault/registry/net-monitor:1.1", "revoked", "stolen laptop")
	s.wabbit()
	s.play(ctx, step{title: "it was a false alarm: take the withdrawal back", line: fmt.Sprintf("carnet revoke artifact net-monitor@%s --undo", s.v11)})
	s.acme()
	s.passes(ctx, "the image at Wabbit's", "oci:registry/net-monitor:1.1")
	return nil
}
