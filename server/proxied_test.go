//go:build linux

package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// nginxAround is what a configuration of docs/proxies.md needs around it to run by itself, with files in a folder.
const nginxAround = `daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
%[2]s
}
`

// proxied is Tokenwire, and a service for whoever shows a good token, behind nginx.
type proxied struct {
	*program
	address string // of nginx
	trusted *x509.CertPool
	process *programs.Process
	log     programs.Output

	mu   sync.Mutex
	seen []*http.Request // by the service, with their bodies as X-Body
}

// nginxCommand returns nginx, or ends the test for the want of it.
func nginxCommand(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	programs.Missing(t, "nginx to test behind", errors.New("install nginx-light"))
	return ""
}

// startProxied starts all of them, nginx as docs/proxies.md has it.
func startProxied(t *testing.T, database string) *proxied {
	t.Helper()
	nginx := nginxCommand(t)
	p := &proxied{program: &program{Program: servertest.Start(t, database, "--origin", "https://tokens.example.org", "--trusted-proxy", "127.0.0.1"), t: t}}
	p.session = p.SignIn("admin", servertest.Password)
	service := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(service.Close)
	folder := t.TempDir()
	certificate, key := p.certify(folder)
	configuration := docsBlock(t, "nginx")
	for from, to := range map[string]string{
		"127.0.0.1:8080": strings.TrimPrefix(p.URL(), "http://"), "127.0.0.1:9000": service.Listener.Addr().String(),
		"/etc/ssl/certs/example.org.pem": certificate, "/etc/ssl/private/example.org.key": key,
	} {
		if !strings.Contains(configuration, from) {
			t.Fatalf("docs/proxies.md has no %s", from)
		}
		configuration = strings.ReplaceAll(configuration, from, to)
	}
	err := programs.OnFreePort(func(port int) error {
		p.address = programs.Address(port)
		return p.startNginx(nginx, folder, strings.ReplaceAll(configuration, "listen 443 ssl;", "listen "+p.address+" ssl;"))
	})
	if err != nil {
		t.Fatalf("start nginx: %v\n%s", err, p.log.String())
	}
	t.Cleanup(func() {
		if err := p.process.Kill(patience); err != nil {
			t.Error("end nginx:", err)
		}
		if t.Failed() {
			t.Logf("nginx's log:\n%s", p.log.String())
		}
	})
	return p
}

func (p *proxied) startNginx(nginx, folder, configuration string) error {
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxAround, folder, configuration), 0o600); err != nil {
		return err
	}
	p.log.Reset()
	command := exec.Command(nginx, "-p", folder, "-c", file, "-e", "stderr")
	command.Stdout, command.Stderr = &p.log, &p.log
	var err error
	if p.process, err = programs.Start(command); err != nil {
		return err
	}
	err = p.process.Poll(patience, func() error {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil && strings.Contains(p.log.String(), "Address already in use") {
		err = fmt.Errorf("%w: %w", programs.ErrPortTaken, err)
	}
	return err
}

// certify writes a certificate and its key, and has clients trust that for whatever host.
func (p *proxied) certify(folder string) (certificate, key string) {
	p.t.Helper()
	s := httptest.NewTLSServer(nil) // it has one
	defer s.Close()
	private, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	certificate, key = filepath.Join(folder, "certificate.pem"), filepath.Join(folder, "key.pem")
	err = errors.Join(err,
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		p.t.Fatal(err)
	}
	p.trusted = x509.NewCertPool()
	p.trusted.AddCert(s.Certificate())
	return certificate, key
}

// client returns a client that comes to nginx from an address of this machine, whatever host it asks for.
func (p *proxied) client(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: p.trusted, ServerName: "example.com"}, // the host of httptest's certificate
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, p.address)
		},
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// ask sends a request through nginx, and returns the response with its body read.
func (p *proxied) ask(client *http.Client, method, url, body string, header http.Header) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response, string(answer)
}

// last returns the last request that the service has seen, and how many there were.
func (p *proxied) last() (*http.Request, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		return nil, 0
	}
	return p.seen[len(p.seen)-1], len(p.seen)
}

// make makes a token with options, and returns its id and secret.
func (p *proxied) make(options string) (id, secret string) {
	p.t.Helper()
	var made struct{ ID, Token string }
	p.Call(p.session, "/v1/api-tokens/create", &made, "made", jsontext.Value(options))
	return made.ID, made.Token
}

// docsBlock returns the first block of a language in docs/proxies.md.
func docsBlock(t testing.TB, language string) string {
	t.Helper()
	docs, err := os.ReadFile("../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(docs), "\n```"+language+"\n")
	block, _, ended := strings.Cut(after, "\n```\n")
	if !found || !ended {
		t.Fatalf("docs/proxies.md has no %s", language)
	}
	return block
}

// serve is the service.
func (p *proxied) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Header.Set("X-Body", string(body))
	p.mu.Lock()
	p.seen = append(p.seen, r)
	p.mu.Unlock()
	switch r.URL.Path {
	case "/orders/forbidden":
		http.Error(w, "the service's own", http.StatusForbidden)
	case "/orders/broken":
		http.Error(w, "the service's own", http.StatusInternalServerError)
	default:
		fmt.Fprint(w, "an order")
	}
}
