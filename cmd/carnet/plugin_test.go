package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// plugins are programs that speak sigstore's key plugin protocol, by the side
// of it that sigstore gives to their authors.
var plugins = map[string]func(){
	"sigstore-kms-test": func() { servePlugin(loadPluginKey) },
	"sigstore-kms-pkcs1v15": func() {
		servePlugin(func(path string, hash crypto.Hash) (signature.SignerVerifier, error) {
			private, err := pluginFile(path)
			if err != nil {
				return nil, err
			}
			return signature.LoadRSAPKCS1v15SignerVerifier(private.(*rsa.PrivateKey), hash)
		})
	},
	// sigstore-kms-moves signs with another key than it tells.
	"sigstore-kms-moves": func() {
		servePlugin(func(path string, hash crypto.Hash) (signature.SignerVerifier, error) {
			if strings.Contains(os.Args[2], common.SignMessageMethodName) {
				path += ".other"
			}
			return loadPluginKey(path, hash)
		})
	},
	// sigstore-kms-leaves ends and leaves a child that holds its standard output.
	"sigstore-kms-leaves": func() {
		child := exec.Command("sleep", "20")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
		servePlugin(loadPluginKey)
	},
	"sigstore-kms-bad": badPlugin,
}

// badPlugin answers badly, in the way that the key is called.
func badPlugin() {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "the plugin speaks")
	switch args.InitOptions.KeyResourceID {
	case "hang":
		time.Sleep(time.Hour)
	case "silent":
	case "dies":
		os.Exit(7)
	case "html":
		fmt.Print("<html>no</html>")
	case "empty":
		fmt.Print("{}")
	case "null":
		fmt.Print("null")
	case "pem":
		fmt.Print(`{"publicKey":{"publicKeyPEM":"AAAA"}}`)
	case "error":
		fmt.Print(`{"errorMessage":"no such alias\u001b[2J"}`)
	case "flood":
		for {
			if _, err := fmt.Print(strings.Repeat(" ", 1<<16)); err != nil {
				return
			}
		}
	case "chatter":
		fmt.Fprint(os.Stderr, strings.Repeat("blah ", 1<<20))
	}
}

func servePlugin(load func(path string, hash crypto.Hash) (signature.SignerVerifier, error)) {
	args, err := handler.GetPluginArgs(os.Args)
	if err == nil && os.Args[1] != common.ProtocolVersion {
		err = errors.New("another protocol")
	}
	var key signature.SignerVerifier
	if err == nil {
		key, err = load(args.InitOptions.KeyResourceID, args.InitOptions.HashFunc)
	}
	if err != nil {
		_ = handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	_, _ = handler.Dispatch(os.Stdout, os.Stdin, args, pluginKey{key})
}

func pluginFile(path string) (crypto.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return cryptoutils.UnmarshalPEMToPrivateKey(raw, nil)
}

func loadPluginKey(path string, hash crypto.Hash) (signature.SignerVerifier, error) {
	private, err := pluginFile(path)
	if err != nil {
		return nil, err
	}
	switch p := private.(type) {
	case ed25519.PrivateKey:
		return signature.LoadED25519SignerVerifier(p)
	case *ecdsa.PrivateKey:
		return signature.LoadECDSASignerVerifier(p, hash)
	case *rsa.PrivateKey:
		return signature.LoadRSAPSSSignerVerifier(p, hash, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
	}
	return nil, errors.New("another kind of key")
}

// pluginKey is a key as sigstore's dispatcher takes it. Keys are neither made
// nor listed here.
type pluginKey struct{ signature.SignerVerifier }

func (k pluginKey) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	whole, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	return k.SignerVerifier.SignMessage(bytes.NewReader(whole), opts...)
}

func (pluginKey) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.ErrUnsupported
}

func (pluginKey) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.ErrUnsupported
}

func (pluginKey) SupportedAlgorithms() []string { return nil }
func (pluginKey) DefaultAlgorithm() string      { return "" }
