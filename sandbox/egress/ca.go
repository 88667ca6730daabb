package egress

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"
)

const (
	caLife   = 90 * 24 * time.Hour
	leafLife = 24 * time.Hour
	maxLeafs = 256
)

// CA issues certificates for the hosts whose TLS a Proxy terminates. There is one per daemon. Its key is made in
// memory, never leaves it and ends with the daemon; its certificate is to be trusted inside boxes only.
type CA struct {
	now  func() time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu    sync.Mutex // guards leafs
	leafs map[string]*tls.Certificate
}

// NewCA makes a CA. A nil now is time.Now.
func NewCA(now func() time.Time) (*CA, error) {
	if now == nil {
		now = time.Now
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	at := now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "agentd box CA"},
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "agentd box CA"}}, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	return &CA{now: now, cert: cert, key: key, leafs: map[string]*tls.Certificate{}}, nil
}

// PEM returns the certificate, to be trusted in boxes whose policy has secrets and nowhere else.
func (c *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

// systemBundles are where systems keep the roots that programs trust.
var systemBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"}

// Bundle returns the machine's roots and the CA's certificate as PEM: what a file that TrustEnv names holds.
func (c *CA) Bundle() ([]byte, error) {
	for _, f := range systemBundles {
		b, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the machine's roots: %w", err)
		}
		return bytes.Join([][]byte{bytes.TrimRight(b, "\n"), c.PEM()}, []byte("\n")), nil
	}
	return c.PEM(), nil
}

// TrustEnv returns the variables that make programs in a box trust the roots in file.
func TrustEnv(file string) map[string]string {
	env := map[string]string{"NODE_EXTRA_CA_CERTS": file}
	for _, k := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE"} {
		env[k] = file
	}
	return env
}

// leaf returns a certificate for a host, a new one when half of the last one's life is over.
func (c *CA) leaf(host string) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.now()
	if l := c.leafs[host]; l != nil && at.Add(leafLife/2).Before(l.Leaf.NotAfter) {
		return l, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", host, err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "agentd box"}, DNSNames: []string{host},
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}, c.cert, key.Public(), c.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", host, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", host, err)
	}
	if len(c.leafs) >= maxLeafs {
		clear(c.leafs)
	}
	l := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}
	c.leafs[host] = l
	return l, nil
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n, nil
}
