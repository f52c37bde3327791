// Package revocation is what is taken back and what that means: artifacts that
// a publisher no longer vouches for, keys that a role no longer has, roles that
// give themselves up. Its functions edit a [tuf.Draft] or describe what an edit
// would do; publishing is the caller's. [MakeAudit] finds out from the kept
// history what a key did.
//
//	res, err := repo.Publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) error {
//		done, err = revocation.Withdraw(ctx, d, revocation.Withdrawal{Digest: bad, Reason: "CVE-2026-1234"})
//		return err
//	})
//
// How a withdrawal is written, and why other TUF clients refuse what is
// withdrawn too, is in docs/spec.md, "Withdrawal".
package revocation
