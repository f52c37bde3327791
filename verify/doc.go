// Package verify decides whether an artifact may be used: policy in, decision
// out. It is the library that other programs embed, an admission controller
// or a build step; it prints nothing, never exits, and reads no flags and no
// environment.
//
//	pins := verify.OpenPins(filepath.Join(config, "publishers"))
//	policy, err := verify.LoadPolicy(filepath.Join(config, "policy.yaml"), pins)
//	verifier, err := verify.New(verify.Options{
//		Registries: regs, Policy: policy, States: verify.OpenStates(filepath.Join(config, "state")),
//	})
//	decisions, err := verifier.Verify(ctx, ref)
//
// A [Decision] is allowed, denied or undecided. Denied means that verified
// metadata, or its absence under a governed name, says no. Undecided means
// that it could not be found out: a registry does not answer, a disk is full.
// It is no verdict, and it is not permission: who must decide at once has to
// treat it as no. Each publisher that the policy's rule names has a [Result]
// with a [Reason] that programs can branch on and a message for people.
//
// What it promises:
//
//   - Nothing is trusted on first use: publishers are pinned by a root file
//     that came out of band ([Pins], or the policy's own roots).
//   - What was verified once cannot be rolled back ([States]), not by two
//     processes at once either. That an answer could not be remembered makes
//     it undecided.
//   - A tag's authority is the publisher's signed entry. The registry is asked
//     what it has there and is never believed.
//   - A withdrawn digest is denied under every name and tag, by any publisher
//     that the rule names.
//   - Metadata is cached, decisions never are.
//
// It does not fetch or run artifacts, and does not look into them. The caller
// uses what was decided about: by the digest in the decision, not by the tag
// again.
package verify
