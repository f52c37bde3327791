package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"dance"}, {"image"}, {"-lifetime", "1s"}, {"-dri", "x"},
		{"image", "x", "registry.example/a:1.0"}, {"image", "x", "oci:a"},
		{"tag", "oci:a:1.0", "latest"},
	} {
		assert.ErrorIs(t, run(t.Context(), args, &bytes.Buffer{}), errUsage, args)
	}
}

func TestImageAndTag(t *testing.T) {
	where := "oci:" + filepath.Join(t.TempDir(), "a")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"image", self(t), where + ":1.0"}, &out))
	one := digestForm.FindString(out.String())
	require.NoError(t, run(t.Context(), []string{"image", self(t), where + ":1.1"}, &out))
	out.Reset()
	require.NoError(t, run(t.Context(), []string{"tag", where + ":1.1", one}, &out))
	assert.Equal(t, where+":1.1 is now "+one+"\n", out.String())
}

func TestDemoKeepsOutOfOldFolders(t *testing.T) {
	dir := t.TempDir()
	_, err := newFolder(dir)
	assert.Error(t, err)
	made, err := newFolder(filepath.Join(dir, "new"))
	require.NoError(t, err)
	assert.DirExists(t, made)
}
