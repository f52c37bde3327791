//go:build pkcs11

package signers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/carnet-project/carnet/tuf"
)

// PKCS#11 3.0 has these, and the binding does not yet.
const (
	ckkECEdwards = 0x40
	ckmEdDSA     = 0x1057
)

// publicKey returns the one public key that t names.
func (tok *token) publicKey(t pkcs11URI) (*tokenKey, error) {
	tok.mu.Lock()
	defer tok.mu.Unlock()
	found, err := tok.objects(t.template(pkcs11.CKO_PUBLIC_KEY, nil))
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("%w: the token %q has no such public key, which must lie beside the private one", tuf.ErrNoKey, tok.label)
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %d keys of the token %q fit, with the ids %s: name one by id", ErrAmbiguous, len(found), tok.label, tok.ids(found))
	}
	k := &tokenKey{token: tok, uri: t}
	if id, err := tok.attribute(found[0], pkcs11.CKA_ID); err == nil {
		k.id = id
	}
	public, err := tok.material(found[0])
	if err != nil {
		return nil, err
	}
	k.key, err = tuf.NewKey(public)
	return k, err
}

// ids writes down the ids of objects as a URI takes them.
func (tok *token) ids(objects []pkcs11.ObjectHandle) string {
	var out []string
	for _, o := range objects[:min(len(objects), 8)] {
		id, _ := tok.attribute(o, pkcs11.CKA_ID)
		s := ""
		for _, b := range id {
			s += fmt.Sprintf("%%%02x", b)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func (tok *token) attribute(o pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	v, err := tok.module.GetAttributeValue(tok.session, o, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil {
		return nil, tok.failed("read the key", err)
	}
	if len(v) != 1 {
		return nil, tok.failed("read the key", fmt.Errorf("%d attributes where one was asked for", len(v)))
	}
	return v[0].Value, nil
}

// material reads a public key object.
func (tok *token) material(o pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	kind, err := tok.attribute(o, pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return nil, err
	}
	switch number(kind) {
	case pkcs11.CKK_RSA:
		return tok.rsaKey(o)
	case pkcs11.CKK_EC:
		return tok.ecdsaKey(o)
	case ckkECEdwards:
		return tok.edwardsKey(o)
	}
	return nil, fmt.Errorf("%w: a key of PKCS#11 type %#x: want RSA, ECDSA P-256 or P-384, or Ed25519", tuf.ErrUnknownKey, number(kind))
}

// number reads a CK_ULONG, which has the machine's size and order.
func number(raw []byte) uint64 {
	switch len(raw) {
	case 8:
		return binary.NativeEndian.Uint64(raw)
	case 4:
		return uint64(binary.NativeEndian.Uint32(raw))
	}
	return 1<<64 - 1
}

func (tok *token) rsaKey(o pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	n, err := tok.attribute(o, pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, err
	}
	raw, err := tok.attribute(o, pkcs11.CKA_PUBLIC_EXPONENT)
	if err != nil {
		return nil, err
	}
	e := new(big.Int).SetBytes(raw)
	if e.BitLen() > 31 {
		return nil, fmt.Errorf("%w: an RSA exponent of %d bits", tuf.ErrUnknownKey, e.BitLen())
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e.Int64())}, nil
}

// The curves of RFC 5480, section 2.1.1.1.
var curves = map[string]elliptic.Curve{
	"1.2.840.10045.3.1.7": elliptic.P256(),
	"1.3.132.0.34":        elliptic.P384(),
}

func (tok *token) ecdsaKey(o pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	raw, err := tok.attribute(o, pkcs11.CKA_EC_PARAMS)
	if err != nil {
		return nil, err
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(raw, &oid); err != nil {
		return nil, fmt.Errorf("%w: its curve is not named", tuf.ErrUnknownKey)
	}
	curve := curves[oid.String()]
	if curve == nil {
		return nil, fmt.Errorf("%w: the curve %s: want P-256 or P-384", tuf.ErrUnknownKey, oid)
	}
	point, err := tok.point(o, 1+2*((curve.Params().BitSize+7)/8))
	if err != nil {
		return nil, err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", tuf.ErrUnknownKey, err)
	}
	return public, nil
}

func (tok *token) edwardsKey(o pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	point, err := tok.point(o, ed25519.PublicKeySize) // Ed448 has more
	if err != nil {
		return nil, err
	}
	return ed25519.PublicKey(point), nil
}

// point reads CKA_EC_POINT, of size bytes: an OCTET STRING, or as some tokens
// have it the bytes alone.
func (tok *token) point(o pkcs11.ObjectHandle, size int) ([]byte, error) {
	raw, err := tok.attribute(o, pkcs11.CKA_EC_POINT)
	if err != nil || len(raw) == size {
		return raw, err
	}
	var inner []byte
	if rest, err := asn1.Unmarshal(raw, &inner); err != nil || len(rest) != 0 || len(inner) != size {
		return nil, fmt.Errorf("%w: a point of %d bytes: want %d", tuf.ErrUnknownKey, len(raw), size)
	}
	return inner, nil
}

// mechanism is what signs in the key's scheme (PKCS#11 3.0, section 2).
func (k *tokenKey) mechanism() *pkcs11.Mechanism {
	switch k.key.Type {
	case "ed25519":
		return pkcs11.NewMechanism(ckmEdDSA, nil)
	case "rsa":
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32))
	}
	return pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)
}

// encode makes of a token's signature one as metadata has it: ECDSA is two
// numbers in DER, where tokens give them side by side.
func (k *tokenKey) encode(sig []byte) ([]byte, error) {
	if k.key.Type != "ecdsa" {
		return sig, nil
	}
	half := len(sig) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
}
