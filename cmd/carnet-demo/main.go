// Command carnet-demo plays a story on image layouts in a temporary folder:
// Wabbit Networks signs an image, ACME Rockets verifies it, and what must be
// rejected is. It runs the real carnet program, prints every line as a user
// types it, what came out, and whether that was expected. It needs no network,
// no server and no root.
//
// It exits with 0 if everything was as expected, with 1 if anything was not,
// and with 2 for wrong usage. Two verbs are the tools that the story needs
// beside carnet:
//
//	carnet-demo image PROGRAM oci:DIR:TAG   make an image of a Go program, with SBOM and scan result
//	carnet-demo tag oci:DIR:TAG DIGEST      move a tag
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
)

const usageText = `usage:
  carnet-demo [-dir DIR] [-lifetime DURATION]   play the story
  carnet-demo image PROGRAM oci:DIR:TAG         make an image of a Go program, with SBOM and scan result
  carnet-demo tag oci:DIR:TAG DIGEST            move a tag
`

var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "carnet-demo:", err)
	if errors.Is(err, errUsage) {
		fmt.Fprint(os.Stderr, usageText)
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	set := flag.NewFlagSet("carnet-demo", flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are told by main
	dir := set.String("dir", "", "new folder to play in, which is kept")
	lifetime := set.Duration("lifetime", 15*time.Second, "of the timestamp")
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(out, usageText)
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch rest := set.Args(); {
	case len(rest) == 0 && *lifetime >= 5*time.Second:
		return demo(ctx, *dir, lifetime.Truncate(time.Second), out)
	case len(rest) == 3 && rest[0] == "image":
		return makeImage(rest[1], rest[2], out)
	case len(rest) == 3 && rest[0] == "tag":
		return moveTag(rest[1], rest[2], out)
	default:
		return errUsage
	}
}

// makeImage is the verb image.
func makeImage(program, where string, out io.Writer) error {
	l, tag, err := tagged(where)
	if err != nil {
		return err
	}
	p, err := pack(l, tag, program)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  image\n%s  %s\n%s  %s\n", p.image.Digest, p.sbom.Digest, mediaTypeSBOM, p.scan.Digest, mediaTypeScan)
	return nil
}

// moveTag is the verb tag.
func moveTag(where, to string, out io.Writer) error {
	l, tag, err := tagged(where)
	if err != nil {
		return err
	}
	d, err := digest.Parse(to)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", errUsage, to, err)
	}
	if err := l.tag(tag, d); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is now %s\n", where, d)
	return nil
}

// tagged reads oci:DIR:TAG.
func tagged(s string) (layout, string, error) {
	ref, err := registrystore.ParseReference(s, "")
	if err != nil {
		return layout{}, "", fmt.Errorf("%w: %w", errUsage, err)
	}
	if !ref.IsLayout() || ref.Tag == "" || ref.Digest != "" {
		return layout{}, "", fmt.Errorf("%w: %s: want oci:DIR:TAG", errUsage, s)
	}
	return layout{ref.Dir}, ref.Tag, nil
}

// demo plays the story in dir, or in a temporary folder.
func demo(ctx context.Context, dir string, lifetime time.Duration, out io.Writer) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Dir(self)
	if _, err := os.Stat(filepath.Join(bin, "carnet")); err != nil {
		return fmt.Errorf("want the program carnet beside this one; make demo builds both: %w", err)
	}
	if dir != "" {
		if dir, err = newFolder(dir); err != nil {
			return err
		}
		_, err = perform(ctx, dir, bin, lifetime, out)
		return err
	}
	if dir, err = os.MkdirTemp("", "carnet-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	_, err = perform(ctx, dir, bin, lifetime, out)
	return err
}

// newFolder makes a folder, which must not be there: what stands in it would
// be part of the story.
func newFolder(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o755)
}

// perform plays the story in dir with the programs in bin, and returns it as
// it went. An error says that not everything was as expected.
func perform(ctx context.Context, dir, bin string, lifetime time.Duration, out io.Writer) (*story, error) {
	began := time.Now()
	s := &story{lifetime: lifetime, stage: &stage{dir: dir, env: environment(dir, bin), out: out}}
	defer s.close()
	fmt.Fprintf(out, "Lines with $ are run as they stand here; ! marks what came on standard error.\n\n$ cd %s\n$ export PATH=%s:$PATH\n", dir, bin)
	err := s.tell(ctx)
	s.close()
	s.summary()
	fmt.Fprintf(out, "played in %s\n", time.Since(began).Round(time.Second))
	if n := s.surprises(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d steps surprised", n, len(s.outcomes)))
	}
	return s, err
}

// environment keeps the user's own settings and credentials out of the story.
func environment(dir, bin string) []string {
	path := bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return []string{"PATH=" + path, "HOME=" + dir, "TMPDIR=" + os.TempDir(), "LC_ALL=C"}
}
