package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/carnet-project/carnet/fixtures"
)

// `carnet promote` asks for no more than `oras cp -r` does for the same, beside
// what trust costs whatever is copied. Both programs are counted by the same
// registries.
func TestPeersRequests(t *testing.T) {
	p := &peers{oras: os.Getenv("CARNET_TEST_ORAS"), skopeo: os.Getenv("CARNET_TEST_SKOPEO")}
	if p.oras == "" {
		t.Skip("CARNET_TEST_ORAS names no oras: .ci/run gives it")
	}
	for kind, start := range map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{"1.0": fixtures.Distribution, "1.1": fixtures.Registry11} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			bareOras, bare := copyRequests(t, p, start, 0)
			oras, promote := copyRequests(t, p, start, 10)
			t.Logf("oras cp -r: %d; carnet promote: %d, of which trust takes %d", oras, promote, bare-bareOras)
			assert.LessOrEqual(t, 10*(promote-(bare-bareOras)), 13*oras)
		})
	}
}

// copyRequests counts what the two programs ask of both ends of a copy.
func copyRequests(t *testing.T, p *peers, start func(testing.TB, ...fixtures.Option) *fixtures.Registry, referrers int) (oras, promote int) {
	dev, from, byOras, byCarnet := fixtures.Registry11(t), start(t), start(t), start(t)
	repo := from.Repository(t, "net-monitor")
	image := repo.PushImage(t, "1.0", "one")
	for i := range referrers {
		repo.PushReferrer(t, image, "application/vnd.example.note", fmt.Sprint("note ", i))
	}
	d := newDesk(t, p, "DEV="+local(dev.Host), "A="+local(from.Host), "B="+local(byOras.Host), "C="+local(byCarnet.Host))
	d.must(`carnet init $DEV/trust --publisher wabbit --no-passphrase
carnet key generate dev --no-passphrase
carnet delegate add releases --path net-monitor --key dev
carnet sign $A/net-monitor:1.0`)
	count := func(to *fixtures.Registry, command string) int {
		from.Reset()
		d.must(command)
		return len(from.Requests()) + len(to.Requests())
	}
	oras = count(byOras, "oras cp -r $A/net-monitor:1.0 $B/net-monitor:1.0")
	return oras, count(byCarnet, "carnet promote $A/net-monitor:1.0 $C/net-monitor:1.0 --publisher wabbit")
}
