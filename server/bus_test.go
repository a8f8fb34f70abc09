package server_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
	"github.com/tokenwire/tokenwire/server"
	"github.com/tokenwire/tokenwire/server/servertest"
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

// busLog opens a bus and returns what it logs.
func busLog(t *testing.T, url string, password models.Secret) *programs.Output {
	t.Helper()
	var log programs.Output
	b, err := server.OpenBus(server.BusConfig{URL: url, Password: password, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &log
}

// TestBusSaysWhyItIsAway: at the start and later, of a server that is not there and of one that refuses, and never with the password.
func TestBusSaysWhyItIsAway(t *testing.T) {
	t.Parallel()
	const secret = "no-log-has-this"
	for _, test := range []struct {
		name string
		url  func(t *testing.T) string
		want string
	}{
		{"nothing listens", func(t *testing.T) string { return "nats://u@127.0.0.1:1" }, "connection refused"},
		{"no such host", func(t *testing.T) string { return "nats://u@host.invalid:4222" }, "lookup host.invalid"},
		{"wrong password", refusingNATS, "Authorization Violation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			awayFor(t, busLog(t, test.url(t), models.NewSecret(secret)), test.want, secret)
		})
	}
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		nats := servertest.StartNATS(t)
		log := busLog(t, strings.Replace(nats.URL(), "//", "//u@", 1), models.NewSecret(secret))
		until(t, patience, "a connection", func() bool { return strings.Contains(log.String(), "connected to the bus") })
		nats.Kill()
		awayFor(t, log, "connection refused", secret)
	})
}

// awayFor waits until a log says that the bus is away, which must be with a reason, and without a secret.
func awayFor(t *testing.T, log *programs.Output, reason, secret string) {
	t.Helper()
	const away = "the bus is away: all goes on, only slower"
	until(t, patience, "a word that the bus is away", func() bool { return strings.Contains(log.String(), away) })
	_, line, _ := strings.Cut(log.String(), away)
	if line, _, _ = strings.Cut(line, "\n"); !strings.Contains(line, reason) {
		t.Errorf("it says %s, want %q in it", line, reason)
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the password is in the log:\n%s", log.String())
	}
}

// refusingNATS is a server that ends the first connection, as one that is about to start, and then takes nobody's password: the last
// reason is the one to tell.
func refusingNATS(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for first := true; ; first = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if first {
				conn.Close()
				continue
			}
			go refuse(conn)
		}
	}()
	return "nats://u@" + listener.Addr().String()
}

// refuse does so as NATS does, and leaves it to the client to end the connection.
func refuse(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, `INFO {"server_id":"x","version":"2.10.0","proto":1,"auth_required":true,"max_payload":1048576}`+"\r\n")
	conn.Read(make([]byte, 1000)) // what it is told
	fmt.Fprint(conn, "-ERR 'Authorization Violation'\r\n")
	io.Copy(io.Discard, conn) // until the client leaves
}
