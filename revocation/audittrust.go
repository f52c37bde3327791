package revocation

import (
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// trusting is a delegation as it was made or changed.
type trusting struct {
	state    *tuf.Kept
	from, to string
	alone    bool // by the key, and without its signature it would not count
}

// trusts notes whom a role's new file trusts, and did not just so before.
func (a *Audit) trusts(s *step, alone bool) {
	for name, d := range delegationsOf(s.file.Targets) {
		if _, same := s.delegatedBefore(name, d); !same {
			a.trust = append(a.trust, trusting{s.state, s.role, name, alone})
		}
	}
}

// independent returns the roles whose word is not the key's own: some chain of
// delegations leads to each of which the key alone made none after what is
// fine. A thief would else delegate to a role of a key of his own, and let that
// vouch first.
func (a *Audit) independent(fine map[*tuf.Kept]bool) map[string]bool {
	out := map[string]bool{metadata.RoleTargets: true}
	for grown := true; grown; {
		grown = false
		for _, t := range a.trust {
			if own := t.alone && !fine[t.state]; !own && out[t.from] && !out[t.to] {
				out[t.to], grown = true, true
			}
		}
	}
	return out
}
