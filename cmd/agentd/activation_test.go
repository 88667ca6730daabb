package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNothingPassed(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"started by hand":    {},
		"meant for a parent": {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
		"no number":          {"LISTEN_PID": "x", "LISTEN_FDS": "1"},
	} {
		if ln, err := passed(func(n string) string { return env[n] }, 4711, "/s"); ln != nil || err != nil {
			t.Errorf("%s: %v, %v", name, ln, err)
		}
	}
	two := map[string]string{"LISTEN_PID": "4711", "LISTEN_FDS": "2"}
	if _, err := passed(func(n string) string { return two[n] }, 4711, "/s"); err == nil {
		t.Error("two sockets are taken for one")
	}
}

// activated is set in a process that was started with a socket, as systemd does.
const activated = "AGENTD_TEST_ACTIVATED"

func TestMain(m *testing.M) {
	if socket := os.Getenv(activated); socket != "" {
		ln, err := passed(func(n string) string {
			return map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "1"}[n]
		}, 7, socket)
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(0)
		}
		c, err := ln.Accept()
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(0)
		}
		c.Write([]byte("served"))
		c.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPassedSocket(t *testing.T) {
	for _, c := range []struct{ name, listens, wants, says string }{
		{"its own", "s", "s", ""},
		{"another one", "s", "other", "socket activation: the unit listens at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "act")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, c.listens), Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			f, err := ln.File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), activated+"="+filepath.Join(dir, c.wants))
			cmd.ExtraFiles = []*os.File{f}
			var out strings.Builder
			cmd.Stdout = &out
			client, err := net.Dial("unix", filepath.Join(dir, c.listens)) // waits in the queue
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.String(), c.says) || c.says == "" && out.String() != "" {
				t.Fatalf("it says %q", out.String())
			}
			if c.says == "" {
				buf := make([]byte, 6)
				client.SetReadDeadline(time.Now().Add(5 * time.Second))
				if n, err := client.Read(buf); err != nil || string(buf[:n]) != "served" {
					t.Errorf("the client that waited got %q, %v", buf[:n], err)
				}
			}
		})
	}
}
