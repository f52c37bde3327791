//go:build pkcs11

package main

import "testing"

// TestPKCS11 plays the scripts about keys on a token, a real SoftHSM.
func TestPKCS11(t *testing.T) { play(t, "testdata/pkcs11", nil) }
