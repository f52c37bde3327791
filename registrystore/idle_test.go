package registrystore_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
)

// closing is a transport that counts how often its connections are closed.
type closing struct {
	http.RoundTripper
	closed int
}

func (c *closing) CloseIdleConnections() { c.closed++ }

func TestIdleConnectionsAreClosedOnDemand(t *testing.T) {
	carrier := &closing{RoundTripper: http.DefaultTransport}
	regs, err := registrystore.New(registrystore.Options{Transport: carrier, Trace: func(string) {}}, nil)
	require.NoError(t, err)
	regs.CloseIdleConnections()
	require.Equal(t, 1, carrier.closed, "a trace is not in the way")
}
