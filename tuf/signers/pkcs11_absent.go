//go:build !pkcs11

package signers

import (
	"context"
	"fmt"

	"github.com/carnet-project/carnet/tuf"
)

// lookPKCS11 checks the URI and says what is missing: modules are loaded by
// C, which a program without it cannot do.
func (o *Opener) lookPKCS11(_ context.Context, uri string) (Found, error) {
	if _, err := parsePKCS11(uri); err != nil {
		return Found{}, err
	}
	return Found{}, fmt.Errorf("%w: this program was built without PKCS#11: build it with `make build-pkcs11` (go build -tags pkcs11, which needs cgo)", tuf.ErrNoKey)
}
