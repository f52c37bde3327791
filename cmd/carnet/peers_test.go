package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

// peers is a publisher, what it vouches for in three source registries, and
// what is known of it elsewhere.
type peers struct {
	oras, skopeo string // programs
	dev          *fixtures.Registry
	home         *desk             // of the publisher
	root, hash   string            // digest of its root; what ends the tags of its evidence
	sources      map[string]string // hosts by kind
	shipments    map[string]shipment
	policy       string // of docs/operations.md
	mirror       string // of the trust repository
	remembers    *desk  // verified something else before
}

// newPeers signs at one place and promotes to all sources.
func newPeers(t *testing.T, oras, policy string) *peers {
	debian := os.Getenv("CARNET_TEST_REGISTRY")
	p := &peers{oras: oras, skopeo: os.Getenv("CARNET_TEST_SKOPEO"), dev: fixtures.Registry11(t), policy: policy}
	require.NotEmpty(t, p.skopeo, "CARNET_TEST_SKOPEO: the program skopeo")
	require.NotEmpty(t, debian, "CARNET_TEST_REGISTRY: the address of a running docker-registry")
	p.sources = map[string]string{"2.8": local(debian), "3": local(fixtures.Distribution(t).Host), "1.1": local(fixtures.Registry11(t).Host)}
	p.shipments = shipments(t, p.dev.Repository(t, "net-monitor"))
	dev, near := local(p.dev.Host), local(fixtures.Distribution(t).Host)
	p.mirror = near + "/trust"
	p.home = newDesk(t, p, "DEV="+dev, "NEAR="+near)
	out := p.home.must(`carnet init $DEV/trust --publisher wabbit --no-passphrase
carnet key generate dev --no-passphrase
carnet delegate add releases --path net-monitor --key dev
carnet sign --recursive $DEV/net-monitor:1.0 $DEV/net-monitor:2.0 $DEV/net-monitor:3.0
carnet sync $DEV/trust $NEAR/trust
carnet export $DEV/trust site`)
	p.root = regexp.MustCompile(`(?m)^root +(sha256:[0-9a-f]{64})$`).FindStringSubmatch(out)[1]
	for _, host := range p.sources {
		for tag := range p.shipments {
			p.home.must(fmt.Sprintf("carnet promote --move $DEV/net-monitor:%s %s/net-monitor:%s --publisher wabbit", tag, host, tag))
		}
	}
	p.hash = publisherHash(t, repositoryAt(t, p.sources["3"]+"/net-monitor"))
	p.remembers = newDesk(t, p, "DEV="+dev)
	p.remembers.must("carnet trust add wabbit $DEV/trust --root-digest " + p.root + "\ncarnet verify $DEV/net-monitor:1.0 --publisher wabbit")
	return p
}

// local is a host by a name under which every tool takes it without TLS.
func local(host string) string { return strings.Replace(host, "127.0.0.1", "localhost", 1) }

// routes are from which source to which kind of destination is copied.
var routes = []struct{ from, to string }{{"2.8", "3"}, {"3", "1.1"}, {"1.1", "3"}}

// The table of docs/operations.md says what is left of a signed artifact after
// another tool copied it, and what a verifier needs then. Each row's command is
// run with the real tools; what arrived is looked at by another client than
// Carnet's, and then verified.
func TestPeers(t *testing.T) {
	rows := peerTable(t)
	oras := os.Getenv("CARNET_TEST_ORAS")
	if oras == "" {
		t.Skip("CARNET_TEST_ORAS, CARNET_TEST_SKOPEO and CARNET_TEST_REGISTRY name no oras, skopeo and docker-registry: .ci/run gives them")
	}
	p := newPeers(t, oras, yamlBlock(t))
	for _, row := range rows {
		for _, route := range routes {
			if row.from != "any" && (row.from == "1.1") != (route.from == "1.1") {
				continue
			}
			for _, kind := range strings.Split(row.of, ", ") {
				t.Run(strings.Join([]string{route.from, route.to, kind, row.command}, " "), func(t *testing.T) {
					t.Parallel()
					to := map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{"3": fixtures.Distribution, "1.1": fixtures.Registry11}[route.to]
					c := newCarried(t, p, row, kind, p.sources[route.from], to(t))
					c.desk.must(row.command)
					want := row
					want.of, want.from = kind, "any"
					c.measure()
					assert.Equal(t, want, c.found)
					c.verify(row.needs)
				})
			}
		}
	}
}

// The table has every way that this project promises to know.
func TestPeersTableIsWhole(t *testing.T) {
	var ways []string
	for _, r := range peerTable(t) {
		ways = append(ways, r.command)
	}
	all := strings.Join(ways, "\n")
	for _, want := range []string{
		"oras cp -r $A/", "oras cp $A/", "oras cp -r --to-oci-layout $A/", "oras cp -r --from-oci-layout", "oras cp -r $B/",
		"skopeo copy docker://$A/", "skopeo copy --all docker://$A/", "skopeo copy --all oci:", "$EVIDENCE", "skopeo sync", "--preserve-digests", "mirror/", "carnet promote $A/",
		"carnet load", "oras cp -r --from-oci-layout-path moved.tar", "skopeo copy --all oci-archive:",
	} {
		assert.Contains(t, all, want, "%s: %s", operationsFile, peersHeading)
	}
}

// peerRow is a row of the table: what a copy left.
type peerRow struct {
	command, from, of, digest, referrers, evidence, needs string
}

const peersHeading = "What other tools carry"

// peersSection returns the section's text.
func peersSection(t *testing.T) string {
	raw, err := os.ReadFile(filepath.FromSlash(operationsFile))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(raw), "\n## "+peersHeading+"\n")
	require.True(t, ok, "no section %q", peersHeading)
	section, _, _ := strings.Cut(after, "\n## ")
	return section
}

// peerTable reads the table.
func peerTable(t *testing.T) []peerRow {
	var rows []peerRow
	for line := range strings.Lines(peersSection(t)) {
		cells := strings.Split(strings.Trim(line, " |\n"), " | ")
		if len(cells) != 7 || !strings.HasPrefix(cells[0], "`") {
			continue
		}
		rows = append(rows, peerRow{strings.Trim(cells[0], "`"), cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]})
	}
	require.Greater(t, len(rows), 10)
	return rows
}

func yamlBlock(t *testing.T) string {
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(peersSection(t))
	require.Len(t, m, 2)
	return m[1]
}

// subjects are the manifests that others refer to, what the tag names first.
func (s shipment) subjects() []digest.Digest {
	out := []digest.Digest{s.top.Digest}
	for _, d := range s.images {
		out = append(out, d.Digest)
	}
	return out
}

// some says how many of a set are there, in the words of the table.
func some(got, all []digest.Digest, own digest.Digest) string {
	slices.SortFunc(got, func(a, b digest.Digest) int { return cmp.Compare(a, b) })
	got = slices.Compact(got)
	switch {
	case len(got) == 0:
		return "none"
	case len(got) == len(all):
		return "all"
	case len(got) == 1 && got[0] == own:
		return "its own"
	}
	return fmt.Sprintf("%d of %d", len(got), len(all))
}
