package verify_test

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// A program that admits what its policy allows, by digest.
func ExampleVerifier() {
	admit := func(ctx context.Context, config, image string) (string, error) {
		regs, err := registrystore.New(registrystore.Options{}, registrystore.OpenCache(filepath.Join(config, "cache")))
		if err != nil {
			return "", err
		}
		policy, err := verify.LoadPolicy(filepath.Join(config, "policy.yaml"), verify.OpenPins(filepath.Join(config, "publishers")))
		if err != nil {
			return "", err
		}
		verifier, err := verify.New(verify.Options{
			Registries: regs, Policy: policy, States: verify.OpenStates(filepath.Join(config, "state")),
		})
		if err != nil {
			return "", err
		}
		ref, err := registrystore.ParseReference(image, "")
		if err != nil {
			return "", err
		}
		decisions, err := verifier.Verify(ctx, ref)
		if err != nil {
			return "", err
		}
		d := decisions[0]
		if !d.Allowed() {
			return "", fmt.Errorf("refused:\n%s", d.Text())
		}
		return fmt.Sprintf("%s@%s", ref.Repository, d.Digest), nil
	}
	_, err := admit(context.Background(), "/does/not/exist", "registry.example/net-monitor:1.0")
	fmt.Println(err)
	// Output: policy: open /does/not/exist/policy.yaml: no such file or directory
}

// Why a rule decides, without asking anybody.
func ExamplePolicy_Explain() {
	policy, err := verify.PublisherPolicy(verify.OpenPins("/does/not/exist"), "wabbit-networks")
	if err != nil {
		fmt.Println(err)
		return
	}
	ref, err := registrystore.ParseReference("registry.example/net-monitor:1.0", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(policy.Explain(ref))
	// Output:
	// registry.example/net-monitor:1.0: rule "publisher wabbit-networks" decides: its scope * matches registry.example/net-monitor
	//   level enforce, all of:
	//   - wabbit-networks vouches for net-monitor:1.0
}
