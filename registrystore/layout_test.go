package registrystore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// TestMain lets this program act as another process that writes to a layout.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CARNET_TEST_WRITE"); dir != "" {
		os.Exit(writeStates(dir))
	}
	os.Exit(m.Run())
}

func writeStates(dir string) int {
	first, _ := strconv.ParseInt(os.Getenv("CARNET_TEST_FIRST"), 10, 64)
	if os.Getenv("CARNET_TEST_LIMIT") != "" {
		limit := syscall.Rlimit{Cur: 20_000, Max: 20_000}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return 3
		}
	}
	for v := first; v < first+5; v++ {
		regs, _ := registrystore.New(registrystore.Options{}, nil)
		trust, err := regs.OpenTrust("oci:" + dir)
		if err == nil {
			_, err = trust.Commit(context.Background(), publication(v))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

func otherProcess(dir string, first int, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "CARNET_TEST_WRITE="+dir, "CARNET_TEST_FIRST="+strconv.Itoa(first)), env...)
	return cmd
}

// Processes that write at once lose nothing of each other.
func TestLayoutSharedByProcesses(t *testing.T) {
	p := onLayout(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			out, err := otherProcess(p.dir, 1+i*10).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	list, err := p.trust(t, nil).List(ctx)
	require.NoError(t, err)
	require.Len(t, list, 20)
	for _, e := range list {
		_, err := p.trust(t, nil).Read(ctx, e)
		require.NoError(t, err)
	}
}

// A full disk fails the writer and leaves what was there.
func TestLayoutOnAFullDisk(t *testing.T) {
	p := onLayout(t)
	commit(t, p.trust(t, nil), publication(90))
	before := files(t, p.dir)
	out, err := otherProcess(p.dir, 1, "CARNET_TEST_LIMIT=1").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "file too large")
	for name := range before {
		require.Equal(t, before[name], files(t, p.dir)[name], name)
	}
	for name := range files(t, p.dir) {
		require.NotContains(t, name, ".tmp-", "half files are taken away")
	}
	require.NoError(t, p.trust(t, nil).Open(ctx))
	commit(t, p.trust(t, nil), publication(91))
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		out[path] = string(raw)
		return err
	}))
	return out
}

// Whoever waits for the lock waits no longer than the deadline.
func TestLayoutLock(t *testing.T) {
	p := onLayout(t)
	holder := p.trust(t, nil).Journal().(tuf.Locker)
	unlock, err := holder.Lock(ctx)
	require.NoError(t, err)
	_, err = holder.Commit(ctx, publication(1)) // the holder itself need not wait
	require.NoError(t, err)

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = p.trust(t, nil).Journal().(tuf.Locker).Lock(short)
	require.ErrorIs(t, err, registrystore.ErrLocked)
	require.ErrorContains(t, err, "wait for the other process")
	short, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	_, err = p.trust(t, nil).Commit(short, publication(2))
	require.ErrorIs(t, err, registrystore.ErrLocked)
	require.NotErrorIs(t, err, tuf.ErrOutcomeUnknown)
	require.NoError(t, p.trust(t, nil).Open(ctx), "readers need no lock")
	require.NoError(t, unlock())
	_, err = p.trust(t, nil).Commit(ctx, publication(2))
	require.NoError(t, err)
}

// What other tools wrote into index.json stays, member for member.
func TestLayoutKeepsWhatOthersWrote(t *testing.T) {
	p := onLayout(t)
	image := p.raw(t).PushImage(t, "1.0", "hello")
	others := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","annotations":{"of":"the index"},"x-unknown":{"n":12345678901234567890},
		"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"x-vendor":[1,2],"platform":{"os":"linux","architecture":"amd64","x":"y"},
		"annotations":{"org.opencontainers.image.ref.name":"1.0","io.containerd.image.name":"docker.io/library/x:1.0"}},
		{"mediaType":"application/vnd.unknown","digest":"sha512:%s","size":7}]}`, image.MediaType, image.Digest, image.Size, strings.Repeat("ab", 64))
	p.forgeIndex(t, others)
	e := commit(t, p.trust(t, nil), publication(1))

	var got, want map[string]json.RawMessage
	raw, err := os.ReadFile(filepath.Join(p.dir, "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &got))
	require.NoError(t, json.Unmarshal([]byte(others), &want))
	require.JSONEq(t, string(want["x-unknown"]), string(got["x-unknown"]))
	require.Contains(t, string(got["x-unknown"]), "12345678901234567890")
	require.JSONEq(t, string(want["annotations"]), string(got["annotations"]))
	var gotList, wantList []json.RawMessage
	require.NoError(t, json.Unmarshal(got["manifests"], &gotList))
	require.NoError(t, json.Unmarshal(want["manifests"], &wantList))
	require.Len(t, gotList, 4)
	require.JSONEq(t, string(wantList[0]), string(gotList[0]))
	require.JSONEq(t, string(wantList[1]), string(gotList[1]))

	require.NoError(t, p.trust(t, nil).Delete(ctx, e))
	d, err := p.artifacts(t).Resolve(ctx, p.ref(t, ":1.0"))
	require.NoError(t, err)
	require.Equal(t, image.Digest, d)
	found, err := p.artifacts(t).Referrers(ctx, image.Digest)
	require.NoError(t, err, "what cannot be read here is not looked at")
	require.Empty(t, found)
}

// Layouts that are half written, damaged or hostile give an error and are not
// made worse.
func TestBrokenLayouts(t *testing.T) {
	hex := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  error
	}{
		"no index":      {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "index.json"))) }, registrystore.ErrCorrupt},
		"empty index":   {func(t *testing.T, dir string) { write(t, dir, "index.json", "") }, registrystore.ErrCorrupt},
		"half an index": {func(t *testing.T, dir string) { write(t, dir, "index.json", `{"schemaVersion":2,"manif`) }, registrystore.ErrCorrupt},
		"huge index": {func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "index.json"), 65<<20))
		}, registrystore.ErrTooLarge},
		"index is a folder": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "index.json")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "index.json"), 0o755))
		}, registrystore.ErrCorrupt},
		"index is a pipe": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "index.json")))
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "index.json"), 0o644))
		}, registrystore.ErrCorrupt},
		"blob gone": {func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "blobs", "sha256")))
		}, registrystore.ErrNotFound},
		"path as digest": {func(t *testing.T, dir string) { entry(t, dir, "sha256:../../../../etc/passwd", 10) }, registrystore.ErrCorrupt},
		"upper case":     {func(t *testing.T, dir string) { entry(t, dir, "sha256:"+strings.Repeat("A", 64), 10) }, registrystore.ErrCorrupt},
		"negative size": {func(t *testing.T, dir string) {
			write(t, dir, "blobs/sha256/"+hex, "x")
			entry(t, dir, "sha256:"+hex, -1000)
		}, registrystore.ErrCorrupt},
		"huge manifest": {func(t *testing.T, dir string) {
			write(t, dir, "blobs/sha256/"+hex, "x")
			entry(t, dir, "sha256:"+hex, 5<<20)
		}, registrystore.ErrTooLarge},
		"other bytes": {func(t *testing.T, dir string) {
			write(t, dir, "blobs/sha256/"+hex, "x")
			entry(t, dir, "sha256:"+hex, 1)
		}, registrystore.ErrCorrupt},
		"blob is a device": {func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "blobs/sha256/"+hex)))
			entry(t, dir, "sha256:"+hex, 10)
		}, registrystore.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			p := onLayout(t)
			commit(t, p.trust(t, nil), publication(1))
			c.spoil(t, p.dir)
			_, err := p.trust(t, nil).Latest(ctx)
			require.ErrorIs(t, err, c.want)
			if strings.Contains(name, "index") {
				_, err = p.trust(t, nil).Commit(ctx, publication(2))
				require.Error(t, err)
			}
		})
	}
}

// A layout of another version may mean anything: nothing is read from it, by
// tag or by digest, and nothing written.
func TestLayoutOfAnUnknownVersion(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"newer":         {`{"imageLayoutVersion":"1.1.0"}`, registrystore.ErrLayoutVersion},
		"none":          {`{}`, registrystore.ErrLayoutVersion},
		"two in one":    {`{"imageLayoutVersion":"1.0.0"}{"imageLayoutVersion":"2.0.0"}`, registrystore.ErrCorrupt},
		"no text":       {`{"imageLayoutVersion":1}`, registrystore.ErrCorrupt},
		"empty":         {``, registrystore.ErrCorrupt},
		"too large":     {`{"imageLayoutVersion":"1.0.0","x":"` + strings.Repeat("x", registrystore.MaxLayoutFile) + `"}`, registrystore.ErrTooLarge},
		"other members": {`{"imageLayoutVersion":"1.0.0","x":true}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := onLayout(t)
			image := p.raw(t).PushImage(t, "1.0", "hello")
			require.NoError(t, p.trust(t, nil).Advance(ctx, publication(1)))
			write(t, p.dir, "oci-layout", c.file)
			before, err := os.ReadFile(filepath.Join(p.dir, "index.json"))
			require.NoError(t, err)
			for _, ref := range []string{":1.0", "@" + image.Digest.String()} {
				_, err = p.artifacts(t).Read(ctx, p.ref(t, ref))
				require.ErrorIs(t, err, c.want, ref)
			}
			_, err = p.artifacts(t).Resolve(ctx, p.ref(t, ":1.0"))
			require.ErrorIs(t, err, c.want)
			_, err = p.artifacts(t).Tags(ctx)
			require.ErrorIs(t, err, c.want)
			_, err = p.trust(t, nil).Commit(ctx, publication(2))
			require.ErrorIs(t, err, c.want)
			after, err := os.ReadFile(filepath.Join(p.dir, "index.json"))
			require.NoError(t, err)
			require.Equal(t, c.want == nil, string(before) != string(after))
		})
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
}

func entry(t *testing.T, dir, d string, size int) {
	t.Helper()
	write(t, dir, "index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}`,
		manifestType, d, size))
}

// Links are followed when reading, since the digest decides, and replaced when
// writing.
func TestLinksInALayout(t *testing.T) {
	p := onLayout(t)
	pub := publication(1)
	commit(t, p.trust(t, nil), pub)
	blob := filepath.Join(p.dir, "blobs", "sha256", pub.Roles[0].Digest.Encoded())
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Rename(blob, elsewhere))
	require.NoError(t, os.Symlink(elsewhere, blob))
	got, err := p.trust(t, nil).Latest(ctx)
	require.NoError(t, err)
	_, err = p.trust(t, nil).Fetch(ctx, got.Roles[0])
	require.NoError(t, err)

	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("mine"), 0o644))
	next := publication(2)
	require.NoError(t, os.Symlink(victim, filepath.Join(p.dir, "blobs", "sha256", next.Roles[0].Digest.Encoded())))
	commit(t, p.trust(t, nil), next)
	raw, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "mine", string(raw))
}

// What is no file is not opened: a pipe that nobody writes to never ends.
func TestPipesInALayout(t *testing.T) {
	for name, part := range map[string]string{"index": "index.json", "blob": "blob"} {
		t.Run(name, func(t *testing.T) {
			p := onLayout(t)
			image := p.raw(t).PushImage(t, "1.0", "hello")
			path := filepath.Join(p.dir, part)
			if part == "blob" {
				path = filepath.Join(p.dir, "blobs", "sha256", image.Digest.Encoded())
			}
			require.NoError(t, os.Remove(path))
			require.NoError(t, syscall.Mkfifo(path, 0o600))
			done := make(chan error, 1)
			go func() {
				_, err := p.artifacts(t).Read(ctx, p.ref(t, ":1.0"))
				done <- err
			}()
			select {
			case err := <-done:
				require.ErrorIs(t, err, registrystore.ErrCorrupt)
			case <-time.After(10 * time.Second):
				t.Fatal("a pipe is waited for")
			}
		})
	}
}

// A tag that stands for two manifests is not chosen from.
func TestAmbiguousTag(t *testing.T) {
	p := onLayout(t)
	d := digest.FromString("x")
	e := func(hex string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%s","size":1,"annotations":{"org.opencontainers.image.ref.name":"1.0"}}`, manifestType, hex)
	}
	p.forgeIndex(t, `{"schemaVersion":2,"manifests":[`+e(d.Encoded())+`,`+e(strings.Repeat("0", 64))+`]}`)
	_, err := p.artifacts(t).Resolve(ctx, p.ref(t, ":1.0"))
	require.ErrorIs(t, err, registrystore.ErrCorrupt)
	p.forgeIndex(t, `{"schemaVersion":2,"manifests":[`+e(d.Encoded())+`,`+e(d.Encoded())+`]}`)
	got, err := p.artifacts(t).Resolve(ctx, p.ref(t, ":1.0"))
	require.NoError(t, err)
	require.Equal(t, d, got)
}

// Wherever a writer is killed, the layout is whole and can be written again.
func TestLayoutOfAKilledWriter(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"after the folder": func(t *testing.T, dir string) { require.NoError(t, os.MkdirAll(dir, 0o755)) },
		"after the lock": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			write(t, dir, ".carnet.lock", "")
		},
		"after the index": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			write(t, dir, "index.json", `{"schemaVersion":2,"manifests":[]}`)
		},
		"before the rename": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			write(t, dir, ".tmp-1", `{"schem`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := onLayout(t)
			spoil(t, p.dir)
			require.ErrorIs(t, p.trust(t, nil).Open(ctx), registrystore.ErrNotFound)
			commit(t, p.trust(t, nil), publication(1))
			require.NoError(t, p.trust(t, nil).Open(ctx))
			require.FileExists(t, filepath.Join(p.dir, "oci-layout"))
		})
	}
}

// Index.json is written before blobs/: a reader beside the first writer never
// takes the layout for half written.
func TestReaderBesideTheFirstWriter(t *testing.T) {
	for range 20 {
		p := onLayout(t)
		done := make(chan error)
		trust := p.trust(t, nil)
		go func() {
			_, err := trust.Commit(ctx, publication(1))
			done <- err
		}()
		for open := true; open; {
			if err := p.trust(t, nil).Open(ctx); err != nil {
				require.ErrorIs(t, err, registrystore.ErrNotFound)
			}
			select {
			case err := <-done:
				require.NoError(t, err)
				open = false
			default:
			}
		}
	}
}
