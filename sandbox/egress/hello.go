package egress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	recordHandshake  = 22
	messageHello     = 1
	extensionName    = 0
	maxHello         = 32 << 10
	maxRecordPayload = 16 << 10
)

var errHello = errors.New("the TLS ClientHello can't be read")

// clientHello is what a program says about whom it wants to talk to.
type clientHello struct {
	name string // as sent; "" if there is none
}

// matches refuses a connection whose server name isn't the host that was judged.
func (h clientHello) matches(t Target) error {
	if t.Name == "" {
		if h.name != "" {
			return fmt.Errorf("the TLS server name %q is sent to an address: connect to the name instead", cut(h.name))
		}
		return nil
	}
	if h.name == "" {
		return errors.New("the TLS connection names no server, so it can't be told from one to another host")
	}
	if name, err := ParseName(h.name); err != nil || name != t.Name {
		return fmt.Errorf("the TLS server name %q is not the host that the connection was opened for", cut(h.name))
	}
	return nil
}

// readHello reads the first message of TLS, and returns the bytes that it took.
func readHello(in *bufio.Reader) (clientHello, []byte, error) {
	var raw, message []byte
	for {
		header, err := in.Peek(5)
		if err != nil {
			return clientHello{}, nil, errHello
		}
		size := int(binary.BigEndian.Uint16(header[3:]))
		if header[0] != recordHandshake || header[1] != 3 || size == 0 || size > maxRecordPayload || len(raw)+size > maxHello {
			return clientHello{}, nil, errHello
		}
		at := len(raw)
		raw = append(raw, make([]byte, 5+size)...)
		if _, err := io.ReadFull(in, raw[at:]); err != nil {
			return clientHello{}, nil, errHello
		}
		message = append(message, raw[at+5:]...)
		if len(message) < 4 {
			continue
		}
		length := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
		if message[0] != messageHello || length > maxHello {
			return clientHello{}, nil, errHello
		}
		if len(message) < 4+length {
			continue
		}
		if len(message) > 4+length {
			return clientHello{}, nil, errHello // something hides behind it
		}
		h, err := parseHello(message[4:])
		return h, raw, err
	}
}

// cursor takes length-prefixed fields off a message. After a short read it stays bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) uint(bytes int) int {
	n := 0
	for _, b := range c.take(bytes) {
		n = n<<8 | int(b)
	}
	return n
}

func (c *cursor) field(bytes int) []byte { return c.take(c.uint(bytes)) }

func parseHello(b []byte) (clientHello, error) {
	c := cursor{b: b}
	c.take(2 + 32) // version, random
	c.field(1)     // session
	c.field(2)     // cipher suites
	c.field(1)     // compression
	if c.bad {
		return clientHello{}, errHello
	}
	var h clientHello
	if len(c.b) == 0 {
		return h, nil
	}
	list := cursor{b: c.field(2)}
	if c.bad || len(c.b) > 0 {
		return h, errHello
	}
	seen := map[int]bool{}
	for len(list.b) > 0 {
		kind := list.uint(2)
		body := list.field(2)
		if list.bad || seen[kind] {
			return h, errHello
		}
		seen[kind] = true
		if kind != extensionName {
			continue
		}
		names := cursor{b: body}
		entries := cursor{b: names.field(2)}
		kindOfName := entries.uint(1)
		name := entries.field(2)
		if names.bad || entries.bad || len(names.b) > 0 || len(entries.b) > 0 || kindOfName != 0 || len(name) == 0 {
			return h, errHello // none, or two names
		}
		h.name = string(name)
	}
	return h, nil
}
