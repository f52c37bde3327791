package signers

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/encoding"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// ErrPlugin says that a plugin program failed, or did not answer as the
// protocol says.
var ErrPlugin = errors.New("key plugin failed")

// pluginPrefix begins the name of each plugin program.
const pluginPrefix = "sigstore-kms-"

const (
	maxPluginAnswer = 256 << 10       // bytes on standard output
	maxPluginTalk   = 64 << 10        // bytes on standard error
	pluginGrace     = 2 * time.Second // for the pipes of a program that has ended
)

// isPluginName reports whether a scheme can be part of a program's name.
func isPluginName(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// plugin is one key of one plugin program. It speaks version 1 of sigstore's
// protocol, whose messages are sigstore's own types; it runs the program
// itself because sigstore's client does not bound what it reads, panics at an
// answer of another method, and waits without end for the children of a
// program that it ended.
type plugin struct {
	program  string
	resource string
	key      metadata.Key
	hash     crypto.Hash
	stderr   io.Writer
}

func (o *Opener) lookPlugin(ctx context.Context, uri string) (Found, error) {
	name, resource, _ := strings.Cut(uri, "://")
	p := &plugin{program: pluginPrefix + name, resource: resource, hash: crypto.SHA256, stderr: o.Stderr}
	if _, err := exec.LookPath(p.program); err != nil {
		return Found{}, fmt.Errorf("%w: no program %s on PATH", tuf.ErrNoKey, p.program)
	}
	args := common.MethodArgs{
		MethodName: common.PublicKeyMethodName,
		PublicKey:  &common.PublicKeyArgs{PublicKeyOptions: encoding.PackPublicKeyOptions([]signature.PublicKeyOption{options.WithContext(ctx)})},
	}
	resp, err := p.call(ctx, args, nil)
	if err != nil {
		return Found{}, err
	}
	if resp.PublicKey == nil {
		return Found{}, p.failed("an answer without a public key")
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(resp.PublicKey.PublicKeyPEM)
	if err != nil {
		return Found{}, p.failed("a public key that is no PEM: %w", err)
	}
	if p.key, err = tuf.NewKey(public); err != nil {
		return Found{}, err
	}
	p.hash = tuf.SchemeHash(p.key)
	return Found{Key: p.key, Signer: p}, nil
}

// Key returns the public key that the plugin answered first.
func (p *plugin) Key() metadata.Key { return p.key }

// Sign has the plugin sign, and takes only a signature that verifies: a
// program can be wrong about the scheme, and an alias can move meanwhile.
func (p *plugin) Sign(ctx context.Context, message []byte) ([]byte, error) {
	args := common.MethodArgs{
		MethodName:  common.SignMessageMethodName,
		SignMessage: &common.SignMessageArgs{SignOptions: encoding.PackSignOptions([]signature.SignOption{options.WithContext(ctx)})},
	}
	resp, err := p.call(ctx, args, message)
	if err != nil {
		return nil, err
	}
	if resp.SignMessage == nil || len(resp.SignMessage.Signature) == 0 {
		return nil, p.failed("an answer without a signature")
	}
	sig := resp.SignMessage.Signature
	if err := tuf.VerifySignature(p.key, message, sig); err != nil {
		return nil, p.failed("a signature that is not %s by the key it had before: %w", p.key.Scheme, err)
	}
	return sig, nil
}

func (p *plugin) failed(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrPlugin, p.program, fmt.Errorf(format, args...))
}

// call runs the program once. Its exit code says nothing, by the protocol:
// what counts is the answer.
func (p *plugin) call(ctx context.Context, args common.MethodArgs, message []byte) (*common.PluginResp, error) {
	init := common.InitOptions{
		ProtocolVersion: common.ProtocolVersion, KeyResourceID: p.resource, HashFunc: p.hash,
		RPCOptions: encoding.PackRPCOptions([]signature.RPCOption{options.WithContext(ctx)}),
	}
	if deadline, ok := ctx.Deadline(); ok {
		init.CtxDeadline = &deadline
	}
	text, err := json.Marshal(common.PluginArgs{InitOptions: &init, MethodArgs: &args})
	if err != nil {
		return nil, err
	}
	out, err := p.run(ctx, string(text), message)
	if err != nil {
		return nil, err
	}
	var resp common.PluginResp
	if err := json.Unmarshal(out, &resp); err != nil {
		return nil, p.failed("an answer that is no JSON: %w", err)
	}
	if resp.ErrorMessage != "" {
		return nil, p.failed("%.500q", resp.ErrorMessage)
	}
	return &resp, nil
}

func (p *plugin) run(ctx context.Context, args string, message []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &bounded{max: maxPluginAnswer, over: cancel}
	cmd := exec.CommandContext(ctx, p.program, common.ProtocolVersion, args)
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = bytes.NewReader(message), out, pluginGrace
	if p.stderr != nil {
		cmd.Stderr = &bounded{max: maxPluginTalk, to: p.stderr}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case out.exceeded:
		return nil, p.failed("an answer of more than %d bytes", maxPluginAnswer)
	case ctx.Err() != nil:
		return nil, p.failed("no answer: %w", ctx.Err())
	case errors.As(err, &exit) && exit.ExitCode() >= 1:
		if out.held.Len() == 0 {
			return nil, p.failed("no answer: %w", err)
		}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // it answered, and left a child behind
		return nil, p.failed("%w", err)
	}
	return out.held.Bytes(), nil
}

// bounded takes so many bytes and drops the rest: it keeps them, or hands them
// on. A program that says more is not blocked by it, but ended by over.
type bounded struct {
	max      int
	to       io.Writer
	over     func()
	held     bytes.Buffer
	taken    int
	exceeded bool
}

func (b *bounded) Write(data []byte) (int, error) {
	take := data[:min(len(data), b.max-b.taken)]
	b.taken += len(take)
	if len(take) < len(data) && !b.exceeded {
		b.exceeded = true
		if b.over != nil {
			b.over()
		}
	}
	if b.to == nil {
		b.held.Write(take)
		return len(data), nil
	}
	_, _ = b.to.Write(take) // that nobody reads it stops no signature
	return len(data), nil
}
