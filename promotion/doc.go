// Package promotion moves trust with the content: between registries, into
// image layouts, and over an air gap.
//
// A [Mirror] copies a publisher's trust repository to another place, sending
// only what is missing there. It verifies what it reads as a client does, and
// publishes nothing that is older than what is there.
//
//	m := promotion.Mirror{Root: pinned, Store: state, From: origin, To: mirror, Now: time.Now}
//	done, err := m.Sync(ctx)
//
// A [Promoter] copies what it verified, by its digest, with all that refers to
// it, and attaches the evidence by which it is verified where no publisher can
// be reached:
//
//	p := promotion.Promoter{From: regs, To: regs, Verify: verifier, Policy: policy, Attach: true}
//	promoted, err := p.Promote(ctx, source, destination)
//
// A [Saver] writes repositories, of artifacts and of trust, into one file, and a
// [Loader] takes such a file in where there is no network, once all of it is
// verified:
//
//	s := promotion.Saver{From: regs, Now: time.Now}
//	saved, err := s.Save(ctx, "release.tar", references, trustRepositories)
//
// Whatever fails says by a [SideError] which side did: where content comes
// from, or where it goes. What was written until then is complete in itself,
// nothing names what is missing, and the same call again finishes the work.
package promotion
