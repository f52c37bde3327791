package delegations_test

import (
	"fmt"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// Example searches for a path through files that were verified before: the
// withdrawal role is asked first, then the roles that are trusted with the
// path, until one lists it.
func Example() {
	entry := map[string]metadata.Target{"net-monitor:1.0": metadata.NewTarget(1042, "sha256:2c26")}
	files := map[string]*metadata.Targets{
		"targets": {Delegations: &metadata.Delegations{Roles: []metadata.Delegation{
			{Name: "revocations", Paths: []string{"*"}, Purpose: metadata.PurposeWithdrawal},
			{Name: "web", Paths: []string{"web/*"}},
			{Name: "releases", Paths: []string{"net-monitor:*", "net-monitor@*"}},
		}}},
		"revocations": {}, "web": {}, "releases": {Targets: entry},
	}
	s := delegations.NewSearch("net-monitor:1.0")
	for e, ok := s.Next(); ok; e, ok = s.Next() {
		// A client verifies the file here, against e.Keys and e.RoleKeys.
		if err := s.Visit(e, files[e.Role]); err != nil {
			fmt.Println(err)
			return
		}
	}
	hit, found := s.Found()
	_, denied := s.Denied()
	fmt.Println(found, denied, hit.Chain)
	fmt.Println(s.Visited())
	// Output:
	// true false [targets releases]
	// [targets revocations releases]
}
