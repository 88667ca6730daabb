package api_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// socketVariable makes the test program ask the socket that it names for /v1/info and print the answer: it is started
// as another user.
const socketVariable = "AGENTD_TEST_ASK_SOCKET"

func TestMain(m *testing.M) {
	if socket := os.Getenv(socketVariable); socket != "" {
		if err := askSocket(socket); err != nil {
			fmt.Println(err)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func askSocket(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET /v1/info HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// asUser asks a socket as another user and returns what it answers.
func asUser(t *testing.T, uid uint32, socket string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{socketVariable + "=" + socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
