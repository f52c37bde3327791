package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHelpIsNoWrongUsage(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"--help"}, &out))
	require.Equal(t, usageText, out.String())
	require.ErrorIs(t, run(t.Context(), []string{"--nonsense"}, &out), errUsage)
}
