package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// onlookers are verifiers that look at a publisher without a pause while it
// works: some have a durable memory, some are fresh each time. What always
// holds must hold in every look, and what a command changes must be as before
// or as after it. With a memory nothing goes back.
type onlookers struct {
	t       testing.TB
	config  string
	refs    []registrystore.Reference
	cancel  context.CancelFunc
	carrier http.RoundTripper // one for all: each verifier keeping its connections would use up the files
	running sync.WaitGroup

	mu    sync.Mutex
	phase int
	may   []map[string][]verify.Reason // by phase, by reference
	looks map[string]int               // by kind of onlooker
	wrong []string
}

// onlookers makes onlookers of references that do not look yet. The first
// reference is always vouched for.
func (s *stage) onlookers(refs ...string) *onlookers {
	o := &onlookers{t: s.t, config: filepath.Join(s.home, "config"), looks: map[string]int{}}
	carrier := http.DefaultTransport.(*http.Transport).Clone()
	s.t.Cleanup(carrier.CloseIdleConnections)
	o.carrier = carrier
	o.may = []map[string][]verify.Reason{{}}
	for _, ref := range refs {
		parsed, err := registrystore.ParseReference(ref, "")
		require.NoError(s.t, err)
		o.refs = append(o.refs, parsed)
	}
	return o
}

// watch lets onlookers look at references until stop.
func (s *stage) watch(refs ...string) *onlookers {
	o := s.onlookers(refs...)
	ctx, cancel := context.WithCancel(s.t.Context())
	o.cancel = cancel
	o.running.Go(func() { o.look(ctx, "with a memory", o.remembering()) })
	o.running.Go(func() { o.look(ctx, "fresh", o.fresh) })
	s.t.Cleanup(func() { cancel(); o.running.Wait() })
	return o
}

// expect says how each changing reference is seen from now on: as in one of
// the maps, and not otherwise.
func (o *onlookers) expect(any ...map[string]verify.Reason) {
	may := map[string][]verify.Reason{}
	for _, m := range any {
		for ref, reason := range m {
			may[ref] = append(may[ref], reason)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.may = append(o.may, may)
	o.phase++
}

// stop ends the looking and asserts that nothing wrong was seen.
func (o *onlookers) stop() {
	o.t.Helper()
	o.cancel()
	o.running.Wait()
	require.Empty(o.t, o.wrong)
	for _, kind := range []string{"with a memory", "fresh"} {
		require.Greater(o.t, o.looks[kind], 5, "onlookers %s", kind)
	}
	o.t.Logf("looked %v", o.looks)
}

// fresh makes a verifier that knows the pinned root and nothing else.
func (o *onlookers) fresh() (*verify.Verifier, error) { return o.verifier(nil, nil) }

func (o *onlookers) verifier(states *verify.States, cache *registrystore.Cache) (*verify.Verifier, error) {
	policy, err := verify.PublisherPolicy(verify.OpenPins(filepath.Join(o.config, "publishers")), "wabbit")
	if err != nil {
		return nil, err
	}
	regs, err := registrystore.New(registrystore.Options{Transport: o.carrier}, cache)
	if err != nil {
		return nil, err
	}
	return verify.New(verify.Options{Registries: regs, Policy: policy, States: states})
}

// remembering makes verifiers that share a memory.
func (o *onlookers) remembering() func() (*verify.Verifier, error) {
	states, cache := verify.OpenStates(o.t.TempDir()), registrystore.OpenCache(o.t.TempDir())
	return func() (*verify.Verifier, error) { return o.verifier(states, cache) }
}

func (o *onlookers) look(ctx context.Context, kind string, open func() (*verify.Verifier, error)) {
	var seen [2]int64 // versions of root and timestamp
	for ctx.Err() == nil {
		o.mu.Lock()
		began := o.phase
		o.mu.Unlock()
		v, err := open()
		if err != nil {
			o.note("%s: %v", kind, err)
			return
		}
		decisions, err := v.Verify(ctx, o.refs...)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			o.note("%s: %v", kind, err)
			return
		}
		r := decisions[0].Results[0]
		now := [2]int64{r.RootVersion, r.TimestampVersion}
		if kind != "fresh" && slices.Compare(now[:], seen[:]) < 0 {
			o.note("%s: state %v after %v", kind, now, seen)
		}
		seen = now
		o.judge(kind, began, decisions)
	}
}

func (o *onlookers) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// judge holds what was seen against what could be seen since phase began.
func (o *onlookers) judge(kind string, began int, decisions []verify.Decision) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.looks[kind]++
	for i, d := range decisions {
		reason := d.Results[0].Reason
		ok := i == 0 && reason == verify.OK
		for _, may := range o.may[began : o.phase+1] {
			ok = ok || i > 0 && slices.Contains(may[o.refs[i].String()], reason)
		}
		if !ok {
			o.wrong = append(o.wrong, fmt.Sprintf("%s: phase %d: %s", kind, o.phase, d.Text()))
		}
	}
}
