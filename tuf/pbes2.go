package tuf

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"slices"
)

// What deriving a key from a passphrase may cost: a file that asks for more
// was made to burn the reader's time or memory. OpenSSL's defaults are 2,048
// rounds, and 16 MiB.
const (
	maxPBKDF2Rounds = 10_000_000
	maxScryptMemory = 1 << 30 // bytes
	maxScryptWork   = 4 << 30 // bytes, all lanes
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}    // RFC 8018, appendix A.4
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}    // RFC 8018, appendix A.2
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11} // RFC 7914, section 7
)

// hashes of PBKDF2 that the parser knows (RFC 8018, appendix B.1).
var pbkdf2Hashes = []asn1.ObjectIdentifier{
	{1, 2, 840, 113549, 2, 7}, // HMAC with SHA-1
	{1, 2, 840, 113549, 2, 9}, // HMAC with SHA-256
}

const convert = "convert it with `openssl pkcs8 -topk8 -in OLD -out NEW`"

// checkPBES2 refuses encrypted PKCS#8 (RFC 8018) that no passphrase would open,
// because it is encrypted in another way, and such whose passphrase is too
// expensive to try. What it cannot read it leaves to the parser.
func checkPBES2(raw []byte) error {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "ENCRYPTED PRIVATE KEY" {
		return nil
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(block.Bytes, &info); err != nil {
		return nil
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return fmt.Errorf("%w: a private key that is encrypted in an old way: %s", ErrUnknownKey, convert)
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil
	}
	params := scheme.KDF.Parameters.FullBytes
	switch {
	case scheme.KDF.Algorithm.Equal(oidPBKDF2):
		return checkPBKDF2(params)
	case scheme.KDF.Algorithm.Equal(oidScrypt):
		return checkScrypt(params)
	}
	return nil
}

func checkPBKDF2(params []byte) error {
	var p struct {
		Salt   []byte
		Rounds int
		Length int                      `asn1:"optional"`
		PRF    pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil
	}
	if prf := p.PRF.Algorithm; len(prf) > 0 && !slices.ContainsFunc(pbkdf2Hashes, prf.Equal) {
		return fmt.Errorf("%w: a private key whose passphrase is hashed in a way that is not known (%s): %s", ErrUnknownKey, prf, convert)
	}
	if p.Rounds > maxPBKDF2Rounds {
		return fmt.Errorf("%w: the private key's passphrase costs %d rounds of PBKDF2: want at most %d", ErrUnknownKey, p.Rounds, maxPBKDF2Rounds)
	}
	return nil
}

func checkScrypt(params []byte) error {
	var p struct {
		Salt    []byte
		N, R, P int64
		Length  int `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil
	}
	const small = 1 << 24 // nothing overflows below
	memory := 128 * p.N * p.R
	if p.N > small || p.R > small || p.P > small || memory > maxScryptMemory || p.P > maxScryptWork/max(memory, 1) {
		return fmt.Errorf("%w: the private key's passphrase costs scrypt with N %d, r %d, p %d: want at most %d MiB", ErrUnknownKey, p.N, p.R, p.P, maxScryptMemory>>20)
	}
	return nil
}
