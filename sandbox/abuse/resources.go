//go:build linux

package abuse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"agentd/sandbox"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// children are payloads that a payload starts.
var children = map[string]func(){
	"eat": func() { // touches as much memory as it is told
		n, _ := strconv.Atoi(os.Getenv(marker + "_MIB"))
		eat(n)
		time.Sleep(time.Minute)
	},
}

// eat touches n MiB and returns when the kernel gives no more.
func eat(n int) error {
	for range (n + 15) / 16 {
		b, err := unix.Mmap(-1, 0, 16*mib, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	return nil
}

func limit(edit func(*sandbox.Limits)) func(*fixture, *sandbox.Policy) {
	return func(_ *fixture, p *sandbox.Policy) { edit(&p.Limits) }
}

func resourceCases() []abuse {
	return []abuse{
		{id: "E41", title: "fork bomb", outside: forkBomb},
		{id: "E42", title: "one process takes all memory", killed: []sandbox.Reason{sandbox.KilledMemory},
			policy: limit(func(l *sandbox.Limits) { l.Memory = 256 * mib }), inside: func(w *world) error {
				return refused("1 GiB in a box of 256 MiB", eat(1024), unix.ENOMEM)
			}},
		{id: "E43", title: "many processes take all memory", killed: []sandbox.Reason{sandbox.KilledMemory},
			policy: limit(func(l *sandbox.Limits) { l.Memory = 256 * mib }), inside: func(w *world) error {
				for range 12 {
					c := exec.Command("/proc/self/exe")
					c.Env = append(os.Environ(), marker+"=eat", marker+"_MIB=96")
					if err := c.Start(); err != nil {
						return fmt.Errorf("start a child: %w", err)
					}
				}
				time.Sleep(20 * time.Second)
				return errors.New("12 processes of 96 MiB live in a box of 256 MiB")
			}},
		{id: "E44", title: "fill the disk with many files", killed: []sandbox.Reason{sandbox.KilledDisk},
			policy: limit(func(l *sandbox.Limits) { l.Disk = 24 * mib }), inside: func(w *world) error {
				block := make([]byte, 64<<10)
				for i := range 4000 {
					if err := os.WriteFile(fmt.Sprintf("f%d", i), block, 0o600); err != nil {
						return nil // a quota of the file system is fine too
					}
					if i > 400 {
						time.Sleep(2 * time.Millisecond) // 250 MiB at most, and time to be noticed
					}
				}
				return errors.New("250 MiB were written in a box of 24 MiB")
			}},
		{id: "E44b", title: "fill the disk with one deleted file", killed: []sandbox.Reason{sandbox.KilledDisk},
			policy: limit(func(l *sandbox.Limits) { l.Disk = 24 * mib }), inside: func(w *world) error {
				f, err := os.Create("gone")
				if err != nil {
					return err
				}
				os.Remove("gone")
				block := make([]byte, mib)
				for range 200 {
					if _, err := f.Write(block); err != nil {
						return nil
					}
				}
				time.Sleep(10 * time.Second)
				return errors.New("200 MiB were written in a box of 24 MiB")
			}},
		{id: "E44c", title: "one file over the limit", policy: limit(func(l *sandbox.Limits) { l.File = 8 * mib }), inside: func(w *world) error {
			signal.Ignore(unix.SIGXFSZ)
			f, err := os.Create("big")
			if err != nil {
				return err
			}
			block := make([]byte, mib)
			for range 16 {
				if _, err = f.Write(block); err != nil {
					break
				}
			}
			return refused("a file of 16 MiB", err, unix.EFBIG)
		}},
		{id: "E45", title: "fill /tmp, by bytes and by files", killed: []sandbox.Reason{sandbox.KilledDisk}, policy: limit(func(l *sandbox.Limits) { l.Memory = 4 << 30 }), inside: func(w *world) error {
			f, err := os.Create("/tmp/big")
			if err != nil {
				return err
			}
			block := make([]byte, 4*mib)
			for range 256 {
				if _, err = f.Write(block); err != nil {
					break
				}
			}
			err1 := refused("1 GiB in /tmp", err, unix.ENOSPC)
			os.Remove("/tmp/big")
			f.Close()
			err = nil
			for i := 0; i < 200_000 && err == nil; i++ {
				err = unix.Symlink("x", "/tmp/l"+strconv.Itoa(i))
			}
			return errors.Join(err1, refused("200,000 files in /tmp", err, unix.ENOSPC))
		}},
		{id: "E46", title: "hide memory in memory files", killed: []sandbox.Reason{sandbox.KilledMemory},
			policy: limit(func(l *sandbox.Limits) { l.Memory = 128 * mib }), inside: func(w *world) error {
				block := make([]byte, mib)
				for range 8 {
					fd, err := unix.MemfdCreate("x", 0)
					if err != nil {
						return err
					}
					for range 48 {
						if _, err := unix.Write(fd, block); err != nil {
							return nil
						}
					}
				}
				time.Sleep(10 * time.Second)
				return errors.New("384 MiB of memory files live in a box of 128 MiB")
			}},
		{id: "E47", title: "spin", outside: spin},
		{id: "E48", title: "flood the output", outside: flood},
		{id: "E49", title: "escape sequences in the output", outside: func(context.Context, *fixture) error {
			return notApplicable("a box passes bytes on unchanged; who prints them neutralises control characters")
		}},
		{id: "E50", title: "use up descriptors", inside: func(w *world) error {
			var err error
			for range 5000 {
				if _, err = unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
					break
				}
			}
			return refused("5,000 descriptors", err, unix.EMFILE)
		}},
		{id: "E51", title: "raise a limit or a priority", inside: func(w *world) error {
			var err error
			for name, r := range map[string]int{"files": unix.RLIMIT_NOFILE, "processes": unix.RLIMIT_NPROC, "core": unix.RLIMIT_CORE, "file size": unix.RLIMIT_FSIZE, "data": unix.RLIMIT_DATA} {
				err = errors.Join(err, refused("raise "+name, unix.Prlimit(0, r, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40}, nil), unix.EPERM))
			}
			prio, perr := unix.Getpriority(unix.PRIO_PROCESS, 0) // the kernel says 20 minus the nice value
			if perr != nil {
				return perr
			}
			return errors.Join(err, refused("a higher priority", unix.Setpriority(unix.PRIO_PROCESS, 0, max(19-prio, -20)), unix.EACCES, unix.EPERM))
		}},
		{id: "E52", title: "a sparse file of 1 TB", inside: func(w *world) error {
			signal.Ignore(unix.SIGXFSZ)
			f, err := os.Create("sparse")
			if err != nil {
				return err
			}
			return refused("truncate", f.Truncate(1<<40), unix.EFBIG)
		}},
	}
}

// forkBomb checks that the bomb is held, ends soon after its limit, and leaves the daemon responsive meanwhile.
func forkBomb(ctx context.Context, f *fixture) error {
	p := f.basePolicy("")
	delete(p.Env, marker)
	p.Limits = sandbox.Limits{Wall: 4 * time.Second, Procs: 200}
	stop := make(chan struct{})
	late := make(chan time.Duration)
	go func() {
		var worst time.Duration
		defer func() { late <- worst }()
		for {
			from := time.Now()
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				worst = max(worst, time.Since(from)-10*time.Millisecond)
			}
		}
	}()
	from := time.Now()
	out, res, err := f.run(ctx, p, "sh", "-c", "bomb() { bomb | bomb & }; bomb; while :; do :; done")
	took := time.Since(from)
	close(stop)
	worst := <-late
	if err != nil {
		return err
	}
	alone := res.Exit != 0 && strings.Contains(out, "Cannot fork") // the shell gave up before the limit ended it
	if res.Killed != sandbox.KilledProcs && res.Killed != sandbox.KilledWall && !alone {
		return fmt.Errorf("ended by %q, exit %d: %s", res.Killed, res.Exit, out)
	}
	most := 2 * time.Second
	if f.world.Level == sandbox.LevelLandlock {
		most = 5 * time.Second // no pid namespace ends all at once
	}
	if after := took - p.Limits.Wall; after > most {
		return fmt.Errorf("the bomb was gone %v after its limit, want %v", after, most)
	}
	if worst > time.Second {
		return fmt.Errorf("the daemon was held up for %v", worst)
	}
	return nil
}

func spin(ctx context.Context, f *fixture) error {
	p := f.basePolicy("")
	delete(p.Env, marker)
	p.Limits.Wall = time.Second
	from := time.Now()
	_, res, err := f.run(ctx, p, "sh", "-c", "while :; do :; done")
	if err != nil {
		return err
	}
	if took := time.Since(from); res.Killed != sandbox.KilledWall || took > 2*time.Second {
		return fmt.Errorf("ended by %q after %v, want wall after 1s", res.Killed, took)
	}
	return nil
}

func flood(ctx context.Context, f *fixture) error {
	p := f.basePolicy("")
	delete(p.Env, marker)
	p.Limits.Output = 32 * mib
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, res, err := f.run(ctx, p, "sh", "-c", "cat /dev/zero")
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	if res.Killed != sandbox.KilledOutput {
		return fmt.Errorf("ended by %q, want output", res.Killed)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 16*mib {
		return fmt.Errorf("the daemon's heap grew by %d bytes", grown)
	}
	return nil
}
