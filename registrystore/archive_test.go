package registrystore_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
)

// member is one entry of a tar.
type member struct {
	name string
	raw  []byte
	edit func(*tar.Header)
}

func blobName(raw []byte) string {
	return "blobs/sha256/" + digest.FromBytes(raw).Encoded()
}

// tarball writes a tar as somebody else would.
func tarball(t testing.TB, members []member) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		hdr := &tar.Header{Name: m.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(m.raw))}
		if m.edit != nil {
			m.edit(hdr)
		}
		require.NoError(t, w.WriteHeader(hdr))
		if hdr.Size > 0 {
			_, err := w.Write(m.raw)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// image is a manifest whose only blob is its empty config.
func image(t testing.TB) []byte {
	t.Helper()
	raw, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{}})
	require.NoError(t, err)
	return raw
}

func indexOf(t testing.TB, descs ...ocispec.Descriptor) []byte {
	t.Helper()
	raw, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: descs})
	require.NoError(t, err)
	return raw
}

func named(raw []byte, name string) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw)),
		Annotations: map[string]string{ocispec.AnnotationRefName: name},
	}
}

const oneLayout = `{"imageLayoutVersion":"1.0.0"}`

// honest is an archive of one image, as other tools write it too.
func honest(t testing.TB) []member {
	m := image(t)
	return []member{
		{name: "./", edit: folder},
		{name: "./oci-layout", raw: []byte(oneLayout)},
		{name: "index.json", raw: indexOf(t, named(m, "registry.example/net-monitor:1.0"))},
		{name: "blobs/", edit: folder},
		{name: "blobs/sha256/", edit: folder},
		{name: blobName(m), raw: m},
		{name: blobName([]byte("{}")), raw: []byte("{}")},
	}
}

func folder(h *tar.Header) { h.Typeflag = tar.TypeDir }

func open(t testing.TB, raw []byte) (*registrystore.Archive, error) {
	t.Helper()
	a, err := registrystore.NewArchive("some.tar", bytes.NewReader(raw), int64(len(raw)))
	if err == nil {
		err = a.Check(context.Background(), nil)
	}
	if err == nil {
		_, err = a.Lists(context.Background())
	}
	return a, err
}

func TestArchiveOfOthers(t *testing.T) {
	a, err := open(t, tarball(t, honest(t)))
	require.NoError(t, err)
	require.Len(t, a.Entries(), 1)
	require.Equal(t, "registry.example/net-monitor", a.Entries()[0].Repository)
	require.Equal(t, "1.0", a.Entries()[0].Tag)
}

// replaced is the honest archive with one member in place of another.
func replaced(t testing.TB, at int, m member) []member {
	list := honest(t)
	list[at] = m
	return list
}

// annotated is the honest archive whose one entry is annotated otherwise.
func annotated(t testing.TB, annotations map[string]string) []member {
	d := named(image(t), "")
	d.Annotations = annotations
	return replaced(t, 2, member{name: "index.json", raw: indexOf(t, d)})
}

// Every row is refused for the reason it names, before anything of it is used.
func TestHostileArchives(t *testing.T) {
	m := image(t)
	more := func(list ...member) []member { return append(honest(t), list...) }
	file := func(name string) member { return member{name: name, raw: []byte("x")} }
	typed := func(name string, kind byte, link string) member {
		return member{name: name, edit: func(h *tar.Header) { h.Typeflag, h.Linkname = kind, link }}
	}
	big := make([]byte, metadata.MaxManifest+1)
	alien := []byte(`{"config":{"digest":"md5:00","size":1},"layers":[]}`)
	negative := []byte(fmt.Sprintf(`{"config":{"digest":"%s","size":-1},"layers":[]}`, digest.FromString("x")))
	both := []byte(`{"config":{},"manifests":[]}`)
	with := func(raw []byte) []member {
		return append(replaced(t, 2, member{name: "index.json", raw: indexOf(t, named(raw, "registry.example/x:1"))}), member{name: blobName(raw), raw: raw})
	}
	for name, c := range map[string]struct {
		members []member
		says    string
	}{
		"a path upwards":          {more(file("../../etc/passwd")), "is no file of an image layout"},
		"a path upwards in blobs": {more(file("blobs/sha256/../../../x")), "is no file of an image layout"},
		"an absolute path":        {more(file("/oci-layout")), "is no file of an image layout"},
		"a backslash":             {more(file(`blobs\sha256\x`)), "is no file of an image layout"},
		"a dot in the middle":     {more(file("blobs/./sha256/" + strings.Repeat("a", 64))), "is no file of an image layout"},
		"two dots in front":       {more(file("././index.json")), "is no file of an image layout"},
		"another algorithm":       {more(file("blobs/sha512/" + strings.Repeat("a", 64))), "is no file of an image layout"},
		"upper case":              {more(file("blobs/sha256/" + strings.Repeat("A", 64))), "is no file of an image layout"},
		"a short digest":          {more(file("blobs/sha256/abc")), "is no file of an image layout"},
		"a longer digest":         {more(file("blobs/sha256/" + strings.Repeat("a", 66))), "is no file of an image layout"},
		"some other file":         {more(file("manifest.json")), "is no file of an image layout"},
		"some other folder":       {more(typed("etc/", tar.TypeDir, "")), "is no folder of an image layout"},
		"a folder upwards":        {more(typed("../", tar.TypeDir, "")), "is no folder of an image layout"},
		"a symbolic link":         {more(typed("blobs/sha256/"+strings.Repeat("a", 64), tar.TypeSymlink, "/etc/passwd")), "is no plain file"},
		"a hard link":             {more(typed("blobs/sha256/"+strings.Repeat("a", 64), tar.TypeLink, "oci-layout")), "is no plain file"},
		"a device":                {more(typed("blobs/sha256/"+strings.Repeat("a", 64), tar.TypeChar, "")), "is no plain file"},
		"a pipe":                  {more(typed("oci-layout", tar.TypeFifo, "")), "is no plain file"},
		"a global header": {more(member{edit: func(h *tar.Header) {
			*h = tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}
		}}), "is no plain file"},
		"a name by another record":  {more(member{name: "ä" + strings.Repeat("x", 20)}), "overridden by a record"},
		"oci-layout twice":          {more(member{name: "oci-layout", raw: []byte(oneLayout)}), "oci-layout stands twice"},
		"index.json twice":          {more(member{name: "./index.json", raw: indexOf(t)}), "index.json stands twice"},
		"a blob twice":              {more(member{name: "./" + blobName(m), raw: m}), "stands twice in the tar"},
		"no index.json":             {append(honest(t)[:2], honest(t)[3:]...), "has no index.json"},
		"no oci-layout":             {append(honest(t)[:1], honest(t)[2:]...), "has no oci-layout"},
		"another version":           {replaced(t, 1, member{name: "oci-layout", raw: []byte(`{"imageLayoutVersion":"2.0.0"}`)}), "want version 1.0.0"},
		"a long oci-layout":         {replaced(t, 1, member{name: "oci-layout", raw: append([]byte(oneLayout), make([]byte, 5000)...)}), "oci-layout has"},
		"index.json is no JSON":     {replaced(t, 2, member{name: "index.json", raw: []byte("{")}), "index.json: "},
		"a blob of another name":    {replaced(t, 6, member{name: blobName([]byte("other")), raw: []byte("{}")}), "the file is damaged"},
		"a manifest that is absent": {append(honest(t)[:5], honest(t)[6]), "is not in the file"},
		"a manifest of other size": {replaced(t, 2, member{name: "index.json", raw: indexOf(t, ocispec.Descriptor{Digest: digest.FromBytes(m), Size: 7,
			Annotations: map[string]string{ocispec.AnnotationRefName: "registry.example/x:1"}})}), "bytes where 7 are said"},
		"a manifest that is too large":    {with(big), "is no manifest"},
		"a manifest without a digest":     {replaced(t, 2, member{name: "index.json", raw: indexOf(t, ocispec.Descriptor{Digest: "md5:00", Size: 7})}), "is no manifest"},
		"a manifest and an index at once": {with(both), "a manifest and an index at once"},
		"a blob by another digest":        {with(alien), `lists "md5:00"`},
		"a blob of negative size":         {with(negative), "of -1 bytes"},
		"a name without a registry":       {annotated(t, map[string]string{ocispec.AnnotationRefName: "latest"}), "names no repository"},
		"no name at all":                  {annotated(t, nil), "names no repository"},
		"a repository that is none":       {annotated(t, map[string]string{metadata.AnnotationRepository: "registry.example/../x"}), "no repository name"},
		"a layout that is none":           {annotated(t, map[string]string{metadata.AnnotationRepository: "oci:/etc"}), "no repository name"},
		"a tag of another repository": {annotated(t, map[string]string{metadata.AnnotationRepository: "registry.example/x", ocispec.AnnotationRefName: "registry.example/y:1"}),
			"is no tag of"},
		"a tag that is none": {annotated(t, map[string]string{metadata.AnnotationRepository: "registry.example/x", ocispec.AnnotationRefName: "registry.example/x:../1"}),
			"is no tag of"},
		"a tag without its repository": {annotated(t, map[string]string{metadata.AnnotationRepository: "registry.example/x", ocispec.AnnotationRefName: "1"}),
			"is no tag of"},
		"a publisher that is none": {annotated(t, map[string]string{metadata.AnnotationRepository: "registry.example/x", metadata.AnnotationPublisher: "../x"}), "names no publisher"},
		"a tag twice":              {replaced(t, 2, member{name: "index.json", raw: indexOf(t, named(m, "registry.example/x:1"), named(m, "registry.example/x:1"))}), "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, tarball(t, c.members))
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "some.tar: ", "the file is named")
		})
	}
}

// repeated is a block, again and again.
type repeated struct{ block []byte }

func (r repeated) ReadAt(p []byte, at int64) (int, error) {
	for i := range p {
		p[i] = r.block[(at+int64(i))%int64(len(r.block))]
	}
	return len(p), nil
}

// Memory and time are bounded by what an honest archive needs.
func TestArchiveLimits(t *testing.T) {
	block := tarball(t, []member{{name: "blobs/", edit: folder}})[:512]
	_, err := registrystore.NewArchive("some.tar", repeated{block}, 1_000_002*512)
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.ErrorContains(t, err, "more than 1000000 files")

	many := slices.Repeat([]ocispec.Descriptor{named(image(t), "")}, 200_001)
	for i := range many {
		many[i].Annotations = map[string]string{ocispec.AnnotationRefName: fmt.Sprintf("registry.example/x:%d", i)}
	}
	_, err = open(t, tarball(t, replaced(t, 2, member{name: "index.json", raw: indexOf(t, many...)})))
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.ErrorContains(t, err, "names more than 200000 manifests")

	_, err = open(t, tarball(t, replaced(t, 2, member{name: "index.json", raw: make([]byte, 64<<20+1)})))
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.ErrorContains(t, err, "index.json has 67108865 bytes")

	list := honest(t)
	inner := named(image(t), "registry.example/x:1")
	for range 12 {
		raw := indexOf(t, inner)
		list = append(list, member{name: blobName(raw), raw: raw})
		inner = named(raw, "registry.example/x:1")
	}
	list[2].raw = indexOf(t, inner)
	_, err = open(t, tarball(t, list))
	require.ErrorIs(t, err, registrystore.ErrTooLarge)
	require.ErrorContains(t, err, "indexes in indexes")
}

// What is cut off, follows, is compressed or says another size in its header.
func TestDamagedTars(t *testing.T) {
	whole := tarball(t, honest(t))
	end := len(whole) - 1024
	for name, c := range map[string]struct {
		raw  []byte
		says string
	}{
		"nothing":                   {nil, "cut off"},
		"cut in a header":           {whole[:100], "file 1 of the tar"},
		"cut in a file":             {whole[:end-1500], "cut off"},
		"cut between files":         {whole[:end], "the tar has no end"},
		"cut in the end":            {whole[:end+512], "the tar has no end"},
		"junk after the end":        {append(bytes.Clone(whole), "junk"...), "something follows the end"},
		"a second tar after it":     {append(bytes.Clone(whole), whole...), "something follows the end"},
		"much after the end":        {append(bytes.Clone(whole), make([]byte, 2<<20)...), "bytes follow the last file"},
		"a header's sum":            {flipped(whole, 20), "file 1 of the tar"},
		"gzip":                      {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "run gunzip on it first"},
		"zstd":                      {[]byte("\x28\xb5\x2f\xfd\x00\x00\x00\x00"), "run unzstd on it first"},
		"a long name of GNU's":      {recorded(t, 'L', blobName([]byte("x"))+"\x00"), "does not follow the file before it"},
		"a part of a name":          {edited(t, func(h []byte) { clear(h[257:265]); copy(h[345:], "blobs") }), "a part of its name stands elsewhere"},
		"a size that is not octal":  {edited(t, func(h []byte) { copy(h[124:136], "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01") }), "no octal number"},
		"a file of the old kind":    {edited(t, func(h []byte) { h[156] = '7' }), "is no plain file"},
		"no tar":                    {bytes.Repeat([]byte("carnet"), 200), "file 1 of the tar"},
		"a sparse file of PAX":      {paxed(t, "GNU.sparse.size", "5"), "overridden by a record"},
		"a size by another record":  {paxed(t, "size", "1"), "overridden by a record"},
		"a path by another record":  {paxed(t, "path", blobName([]byte("q"))), "overridden by a record"},
		"a negative size by record": {paxed(t, "size", "-1"), "file 8 of the tar"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, c.raw)
			require.ErrorContains(t, err, c.says)
			require.ErrorIs(t, err, registrystore.ErrCorrupt)
		})
	}
	_, err := open(t, append(bytes.Clone(whole), make([]byte, 9<<10)...))
	require.NoError(t, err, "tools fill the last block of 10 KiB")
}

func flipped(raw []byte, at int) []byte {
	raw = bytes.Clone(raw)
	raw[at] ^= 1
	return raw
}

// paxed is the honest archive with a file more, before which a record stands
// that Go's own writer would not write.
func paxed(t testing.TB, key, value string) []byte {
	record := func() string {
		body := " " + key + "=" + value + "\n"
		n := len(body)
		for len(fmt.Sprint(n))+len(body) != n {
			n = len(fmt.Sprint(n)) + len(body)
		}
		return fmt.Sprint(n) + body
	}()
	return recorded(t, 'x', record)
}

// recorded is the honest archive with a file more, before which a header of
// some kind stands with content that is about it.
func recorded(t testing.TB, kind byte, content string) []byte {
	whole := tarball(t, honest(t))
	last := tarball(t, []member{{name: "records", raw: []byte(content)}, {name: blobName([]byte("x")), raw: []byte("x")}})
	last[156] = kind
	summed(last)
	return append(whole[:len(whole)-1024], last...)
}

// edited is the honest archive with a file more, whose header is changed.
func edited(t testing.TB, edit func(header []byte)) []byte {
	whole := tarball(t, honest(t))
	last := tarball(t, []member{{name: blobName([]byte("x")), raw: []byte("x")}})
	edit(last[:512])
	summed(last)
	return append(whole[:len(whole)-1024], last...)
}

// summed writes a header's sum.
func summed(header []byte) {
	sum := 0
	for i, b := range header[:512] {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// An archive is no folder, no link to nothing, no device.
func TestOpenArchiveOpensFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := registrystore.OpenArchive(dir)
	require.ErrorContains(t, err, "no regular file")
	_, err = registrystore.OpenArchive(filepath.Join(dir, "absent.tar"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = registrystore.OpenArchive("/dev/zero")
	require.ErrorContains(t, err, "no regular file")
	path := filepath.Join(dir, "some.tar")
	require.NoError(t, os.WriteFile(path, tarball(t, honest(t)), 0o600))
	a, err := registrystore.OpenArchive(path)
	require.NoError(t, err)
	require.NoError(t, a.Close())
}

// A view has what it was shown, and asks nobody for anything else.
func TestViewAsksNobody(t *testing.T) {
	view := registrystore.View(nil)
	dir := filepath.Join(t.TempDir(), "some")
	for _, name := range []string{"127.0.0.1:1/trust", "oci:" + dir} {
		trust, err := view.OpenTrust(name)
		require.NoError(t, err)
		require.ErrorIs(t, trust.Open(t.Context()), registrystore.ErrOffline)
	}
	a, err := open(t, tarball(t, honest(t)))
	require.NoError(t, err)
	at, err := registrystore.ParseRepository("127.0.0.1:1/net-monitor", "")
	require.NoError(t, err)
	require.NoError(t, view.Show(at, a, "registry.example/net-monitor", nil))
	shown, err := view.Artifacts(at)
	require.NoError(t, err)
	m, err := shown.Read(t.Context(), registrystore.Reference{Tag: "1.0"})
	require.NoError(t, err)
	require.Equal(t, digest.FromBytes(image(t)), m.Digest)
	err = shown.Tag(t.Context(), "2.0", m)
	require.ErrorIs(t, err, registrystore.ErrReadOnly, "nobody writes into an archive")
}

// Whatever the bytes: no panic, and what is accepted holds what it names.
func FuzzArchive(f *testing.F) {
	f.Add(tarball(f, honest(f)))
	f.Add(paxed(f, "size", "1"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := open(t, raw)
		if err != nil {
			return
		}
		for _, e := range a.Entries() {
			require.True(t, a.Has(e.Digest))
			require.NotEmpty(t, registrystore.ArchivedPath(e.Repository))
		}
	})
}

// allocated returns how many bytes f took in all, and its error.
func allocated(f func() error) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// Small files that would take much memory do not: what is kept of a file is
// bounded before it is kept.
func TestArchiveBombs(t *testing.T) {
	withIndex := func(raw string) []byte {
		return tarball(t, replaced(t, 2, member{name: "index.json", raw: []byte(raw)}))
	}
	many := func(n int, item func(i int) string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String()
	}
	m := image(t)
	entry := func(repository string) string {
		raw, err := json.Marshal(named(m, repository+":1"))
		require.NoError(t, err)
		return string(raw)
	}
	layers := []byte(`{"config":{"digest":"` + digest.FromString("{}").String() + `","size":2},"layers":[` +
		many(40_000, func(i int) string { return fmt.Sprintf(`{"digest":"sha256:%064x","size":1}`, i) }) + `]}`)
	annotated := func(k int) []byte {
		return []byte(fmt.Sprintf(`{"config":{"digest":"%s","size":2},"annotations":{`, digest.FromString("{}")) +
			many(200_000, func(i int) string { return fmt.Sprintf(`"%x":"%x"`, i, k) }) + `}}`)
	}
	listed := func(raws ...[]byte) []byte {
		list := honest(t)
		var descs []ocispec.Descriptor
		for i, raw := range raws {
			descs = append(descs, named(raw, fmt.Sprintf("registry.example/x%d:1", i)))
			if i == 0 || !bytes.Equal(raw, raws[0]) {
				list = append(list, member{name: blobName(raw), raw: raw})
			}
		}
		list[2].raw = indexOf(t, descs...)
		return tarball(t, list)
	}
	var bombs [][]byte
	for k := range 30 {
		bombs = append(bombs, annotated(k))
	}
	for name, c := range map[string]struct {
		raw  []byte
		says string
		most uint64 // MiB in all
	}{
		"entries that say nothing":                           {withIndex(`{"manifests":[{}` + strings.Repeat(",{}", 2_000_000) + `]}`), "no manifest", 100},
		"an entry of many annotations":                       {withIndex(`{"manifests":[{"annotations":{` + many(500_000, func(i int) string { return fmt.Sprintf(`"%x":""`, i) }) + `}}]}`), "an entry of", 100},
		"many annotations besides":                           {withIndex(`{"annotations":{` + many(500_000, func(i int) string { return fmt.Sprintf(`"%x":""`, i) }) + `},"manifests":[` + entry("registry.example/x") + `]}`), "", 100},
		"one manifest that lists much, in many repositories": {listed(slices.Repeat([][]byte{layers}, 1_000)...), "they list more than 4000000", 2000},
		"manifests of many annotations":                      {listed(bombs...), "they take more than", 4000},
	} {
		t.Run(name, func(t *testing.T) {
			took, err := allocated(func() error { _, err := open(t, c.raw); return err })
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
			require.Less(t, took>>20, c.most)
		})
	}
}
