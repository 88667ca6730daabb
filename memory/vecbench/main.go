//go:build linux

// Command vecbench measures the memory store as a vector database: it builds a store of raw vectors and answers queries over
// a line protocol on standard input, so that a driver can compare it with others in one run.
//
//	vecbench ours BASE.f32 N QUERY.f32 TRUTH.i32 DIR
//
// Files are raw little-endian rows of 384 values; TRUTH has 10 row numbers for each query. Commands are "recall M",
// "round SECONDS", "open" and "quit". VECBENCH_MODE is cascade (default), exact, float, batch (16 queries at once) or
// filter (1 % of the rows). VECBENCH_PROFILE names a file for a CPU profile of the build, VECBENCH_ROUNDS
// one for that of a round.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agentd/memory"
	"agentd/memory/vec"
)

const (
	dim = 384
	top = 10
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) != 6 {
		fmt.Fprintln(errs, "usage: vecbench ours BASE.f32 N QUERY.f32 TRUTH.i32 DIR")
		return 2
	}
	if err := serve(args, in, out); err != nil {
		fmt.Fprintln(errs, "vecbench:", err)
		return 1
	}
	return 0
}

// profile writes a CPU profile to a file until it is stopped; "" is none.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile is for looking at
	}, nil
}

// bench is a store and the queries put to it.
type bench struct {
	path    string
	store   *memory.Store
	search  *memory.Vectors
	queries [][]float32
	truth   [][]int
	opts    vec.Options
	filter  memory.Filter
	batch   int
	asked   int
}

func serve(args []string, in io.Reader, out io.Writer) error {
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	b := &bench{path: filepath.Join(args[5], "ours-memory.db"), batch: 1, opts: vec.Options{K: top, Threads: runtime.GOMAXPROCS(0)}}
	switch os.Getenv("VECBENCH_MODE") {
	case "exact":
		b.opts.Mode = vec.Exact
	case "float":
		b.opts.Mode = vec.Float
	case "batch":
		b.batch = 16
	case "filter":
		b.filter = memory.Filter{"tag": {"one"}}
	}
	if err := b.readQueries(args[3], args[4]); err != nil {
		return err
	}
	base, err := mapFile(args[1], n*dim*4)
	if err != nil {
		return err
	}
	start, cpu := time.Now(), processor()
	stop, err := profile(os.Getenv("VECBENCH_PROFILE"))
	if err != nil {
		return err
	}
	err = b.build(vec.FloatsOf(base), n)
	stop()
	ready := map[string]any{"ready": 1, "build_s": time.Since(start).Seconds(), "build_cpu_s": processor() - cpu}
	err = errors.Join(err, syscall.Munmap(base))
	if err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond) // the store lets go of what a next write would use
	debug.FreeOSMemory()
	b.ask(b.queries[:1])
	st, err := os.Stat(b.path)
	if err != nil {
		return err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	stats, err := b.store.Stats()
	if err != nil {
		return err
	}
	ready["mem_bytes"], ready["disk_bytes"], ready["threads"] = resident("VmRSS"), st.Size(), 1
	ready["note"] = fmt.Sprintf("%s kernels; heap and codes %.1f B/vec, the rest of RSS is page cache", vec.Kernel(), float64(int64(m.HeapAlloc)+stats.CodeBytes)/float64(n))
	enc := json.NewEncoder(out)
	if err := enc.Encode(ready); err != nil {
		return err
	}
	sc := bufio.NewScanner(in)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) == 0 || f[0] == "quit" {
			break
		}
		answer, err := b.command(f)
		if err != nil {
			return err
		}
		if err := enc.Encode(answer); err != nil {
			return err
		}
	}
	b.search.Close()
	return b.store.Close()
}

func (b *bench) command(f []string) (any, error) {
	switch {
	case f[0] == "recall" && len(f) == 2:
		m, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, err
		}
		m = min(m, len(b.queries))
		hit := 0
		for i := range m {
			for _, id := range b.ask(b.queries[i : i+1])[0] {
				for _, t := range b.truth[i] {
					if int(id) == t+1 {
						hit++
					}
				}
			}
		}
		return map[string]any{"recall": float64(hit) / float64(m*top), "m": m}, nil
	case f[0] == "round" && len(f) == 2:
		secs, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return nil, err
		}
		stop, err := profile(os.Getenv("VECBENCH_ROUNDS"))
		if err != nil {
			return nil, err
		}
		defer stop()
		return b.round(secs), nil
	case f[0] == "open":
		cold, err := b.reopen(true)
		if err != nil {
			return nil, err
		}
		warm, err := b.reopen(false)
		return map[string]any{"cold_open_s": cold, "warm_open_s": warm}, err
	}
	return nil, fmt.Errorf("unknown command %q", f)
}

// round asks queries for a time and reports how long each took.
func (b *bench) round(secs float64) any {
	var lat []float64
	asked := 0
	start, cpu := time.Now(), processor()
	for time.Since(start).Seconds() < secs || asked == 0 {
		t := time.Now()
		var qs [][]float32
		for range b.batch {
			qs = append(qs, b.queries[b.asked%len(b.queries)])
			b.asked++
		}
		b.ask(qs)
		asked += len(qs)
		if len(lat) < 2000 {
			lat = append(lat, time.Since(t).Seconds()/float64(len(qs)))
		}
	}
	return map[string]any{"q": asked, "wall": time.Since(start).Seconds(), "cpu": processor() - cpu, "lat": lat}
}

func (b *bench) ask(qs [][]float32) [][]memory.ID {
	ids, err := b.search.Nearest(qs, b.filter, b.opts)
	if err != nil {
		panic(err) // the queries were checked
	}
	return ids
}

// reopen closes the store and times opening it and one answer.
func (b *bench) reopen(cold bool) (float64, error) {
	b.search.Close()
	if err := b.store.Close(); err != nil {
		return 0, err
	}
	if cold {
		if err := dropCache(b.path); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	if err := b.open(); err != nil {
		return 0, err
	}
	b.ask(b.queries[:1])
	return time.Since(start).Seconds(), nil
}

func (b *bench) open() (err error) {
	if b.store, err = memory.Open(b.path, memory.Options{}); err != nil {
		return err
	}
	b.search, err = b.store.Vectors()
	return err
}

// mapFile reads the first bytes of a file into memory: the vectors are there before a build is timed, as every peer has them.
func mapFile(path string, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_POPULATE)
}

// build stores the vectors, 32768 in a transaction.
func (b *bench) build(base []float32, n int) (err error) {
	if err := os.Remove(b.path); err != nil && !os.IsNotExist(err) {
		return err
	}
	if b.store, err = memory.Open(b.path, memory.Options{}); err != nil {
		return err
	}
	const batch = 32768
	items := make([]memory.Item, 0, batch)
	for at := 0; at < n; at += batch {
		items = items[:0]
		rows := min(batch, n-at)
		for i := range rows {
			v := base[(at+i)*dim : (at+i+1)*dim : (at+i+1)*dim]
			it := memory.Item{Namespace: memory.User, Text: "x", Vector: v}
			if b.filter != nil && (at+i)%100 == 7 {
				it.Tags = []string{"one"}
			}
			items = append(items, it)
		}
		if _, err := b.store.Add(context.Background(), items...); err != nil {
			return err
		}
	}
	if err := b.store.Seal(context.Background()); err != nil {
		return err
	}
	b.search, err = b.store.Vectors()
	return err
}

func (b *bench) readQueries(queries, truth string) error {
	q, err := os.ReadFile(queries)
	if err != nil {
		return err
	}
	all := vec.FloatsOf(q)
	for i := 0; i+dim <= len(all); i += dim {
		b.queries = append(b.queries, all[i:i+dim])
	}
	t, err := os.ReadFile(truth)
	if err != nil {
		return err
	}
	for i := 0; i+4*top <= len(t); i += 4 * top {
		var row []int
		for j := range top {
			row = append(row, int(int32(binary.LittleEndian.Uint32(t[i+4*j:]))))
		}
		b.truth = append(b.truth, row)
	}
	if len(b.queries) == 0 || len(b.truth) < len(b.queries) {
		return fmt.Errorf("%d queries and the truth of %d", len(b.queries), len(b.truth))
	}
	return nil
}

// processor is the CPU time used so far, in seconds.
func processor() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return math.NaN()
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) * 1e-9
}

func resident(field string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == field+":" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n * 1024
		}
	}
	return 0
}

// dropCache lets the system forget a file's pages.
func dropCache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	const dontNeed = 4
	if _, _, e := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); e != 0 {
		return e
	}
	return nil
}
