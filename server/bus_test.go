package server_test

import (
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/server"
)

// TestBusSettings: what is wrong is refused at the start, by the name of the setting that it is in, and a server that is away is
// not.
func TestBusSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	good := file("good.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw}))
	const mixed, none = "--nats is either nats:// for all servers or tls:// for all", "--nats-ca: "
	for _, test := range []struct{ name, url, authority, want string }{
		{"one", "nats://127.0.0.1:1", "", ""},
		{"several", "nats://127.0.0.1:1, nats://127.0.0.1:2", "", ""},
		{"several with TLS", "tls://127.0.0.1:1,tls://127.0.0.1:2", good, ""},
		{"TLS last", "nats://127.0.0.1:1,nats://127.0.0.1:2,tls://127.0.0.1:3", "", mixed},
		{"TLS first", "tls://127.0.0.1:1,nats://127.0.0.1:2", "", mixed},
		{"another scheme", "http://127.0.0.1:1", "", "--nats is nats://"},
		{"no file", "tls://127.0.0.1:1", filepath.Join(dir, "none.pem"), none},
		{"no certificate in the file", "tls://127.0.0.1:1", file("text.pem", []byte("a text\n")), none},
		{"nothing in the file", "tls://127.0.0.1:1", file("empty.pem", nil), none},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := server.OpenBus(server.BusConfig{URL: test.url, Authority: test.authority, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
			if err == nil {
				b.Close()
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)):
				t.Errorf("got %v, want an error that begins with %q", err, test.want)
			}
		})
	}
}
