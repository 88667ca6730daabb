package egress

import (
	"crypto/tls"
	"net"
)

// Leaf issues a certificate, for servers in tests.
func Leaf(c *CA, host string) (*tls.Certificate, error) { return c.leaf(host) }

// SetInterfaces makes p believe that the machine has these addresses.
func SetInterfaces(p *Proxy, addrs ...string) {
	p.own.read = func() ([]net.Addr, error) {
		var out []net.Addr
		for _, a := range addrs {
			out = append(out, &net.IPNet{IP: net.ParseIP(a), Mask: net.CIDRMask(32, 32)})
		}
		return out, nil
	}
}
