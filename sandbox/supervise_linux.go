package sandbox

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pollEvery   = 200 * time.Millisecond // how often a running box is looked at
	walkEvery   = time.Second            // at most, once the disk has filled suspiciously
	fullPolls   = 5                      // polls at the limit on processes before the box is ended
	maxNewFiles = 500_000                // new files of one command
	clockTick   = time.Second / 100      // USER_HZ
)

// usage is what a box uses at one moment.
type usage struct {
	cpu       time.Duration
	memory    int64 // proportional set sizes, the scratch tmpfs and files that only a descriptor keeps
	processes int   // and threads
	deleted   int64 // bytes on disk in files that only a descriptor keeps
	scratch   int64 // files in the scratch tmpfs
}

// supervise starts when a box has run for a while: most are gone before. It watches what the kernel doesn't limit for a whole box, and ends it when a limit is passed.
func (p *Proc) supervise(ctx context.Context) {
	defer close(p.watched)
	limits := p.cell.plan.limits
	disk := p.disk
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	full := 0
	for n := 0; ctx.Err() == nil; n++ {
		filling := disk.filling()
		u := p.cell.look(limits.Memory, filling || n%5 == 4)
		p.count.saw(u.memory, u.cpu)
		if full++; u.processes < limits.Procs {
			full = 0
		}
		switch {
		case u.memory > limits.Memory, p.cell.group != nil && p.cell.group.oom() > p.cell.ooms:
			p.kill(KilledMemory, "memory, "+Bytes(limits.Memory))
		case u.cpu > limits.CPU:
			p.kill(KilledCPU, "CPU time, "+limits.CPU.String())
		case u.scratch > scratchInodes: // bubblewrap's tmpfs has no limit of its own
			p.kill(KilledDisk, "files in /tmp, "+strconv.Itoa(scratchInodes))
		case full >= fullPolls:
			p.kill(KilledProcs, "processes, "+strconv.Itoa(limits.Procs))
		default:
			if filling {
				if over := disk.over(u.deleted); over != "" {
					p.kill(KilledDisk, over)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// look reads the box's own /proc, where only its processes are. Exact sizes are asked for only near the limit.
func (c *cell) look(limit int64, files bool) usage {
	var u usage
	if c.procFS == nil {
		return u
	}
	init := "1"
	if c.tree {
		init = strconv.Itoa(c.init.pid)
	}
	var scratch int64
	var st unix.Statfs_t
	if c.scratch != nil && unix.Fstatfs(int(c.scratch.Fd()), &st) == nil {
		scratch = int64(st.Blocks-st.Bfree) * st.Bsize
		u.scratch = int64(st.Files - st.Ffree)
	}
	var rss int64
	pids := c.pids()
	for _, pid := range pids {
		s, ok := c.stat(pid)
		if !ok {
			continue
		}
		u.cpu += s.cpu
		if pid != init {
			rss += s.rss
			u.processes += s.threads
		}
	}
	u.memory = rss + scratch
	if u.memory > limit/2 {
		var pss, shared int64
		for _, pid := range pids {
			if pid == init {
				continue
			}
			a, b, ok := c.rollup(pid)
			if !ok {
				s, _ := c.stat(pid)
				a = s.rss
			}
			pss, shared = pss+a, shared+b
		}
		// A page of the scratch tmpfs that is mapped was counted already.
		u.memory = pss + max(0, scratch-shared)
	}
	if files {
		memory, disk := c.openFiles(pids)
		u.memory, u.deleted = u.memory+memory, disk
	}
	return u
}

func (c *cell) pids() []string {
	if c.tree {
		return c.descend(strconv.Itoa(c.init.pid), nil)
	}
	fd, err := unix.Openat(int(c.procFS.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	d := os.NewFile(uintptr(fd), "proc")
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	pids := names[:0]
	for _, n := range names {
		if n[0] >= '1' && n[0] <= '9' {
			pids = append(pids, n)
		}
	}
	return pids
}

// descend lists a process and all that descends from it.
func (c *cell) descend(pid string, list []string) []string {
	const most = 10_000
	list = append(list, pid)
	threads, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
	for _, t := range threads {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(b)) {
			if len(list) < most {
				list = c.descend(child, list)
			}
		}
	}
	return list
}

// read returns the start of a file of the box's /proc.
func (c *cell) read(name string, buf []byte) []byte {
	fd, err := unix.Openat(int(c.procFS.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

type procStat struct {
	cpu     time.Duration // with ended children that were waited for
	rss     int64
	threads int
}

func (c *cell) stat(pid string) (procStat, bool) {
	var buf [1024]byte
	text := string(c.read(pid+"/stat", buf[:]))
	i := strings.LastIndexByte(text, ')') // the name may hold anything
	if i < 0 {
		return procStat{}, false
	}
	f := strings.Fields(text[i+1:])
	if len(f) < 22 {
		return procStat{}, false
	}
	num := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	return procStat{
		cpu:     time.Duration(num(11)+num(12)+num(13)+num(14)) * clockTick,
		rss:     num(21) * int64(os.Getpagesize()),
		threads: int(num(17)),
	}, true
}

// rollup returns the proportional set size of a process and how much of it is shared memory.
func (c *cell) rollup(pid string) (pss, shmem int64, ok bool) {
	var buf [4096]byte
	for line := range strings.Lines(string(c.read(pid+"/smaps_rollup", buf[:]))) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "Pss:":
			pss, ok = n<<10, true
		case "Pss_Shmem:":
			shmem = n << 10
		}
	}
	return pss, shmem, ok
}

// openFiles adds up what only descriptors keep: memory files, and deleted files on a disk.
func (c *cell) openFiles(pids []string) (memory, disk int64) {
	type id struct{ dev, ino uint64 }
	seen := map[id]bool{}
	for _, pid := range pids {
		fd, err := unix.Openat(int(c.procFS.Fd()), pid+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		d := os.NewFile(uintptr(fd), "fd")
		names, _ := d.Readdirnames(4096)
		for _, n := range names {
			var st unix.Stat_t
			if unix.Fstatat(fd, n, &st, 0) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 0 || seen[id{st.Dev, st.Ino}] {
				continue
			}
			seen[id{st.Dev, st.Ino}] = true
			if unix.Major(st.Dev) == 0 { // no device behind it: memfd, shared memory
				memory += st.Blocks * 512
			} else {
				disk += st.Blocks * 512
			}
		}
		d.Close()
	}
	return memory, disk
}

// diskWatch notices that a command fills the disk. Free space is asked for often, since that is cheap; the files are
// only counted when it has shrunk by more than the limit, since others use the disk too.
type diskWatch struct {
	dirs    []string
	limit   int64
	started time.Time
	free    []unix.Statfs_t
	walked  time.Time
}

func newDiskWatch(pl *plan, started time.Time) *diskWatch {
	w := &diskWatch{limit: pl.limits.Disk, started: started.Add(-time.Second)}
	for _, s := range pl.sources {
		if s.owned {
			w.dirs = append(w.dirs, s.host)
		}
	}
	w.free = make([]unix.Statfs_t, len(w.dirs))
	for i, d := range w.dirs {
		unix.Statfs(d, &w.free[i])
	}
	return w
}

// filling says whether so much space or so many files went that it is worth a look at who took them.
func (w *diskWatch) filling() bool {
	if time.Since(w.walked) < walkEvery {
		return false
	}
	for i, d := range w.dirs {
		var now unix.Statfs_t
		if unix.Statfs(d, &now) != nil {
			continue
		}
		was := w.free[i]
		if int64(was.Bfree-now.Bfree)*now.Bsize > w.limit || int64(was.Ffree-now.Ffree) > maxNewFiles {
			return true
		}
	}
	return false
}

// over returns what limit was passed, or "".
func (w *diskWatch) over(deleted int64) string {
	w.walked = time.Now()
	bytes, files := deleted, 0
	for _, d := range w.dirs {
		b, n := changedSince(d, w.started)
		bytes, files = bytes+b, files+n
	}
	switch {
	case bytes > w.limit:
		return "disk, " + Bytes(w.limit)
	case files > maxNewFiles:
		return "disk, " + strconv.Itoa(maxNewFiles) + " new files"
	}
	return ""
}

// changedSince adds up the files below dir that changed after t.
func changedSince(dir string, t time.Time) (bytes int64, files int) {
	root, err := os.OpenRoot(dir) // a planted link must not lead the daemon elsewhere
	if err != nil {
		return 0, 0
	}
	defer root.Close()
	fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if st, ok := statOf(info); ok && time.Unix(st.Ctim.Unix()).After(t) {
			bytes += st.Blocks * 512
			files++
		}
		return nil
	})
	return bytes, files
}

func statOf(info fs.FileInfo) (*syscall.Stat_t, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
