//go:build race

package tuf_test

func init() { underRace = true }
