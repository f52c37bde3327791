# make test    every test; no network but Go modules
# make test-pkcs11  those of keys on tokens, with Debian's softhsm2 and a C compiler
# make build   bin/carnet
# make build-pkcs11  bin/carnet with PKCS#11, which needs cgo
# make demo    the story of Wabbit Networks and ACME Rockets, played with bin/carnet on image layouts;
#              make demo DIR=/tmp/demo keeps the folder
# make bench   a table of what verification, signing and promotion cost, next to go-tuf and oras
# make oras    bin/oras, against which promotion is measured
# make check   formatting, vet, staticcheck, module files

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ORAS        := oras.land/oras/cmd/oras@v1.3.6

VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: test build build-pkcs11 test-pkcs11 demo bench oras check

test:
	$(GO) test ./...

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/carnet ./cmd/carnet
	@stat -c '%n: %s bytes' bin/carnet

build-pkcs11:
	CGO_ENABLED=1 $(GO) build -tags pkcs11 -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/carnet ./cmd/carnet

test-pkcs11:
	$(GO) vet -tags pkcs11 ./tuf/signers ./cmd/carnet
	$(GO) test -tags pkcs11 ./tuf/signers
	$(GO) test -tags pkcs11 -run '^TestPKCS11$$' ./cmd/carnet

demo: build
	$(GO) build -trimpath -o bin/carnet-demo ./cmd/carnet-demo
	bin/carnet-demo $(if $(DIR),-dir $(DIR))

oras:
	GOBIN=$(CURDIR)/bin $(GO) install $(ORAS)

bench: build
	@rm -f bin/oras
	@$(MAKE) oras || echo "oras could not be built: promotion is not measured against it"
	$(GO) run ./cmd/carnet-bench -carnet bin/carnet $$(test ! -x bin/oras || echo -oras bin/oras)

check:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w needed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) mod verify
