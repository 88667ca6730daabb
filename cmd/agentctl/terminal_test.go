//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentd/api"
	"agentd/journal"
)

// screen is agentctl on a terminal: what it wrote so far, and the keys to press.
type screen struct {
	t    *testing.T
	tty  *os.File // the master's end
	cmd  *exec.Cmd
	text string
	more chan string
}

// onTerminal starts agentctl on a new terminal, with a home and a workspace of its own.
func onTerminal(t *testing.T, home string, env []string, args ...string) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("no terminal can be made: %v", err)
	}
	var slave *os.File
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		n, ioErr := unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		if err = ioErr; err == nil {
			err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		}
		if err == nil {
			err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100})
		}
		if err == nil {
			slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		}
	}); err != nil || slave == nil {
		t.Fatalf("make a terminal: %v", err)
	}
	defer slave.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, tty: master, cmd: exec.Command(self), more: make(chan string, 100)}
	s.cmd.Args = append([]string{"agentctl"}, args...)
	s.cmd.Dir = t.TempDir()
	s.cmd.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR=", "AGENTD_HOME="+home), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.more)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if n > 0 {
				s.more <- string(buf[:n])
			}
			if err != nil { // the program ended
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // gone already is fine
		master.Close()
		for range s.more {
		}
	})
	return s
}

// expect reads until a text is on the screen, and forgets what was before it.
func (s *screen) expect(want string) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if i := strings.Index(s.text, want); i >= 0 {
			s.text = s.text[i+len(want):]
			return
		}
		select {
		case m, ok := <-s.more:
			if !ok {
				s.t.Fatalf("ended without %q; the rest was %q", want, s.text)
			}
			s.text += m
		case <-deadline:
			s.t.Fatalf("no %q came; there is %q", want, s.text)
		}
	}
}

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code and the rest of the screen.
func (s *screen) exit() (int, string) {
	s.t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait() // the code is looked at below
	for m := range s.more {
		s.text += m
	}
	return s.cmd.ProcessState.ExitCode(), s.text
}

// home is a data folder whose daemon ends with the test.
func testHome(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agentctl") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopDaemon(dir)
		for range 200 { // the daemon writes into it until it has ended
			if _, err := api.Dial(dir + "/agentd.sock"); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		os.RemoveAll(dir)
	})
	return dir
}

func statusOf(t *testing.T, home string) journal.Status {
	t.Helper()
	c, err := api.Dial(home + "/agentd.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	runs, err := c.List(t.Context(), journal.Filter{Limit: 1})
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs: %v, %v", runs, err)
	}
	return runs[0].Status
}

func TestTerminalAsks(t *testing.T) {
	home := testHome(t)
	s := onTerminal(t, home, nil, "run", "ask for it")
	s.expect("asks: may it run?")
	s.expect("allow it? (y once, r for this run, a always, n no, or n and a reason) ")
	s.press("perhaps\n")
	s.expect("allow it? (y once, r for this run, a always, n no, or n and a reason) ")
	s.press("y\n")
	s.expect("answered: allow")
	s.expect("accepted")
	s.expect("done: ask for it")
	if code, rest := s.exit(); code != 0 {
		t.Errorf("exit code %d, screen %q", code, rest)
	}
	// Answered from elsewhere, the question goes away.
	s = onTerminal(t, home, nil, "run", "ask for it")
	s.expect("allow it? (y once, r for this run, a always, n no, or n and a reason) ")
	c, err := api.Dial(home + "/agentd.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	run, err := c.Resolve(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Answer(t.Context(), run, "c1", api.Answer{Answer: "deny"}); err != nil {
		t.Fatal(err)
	}
	s.expect("denied by policy")
	if code, rest := s.exit(); code != 6 {
		t.Errorf("exit code %d, screen %q; want 6", code, rest)
	}
}

func TestTerminalInterrupts(t *testing.T) {
	tests := []struct {
		name   string
		do     func(*screen)
		code   int
		status journal.Status
	}{
		{"detach", func(s *screen) {
			s.press("\x03")
			s.expect("[d]etach")
			s.press("d\n")
			s.expect("the run goes on")
		}, 0, journal.StatusRunning},
		{"go on, then cancel", func(s *screen) {
			s.press("\x03")
			s.expect("[c]ancel")
			s.press("\n")
			s.expect("step 1") // the live line is back
			s.press("\x03")
			s.expect("[c]ancel")
			s.press("c\n")
			s.expect("cancelling")
			s.expect("cancelled")
		}, 130, journal.StatusCancelled},
		{"twice", func(s *screen) {
			s.press("\x03")
			s.expect("[c]ancel")
			s.press("\x03")
			s.expect("cancelled")
		}, 130, journal.StatusCancelled},
		{"the terminal closes", func(s *screen) { s.tty.Close() }, 0, journal.StatusRunning},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := testHome(t)
			s := onTerminal(t, home, nil, "run", "slow work here")
			s.expect("step 1")
			tt.do(s)
			if code, rest := s.exit(); code != tt.code {
				t.Errorf("exit code %d, want %d; screen %q", code, tt.code, rest)
			}
			if got := statusOf(t, home); got != tt.status {
				t.Errorf("the run is %s, want %s", got, tt.status)
			}
		})
	}
}

func TestTerminalEscapes(t *testing.T) {
	home := testHome(t)
	tests := []struct {
		name                string
		env                 []string
		args                []string
		moves, paints, none bool
	}{
		{name: "terminal", moves: true, paints: true},
		{name: "NO_COLOR", env: []string{"NO_COLOR=1"}, moves: true},
		{name: "dumb", env: []string{"TERM=dumb"}, none: true},
		{name: "plain", args: []string{"--plain"}, none: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := onTerminal(t, home, tt.env, append([]string{"run", "slow work here"}, tt.args...)...)
			s.expect("limits")
			time.Sleep(600 * time.Millisecond) // two beats of the live line
			var seen string
			s.press("\x03")
			for !strings.Contains(s.text, "[c]ancel") {
				m, ok := <-s.more
				if !ok {
					t.Fatalf("ended: %q", s.text)
				}
				s.text += m
			}
			seen = s.text
			s.press("c\n")
			_, rest := s.exit()
			seen += rest
			if got := strings.Contains(seen, "\r\x1b[K"); got != tt.moves {
				t.Errorf("a moving line: %v, want %v: %q", got, tt.moves, seen)
			}
			if got := strings.Contains(seen, "\x1b[33m"); got != tt.paints {
				t.Errorf("colours: %v, want %v: %q", got, tt.paints, seen)
			}
			if tt.none && strings.Contains(seen, "\x1b") {
				t.Errorf("an escape code: %q", seen)
			}
		})
	}
}

// The socket of another user is told as such, with what to do, and exit 1.
func TestSocketOfAnotherUser(t *testing.T) {
	home := testHome(t)
	ln, err := api.Places{Home: home, Socket: home + "/agentd.sock"}.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"agentctl", "ls"}
	cmd.Env = append(os.Environ(), "AGENTD_HOME="+home)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65123, Gid: 65123}}
	} else if err := os.Chmod(home+"/agentd.sock", 0); err != nil { // nobody else's can be made: one that may not be used is told alike
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("the socket %s/agentd.sock belongs to uid %d", home, os.Getuid())
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), want) || !strings.Contains(string(out), "hint: set AGENTD_HOME") {
		t.Errorf("exit code %d, output %q; want 1 and %q with a hint", code, out, want)
	}
}
