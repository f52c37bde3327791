package verify

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// Verdict is what a decision comes to.
type Verdict int

// The verdicts. The zero Verdict allows nothing.
const (
	Undecided Verdict = iota // could not be found out; ask again later
	Denied
	Allowed
)

func (v Verdict) String() string {
	return [...]string{"undecided", "denied", "allowed"}[v]
}

// Decision is the answer for one reference.
type Decision struct {
	Reference string
	// Digest is what the location resolves to, "" if that is not known.
	Digest  digest.Digest
	Verdict Verdict
	// Policy is the name of the rule that decided, "" if none matched.
	Policy string
	// Results has one entry for each publisher that the rule names, those of
	// any included, in the rule's order; at least one unless the level is skip.
	Results []Result
	// Notes say what happened on the way and decided nothing: a mirror that is
	// behind, a repository that does not answer.
	Notes []string
}

// Source says where the newest metadata of a publisher came from.
type Source string

// The sources.
const (
	FromRegistry   Source = "registry"   // a repository was asked
	FromCache      Source = "cache"      // nobody was asked
	FromAttachment Source = "attachment" // it was attached to the artifact
)

// Result is what became of one requirement.
type Result struct {
	Publisher string
	Satisfied bool
	Reason    Reason
	Message   string // for people

	// SignedDigest is the digest that the publisher vouches for.
	SignedDigest     digest.Digest
	RootVersion      int64
	TimestampVersion int64
	Issued           time.Time      // of the timestamp; zero if it does not say
	Age              *time.Duration // from Issued; nil if that is not known
	Expires          time.Time      // of the timestamp
	Source           Source
	Chain            []string // "root", "targets", …, the role that vouches
	Target           string   // the target path that was looked up
	Claims           map[string]string
	Origin           *metadata.Origin
	Revocation       *metadata.Notice
}

// Allowed reports whether the artifact may be used.
func (d Decision) Allowed() bool { return d.Verdict == Allowed }

// SignedDigest returns the digest that the satisfied results agree on, "" if
// there is none: what to use of a tag whose authority is the signed entry.
func (d Decision) SignedDigest() digest.Digest {
	var out digest.Digest
	for _, r := range d.Results {
		if !r.Satisfied || r.SignedDigest == "" {
			continue
		}
		if out != "" && out != r.SignedDigest {
			return ""
		}
		out = r.SignedDigest
	}
	return out
}

// ExitCode returns the code that a command ends with: 0 if all are allowed, 1
// if one is denied, else 3 if one is undecided.
func ExitCode(decisions []Decision) int {
	code := 0
	for _, d := range decisions {
		switch d.Verdict {
		case Denied:
			return 1
		case Undecided:
			code = 3
		}
	}
	return code
}

// MarshalJSON writes the decision as one line. The names and their order are
// part of the command's contract; what is absent is null.
func (d Decision) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Reference string   `json:"reference"`
		Digest    *string  `json:"digest"`
		Allowed   bool     `json:"allowed"`
		Policy    *string  `json:"policy"`
		Results   []Result `json:"results"`
	}{d.Reference, orNull(d.Digest.String()), d.Allowed(), orNull(d.Policy), notNil(d.Results)})
}

// MarshalJSON writes the result as the decision's JSON has it.
func (r Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Publisher        *string           `json:"publisher"`
		Satisfied        bool              `json:"satisfied"`
		Reason           Reason            `json:"reason"`
		Message          string            `json:"message"`
		SignedDigest     *string           `json:"signedDigest"`
		RootVersion      *int64            `json:"rootVersion"`
		TimestampVersion *int64            `json:"timestampVersion"`
		Issued           *string           `json:"issued"`
		Age              *int64            `json:"age"`
		Expires          *string           `json:"expires"`
		Source           *string           `json:"source"`
		Chain            []string          `json:"chain"`
		Target           *string           `json:"target"`
		Claims           map[string]string `json:"claims"`
		Origin           *jsonOrigin       `json:"origin"`
		Revocation       *jsonRevocation   `json:"revocation"`
	}{
		orNull(r.Publisher), r.Satisfied, r.Reason, r.Message, orNull(r.SignedDigest.String()),
		positive(r.RootVersion), positive(r.TimestampVersion), timeOrNull(r.Issued), seconds(r.Age), timeOrNull(r.Expires),
		orNull(string(r.Source)), r.Chain, orNull(r.Target), r.Claims, originOf(r.Origin), revocationOf(r.Revocation),
	})
}

type jsonOrigin struct {
	Publisher        string `json:"publisher"`
	Target           string `json:"target"`
	RootVersion      int64  `json:"rootVersion"`
	TimestampVersion int64  `json:"timestampVersion"`
}

func originOf(o *metadata.Origin) *jsonOrigin {
	if o == nil {
		return nil
	}
	return &jsonOrigin{o.Publisher, o.Target, o.RootVersion, o.TimestampVersion}
}

type jsonRevocation struct {
	Reason     string  `json:"reason"`
	Advisory   *string `json:"advisory"`
	ReplacedBy *string `json:"replacedBy"`
	By         *string `json:"by"`
	At         *string `json:"at"`
}

func revocationOf(n *metadata.Notice) *jsonRevocation {
	if n == nil {
		return nil
	}
	return &jsonRevocation{n.Reason, orNull(n.Advisory), orNull(n.ReplacedBy), orNull(n.By), timeOrNull(n.At)}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func positive(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}

func seconds(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	n := int64(*d / time.Second)
	return &n
}

func timeOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return orNull(metadata.FormatTime(t))
}
