package workspace_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"agentd/workspace"
)

// grove makes a tree of n small files, about 1.5 KB each, in folders of 100.
func grove(b *testing.B, n int) string {
	b.Helper()
	root := b.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 3000)
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("pkg%03d/sub%02d", i/1000, i/100%10))
		if i%100 == 0 {
			must(b, os.MkdirAll(dir, 0o755))
		}
		for j := range buf {
			buf[j] = byte(r.Uint32())
		}
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d.go", i)), buf[:r.IntN(len(buf))], 0o644))
	}
	time.Sleep(150 * time.Millisecond)
	return root
}

// BenchmarkTake measures snapshots of 100,000 small files: the first, durable one, one after it with nothing changed, and the
// comparison at the end of a run.
func BenchmarkTake(b *testing.B) {
	root := grove(b, 100_000)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			take(b, root, b.TempDir())
		}
	})
	store := b.TempDir()
	s := take(b, root, store)
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			take(b, root, store)
		}
	})
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			must(b, s.Seal(b.Context(), root))
		}
	})
	b.Run("diff", func(b *testing.B) {
		for b.Loop() {
			if c, err := s.Diff(b.Context(), root); err != nil || len(c) != 0 {
				b.Fatal(c, err)
			}
		}
	})
	b.Run("clone", func(b *testing.B) {
		for b.Loop() {
			dst := filepath.Join(b.TempDir(), "copy")
			must(b, workspace.Clone(b.Context(), root, dst, workspace.Options{}))
		}
	})
}

// BenchmarkTakeSmall measures what every run pays: the snapshot of a handful of files, and the note at its end.
func BenchmarkTakeSmall(b *testing.B) {
	root, store := b.TempDir(), b.TempDir()
	write(b, root, sample)
	s := take(b, root, store)
	b.Run("take", func(b *testing.B) {
		for b.Loop() {
			take(b, root, store)
		}
	})
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			must(b, s.Seal(b.Context(), root))
		}
	})
}
