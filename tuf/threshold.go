package tuf

import (
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// ThresholdError says that a file is not signed by enough of the keys that
// its delegator lists.
type ThresholdError struct {
	Role    string
	Version int64
	Want    int // signatures by that many different keys
	Got     int
}

func (e *ThresholdError) Error() string {
	return fmt.Sprintf("%s version %d: want signatures by %d of its keys, found %d that verify", e.Role, e.Version, e.Want, e.Got)
}

// Is makes errors.Is(err, ErrThreshold) true.
func (e *ThresholdError) Is(target error) bool { return target == ErrThreshold }

// VerifyThreshold checks that f is signed by at least the threshold of the
// keys that rk lists out of keys (TUF 5.3.4, 5.4.2, 5.5.3, 5.6.3). Keys count
// by their material: the same key under two IDs is one. Signatures by other
// keys, malformed ones and unusable keys count for nothing.
func VerifyThreshold(role string, f *metadata.File, keys metadata.Keys, rk metadata.RoleKeys) error {
	signers, err := Signers(f, keys, rk)
	if err != nil {
		return err
	}
	if rk.Threshold < 1 || len(signers) < rk.Threshold {
		return &ThresholdError{Role: role, Version: f.Version, Want: max(rk.Threshold, 1), Got: len(signers)}
	}
	return nil
}

// Signers returns the identities of those keys of rk whose signatures on f
// verify, each with the key ID it signed under.
func Signers(f *metadata.File, keys metadata.Keys, rk metadata.RoleKeys) (map[string]string, error) {
	listed := make(map[string]bool, len(rk.KeyIDs))
	for _, id := range rk.KeyIDs {
		listed[id] = true
	}
	found := map[string]string{}
	for _, s := range f.Signatures {
		key, ok := keys[s.KeyID]
		if !ok || !listed[s.KeyID] || s.Sig == nil {
			continue
		}
		id, err := KeyIdentity(key)
		if err != nil || found[id] != "" {
			continue
		}
		if VerifySignature(key, f.Signed, s.Sig) == nil {
			found[id] = s.KeyID
		}
	}
	return found, nil
}
