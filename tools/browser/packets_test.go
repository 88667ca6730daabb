//go:build browser

package browser_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// listenUDP counts datagrams at an address of this machine.
func listenUDP(t *testing.T, ip string) (addr string, heard func() int) {
	t.Helper()
	l, err := net.ListenPacket("udp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.LocalAddr().String(), func() int {
		l.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for n, buf := 0, make([]byte, 2048); ; n++ {
			if _, _, err := l.ReadFrom(buf); err != nil {
				return n
			}
		}
	}
}

// outer is an address of this machine beside its loopback, or the loopback's.
func outer() string {
	list, _ := net.InterfaceAddrs()
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	return "127.0.0.1"
}

// A page that asks for WebRTC and WebTransport, which speak UDP past any proxy, sends no packet and learns no address of the machine.
func TestNoDatagrams(t *testing.T) {
	near, nearHeard := listenUDP(t, "127.0.0.1")
	far, farHeard := listenUDP(t, outer())
	s := pages(t, map[string]http.HandlerFunc{"/udp.html": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, fmt.Sprintf(`<!doctype html><title>udp</title><button id=b>working</button><script>
const got = [];
const end = () => { document.getElementById("b").textContent = "finished " + got.join(" ; "); };
for (const a of [%q, %q]) {
  try { new WebTransport("https://" + a + "/").ready.catch(e => got.push("transport " + e.name)); } catch (e) { got.push("no transport"); }
}
const c = new RTCPeerConnection({iceServers: [{urls: "stun:%s"}, {urls: "stun:%s"}]});
c.createDataChannel("x");
c.onicecandidate = e => { if (e.candidate && e.candidate.candidate) got.push("candidate " + e.candidate.candidate); };
c.createOffer().then(o => c.setLocalDescription(o)).catch(e => got.push("no offer " + e.name));
setTimeout(end, 4000);
</script>`, near, far, near, far))
	}})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := boxed(t, u.Host)
	out := d.do("open", "url", s.URL+"/udp.html")
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out, "finished") && time.Now().Before(deadline); {
		time.Sleep(time.Second)
		out = d.do("outline")
	}
	t.Log(out)
	if !strings.Contains(out, "finished") {
		t.Fatal("the page's script didn't end")
	}
	if n, m := nearHeard(), farHeard(); n+m > 0 {
		t.Errorf("%d datagrams at %s, %d at %s", n, near, m, far)
	}
	if ip := outer(); ip != "127.0.0.1" && strings.Contains(out, "candidate") && strings.Contains(out, ip+" ") {
		t.Errorf("the page learnt the machine's address %s", ip)
	}
	// The listeners do hear.
	for addr, heard := range map[string]func() int{near: nearHeard, far: farHeard} {
		c, err := net.Dial("udp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		c.Close()
		if heard() != 1 {
			t.Errorf("%s heard nothing", addr)
		}
	}
}
