package memory_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"agentd/memory"
)

// The child of the kill test writes to a store as fast as it can, in several ways at once, and prints what was acknowledged.
func TestMain(m *testing.M) {
	if path := os.Getenv("MEMORY_TEST_CHILD"); path != "" {
		if err := child(path, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// modelOf is the embedder of one life of the child: reembedding moves between two.
func modelOf(life int) *bag { return &bag{name: fmt.Sprint("bag-", life/3%2), dim: 64} }

// nickname is a word that no other item has.
func nickname(n ...int) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'a' + r - '0'
		}
		return 'z'
	}, fmt.Sprint(n))
}

func child(path string, out io.Writer) error {
	life, err := strconv.Atoi(os.Getenv("MEMORY_TEST_LIFE"))
	if err != nil {
		return err
	}
	s, err := memory.Open(path, memory.Options{Embedder: modelOf(life)})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "open")
	ctx := context.Background()
	fail := make(chan error, 8)
	st, err := s.Stats()
	if err != nil {
		return err
	}
	if st.Model != "" && st.Model != modelOf(life).name {
		if err := s.Reembed(ctx, nil); err != nil {
			return err
		}
	}
	// What is said is out when say returns: a forgetting must be announced before it happens.
	var mu sync.Mutex
	say := func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format+"\n", a...)
	}
	add := func(worker, batch int) {
		for i := 0; ; i++ {
			var items []memory.Item
			for j := range batch {
				items = append(items, fact(fmt.Sprintf("life%d worker%d item%d part%d %s", life, worker, i, j, nickname(life, worker, i, j))))
			}
			ids, err := s.Add(ctx, items...)
			if err != nil {
				fail <- err
				return
			}
			for j, id := range ids {
				say("added %d %s", id, items[j].Text)
			}
			if worker == 0 && i%3 == 0 {
				say("forget %d", ids[0])
				if _, err := s.Forget(ctx, ids[0]); err != nil {
					fail <- err
					return
				}
				say("forgot %d", ids[0])
			}
		}
	}
	go add(0, 1)
	go add(1, 2)
	go add(2, 700)
	go func() {
		for {
			if err := s.Compact(ctx); err != nil {
				fail <- err
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return <-fail
}

// TestCrashKill kills a writing process at random moments, and then looks for everything that it had acknowledged.
// MEMORY_KILLS is how often.
func TestCrashKill(t *testing.T) {
	kills := 24
	if v := os.Getenv("MEMORY_KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	const lives = 6 // of one file
	path := ""
	var want map[memory.ID]string
	var doubt map[memory.ID]bool
	for kill := range kills {
		life := kill % lives
		if life == 0 {
			path = filepath.Join(t.TempDir(), fmt.Sprint("memory", kill, ".db"))
			want, doubt = map[memory.ID]string{}, map[memory.ID]bool{}
		}
		after := time.Duration(r.IntN(250)) * time.Millisecond
		live(t, exe, path, life, after, want, doubt)
		inspect(t, path, life, want, doubt)
		if t.Failed() {
			t.Fatalf("after kill %d, life %d, %v", kill, life, after)
		}
	}
}

// live runs the child and kills it a while after it has opened the store. What it acknowledged is put in want.
func live(t *testing.T, exe, path string, life int, after time.Duration, want map[memory.ID]string, doubt map[memory.ID]bool) {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "MEMORY_TEST_CHILD="+path, fmt.Sprint("MEMORY_TEST_LIFE=", life))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	var timer *time.Timer
	for sc.Scan() {
		f := strings.SplitN(sc.Text(), " ", 3)
		if f[0] == "open" {
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			continue
		}
		if len(f) < 2 || f[0] == "added" && len(f) < 3 {
			continue // the last line was cut
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			t.Fatalf("the child said %q", sc.Text())
		}
		switch id := memory.ID(n); f[0] {
		case "added":
			want[id] = f[2]
		case "forget":
			doubt[id] = true
		case "forgot":
			delete(doubt, id)
			want[id] = ""
		}
	}
	_ = cmd.Wait() // it was killed
	if timer == nil || errs.Len() > 0 {
		t.Fatalf("the child failed: %s", errs.String())
	}
}

// inspect opens the store that a killed child left and compares it with what was acknowledged.
func inspect(t *testing.T, path string, life int, want map[memory.ID]string, doubt map[memory.ID]bool) {
	t.Helper()
	s, err := memory.Open(path, memory.Options{Embedder: modelOf(life)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if bad, err := s.Check(); err != nil || len(bad) > 0 {
		t.Errorf("check: %v, %v", bad, err)
	}
	st, err := s.Stats()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[memory.ID]string{}
	for it, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		seen[it.ID] = it.Text
		if !strings.Contains(it.Text, "worker") || !strings.Contains(it.Text, "part") {
			t.Errorf("%s is half written: %q", it.ID, it.Text)
		}
	}
	if len(seen) != st.Items || st.Vectors != st.Items {
		t.Errorf("%d items, the store counts %d and %d vectors", len(seen), st.Items, st.Vectors)
	}
	for id, text := range want {
		if got := seen[id]; got != text && !doubt[id] {
			t.Errorf("%s is %q, want %q", id, got, text)
		}
	}
	n := 0
	for id, text := range seen {
		if n++; n > 20 {
			break
		}
		hits, r, err := s.Recall(t.Context(), memory.Query{Text: text, K: 1})
		if err != nil || len(hits) != 1 || hits[0].Item.ID != id {
			t.Errorf("%q is not recalled: %+v %+v %v", text, hits, r, err)
		}
	}
	if extra, err := filepath.Glob(path + "*"); err != nil || len(extra) > 2 {
		t.Errorf("files left: %v, %v", extra, err)
	}
}

func TestCrashFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.db")
	b := embedder()
	s := open(t, path, memory.Options{Embedder: b})
	var items []memory.Item
	for i := range 4200 {
		items = append(items, fact(fmt.Sprintf("entry%d has a text of its own", i)))
	}
	ids := add(t, s, items...)
	v, err := s.Vector(ids[100])
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	flip(t, path, []byte("entry77 has"))
	flip(t, path, []byte("entry4150 has")) // in the tail
	flip(t, path, floatBytes(v[:4]))
	s = open(t, path, memory.Options{Embedder: b})
	bad, err := s.Check()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(bad)
	for _, name := range []string{ids[77].String() + ":", ids[4150].String() + ":", "the vectors of segment 1, part 0"} {
		if !strings.Contains(got, name) {
			t.Errorf("check does not name %s: %s", name, got)
		}
	}
	if len(bad) != 3 {
		t.Errorf("check names %d values: %s", len(bad), got)
	}
	if _, err := s.Get(ids[77]); !isCorrupt(err) {
		t.Errorf("get: %v", err)
	}
	for _, i := range []int{76, 78, 4149, 4151, 0, 4199} {
		if hits, _, err := s.Recall(t.Context(), memory.Query{Text: items[i].Text, K: 1}); err != nil || len(hits) != 1 || hits[0].Item.ID != ids[i] {
			t.Errorf("entry %d: %+v, %v", i, hits, err)
		}
	}
	_, r, err := s.Recall(t.Context(), memory.Query{Text: items[77].Text, K: 1})
	if err != nil || !strings.Contains(fmt.Sprint(r.Dropped), ids[77].String()+" damaged") && !strings.Contains(fmt.Sprintf("%+v", r.Dropped), "damaged") {
		t.Errorf("the damaged one is not in the receipt: %+v, %v", r, err)
	}
	s.Close()
	to := path + ".repaired"
	sv, err := memory.Repair(path, to)
	if err != nil || sv.Items != 4198 || sv.Vectors != 4197 || sv.Lost != 2 || sv.Broken {
		t.Fatalf("repair: %+v, %v", sv, err)
	}
	s = open(t, to, memory.Options{Embedder: b})
	if bad, err := s.Check(); err != nil || len(bad) > 0 {
		t.Errorf("check after repair: %v, %v", bad, err)
	}
	for _, i := range []int{0, 76, 100, 4199} {
		if hits, _, err := s.Recall(t.Context(), memory.Query{Text: items[i].Text, K: 1}); err != nil || len(hits) != 1 || hits[0].Item.ID != ids[i] {
			t.Errorf("after repair entry %d: %+v, %v", i, hits, err)
		}
	}
	if id := add(t, s, fact("one more"))[0]; id <= ids[len(ids)-1] {
		t.Errorf("after repair id %s was given again", id)
	}
	if _, err := memory.Repair(path, to); err == nil {
		t.Error("repair wrote over an existing file")
	}
}

func TestCrashBrokenTree(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "memory.db")
	b := embedder()
	s := open(t, path, memory.Options{Embedder: b})
	var items []memory.Item
	for i := range 2000 {
		items = append(items, fact(fmt.Sprintf("entry%d has a text of its own", i)))
	}
	add(t, s, items...)
	s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	refused, salvaged := 0, 0
	for i := range 60 {
		// The head of a random page is overwritten.
		data := append([]byte(nil), good...)
		page := 2 + r.IntN(len(good)/4096-2)
		for j := range 24 {
			data[page*4096+j] = byte(r.Uint32())
		}
		p := filepath.Join(dir, fmt.Sprint("broken", i, ".db"))
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := memory.Open(p, memory.Options{Embedder: b})
		if err == nil { // a page that is not in use, or within a value, which has a checksum of its own
			bad, err := s.Check()
			if err != nil {
				t.Errorf("page %d: opened, but %v", page, err)
			}
			for _, e := range bad {
				if c := (*memory.CorruptError)(nil); !errors.As(e, &c) || !strings.HasPrefix(c.What, "the vectors of memory m") {
					t.Errorf("page %d: opened, but %v", page, e)
				}
			}
			if st, err := s.Stats(); err != nil || st.Items != 2000 {
				t.Errorf("page %d: opened, but %+v, %v", page, st, err)
			}
			s.Close()
			continue
		}
		refused++
		sv, err := memory.Repair(p, p+".repaired")
		if err != nil {
			t.Errorf("page %d: repair: %v", page, err)
			continue
		}
		if sv.Items < 1500 {
			t.Errorf("page %d: only %+v saved", page, sv)
		}
		salvaged += sv.Items
		s, err = memory.Open(p+".repaired", memory.Options{Embedder: b})
		if err != nil {
			t.Errorf("page %d: the repaired file: %v", page, err)
			continue
		}
		if n := 0; true {
			for it, err := range s.All() {
				if err != nil || !strings.Contains(it.Text, "of its own") {
					t.Fatalf("page %d: repaired item %+v, %v", page, it, err)
				}
				n++
			}
			if n != sv.Items {
				t.Errorf("page %d: %d items in the repaired file, %d reported", page, n, sv.Items)
			}
		}
		s.Close()
	}
	t.Logf("%d of 60 refused, %d items salvaged on average", refused, salvaged/max(refused, 1))
	if refused == 0 {
		t.Error("no broken page was noticed")
	}
}

func flip(t *testing.T, path string, what []byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := 0; ; {
		i := strings.Index(string(raw[at:]), string(what))
		if i < 0 {
			break
		}
		at += i
		raw[at+len(what)/2] ^= 4
		at++
		n++
	}
	if n == 0 {
		t.Fatalf("%q is not in the file", what)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
