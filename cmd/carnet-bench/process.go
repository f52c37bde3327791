package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

// machine is a user's machine: a configuration, a cache, the binary.
type machine struct {
	*world
	binary string
	env    []string
}

func (w *world) machine() *machine {
	binary, err := filepath.Abs(w.opts.carnet)
	require.NoError(w, err)
	home := w.TempDir()
	return &machine{world: w, binary: binary, env: append(os.Environ(),
		"HOME="+home, "CARNET_CONFIG="+filepath.Join(home, "config"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"))}
}

// processes measures the binary from its start to its end. The publisher is
// made by the binary too, once on an image layout and once on the registry.
func (w *world) processes() []row {
	m := w.machine()
	layout := filepath.Join(w.TempDir(), repository)
	push(w, fixtures.Layout(w, layout), w.opts.artifacts)
	m.publish("layout", "oci:"+filepath.Join(filepath.Dir(layout), "trust"), "oci:"+layout)
	images := w.registry.Host + "/" + repository
	m.publish("registry", w.registry.Host+"/binary", images)
	tag := ":" + w.artifacts[0].Tag
	local := []string{"verify", "--publisher", "layout", "oci:" + layout + tag}
	remote := []string{"verify", "--publisher", "registry", images + tag}
	return []row{
		m.process(processEmpty, nil, "version"),
		m.process(processWarm, nil, local...),
		m.process("`carnet verify`, registry, warm, whole process", w.registry, remote...),
	}
}

// publish makes a publisher that vouches for every artifact in images.
func (m *machine) publish(name, trust, images string) {
	m.run("init", trust, "--publisher", name, "--no-passphrase")
	m.run("key", "generate", name+"-releases", "--no-passphrase")
	m.run("delegate", "add", "releases", "--path", repository, "--key", name+"-releases", "--trust", trust)
	sign := []string{"sign", "--trust", trust}
	for _, a := range m.artifacts {
		sign = append(sign, images+":"+a.Tag)
	}
	m.run(sign...)
}

// run runs the binary, which must succeed, and returns the time that it took
// on the clock and of the processors.
func (m *machine) run(args ...string) (s sample) {
	cmd := exec.CommandContext(m.Context(), m.binary, args...)
	cmd.Env = m.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	s.Wall = time.Since(start)
	require.NoError(m, err, "carnet %s: %s", strings.Join(args[:min(len(args), 4)], " "), out.String())
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return s
}

// process measures a command, with a server at every latency.
func (m *machine) process(name string, server *fixtures.Registry, args ...string) row {
	m.run(args...) // warm
	r := row{name: name, requests: -1, rounds: -1, bytes: -1, mallocs: -1, allocated: -1}
	latencies := []time.Duration{0}
	if server != nil {
		r = count(m, name, server, func() { m.run(args...) })
		latencies = m.opts.latencies
	}
	var all []sample
	for _, latency := range latencies {
		if server != nil {
			server.SetLatency(latency)
		}
		var samples []sample
		for range m.opts.runs {
			samples = append(samples, m.run(args...))
		}
		r.wall = append(r.wall, median(samples, func(s sample) time.Duration { return s.Wall }))
		all = append(all, samples...)
	}
	if server != nil {
		server.SetLatency(0)
	}
	r.cpu = median(all, func(s sample) time.Duration { return s.CPU })
	return r
}
