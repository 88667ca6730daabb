// Package egress is the only way out of a box: it decides where a program may connect, makes the connection itself and
// keeps count of it.
//
// A Proxy speaks HTTP CONNECT, plain HTTP to absolute URLs and SOCKS5 on one port, told apart by the first byte. The
// daemon's own requests take the same way through Proxy.Client. A decision is made in one order: parse and normalise;
// judge the name, before any look-up; judge the port; look the name up in the daemon; judge every address it has; dial
// one of exactly those; on TLS compare the server name of the ClientHello; then relay within limits.
package egress
