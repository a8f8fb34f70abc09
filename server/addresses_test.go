package server_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// clientAt returns a client whose address is another one of this machine.
func clientAt(t testing.TB, address string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestAddressesOfConnections: an update ends the connections whose address it shuts out and no others, be they of one
// token, and who is shut out gets the answer that everybody without a good credential gets.
func TestAddressesOfConnections(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		id, secret := i.token("x", 0)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		clients := map[string]*http.Client{"127.0.0.1": http.DefaultClient, "127.0.0.2": clientAt(t, "127.0.0.2")}
		conns := map[string]*conn{}
		for address, client := range clients {
			ws, err := connect(ctx, i.url, secret, "", client)
			if err != nil {
				t.Fatal(address, err)
			}
			t.Cleanup(func() { ws.CloseNow() }) // or the server waits for its goodbye when it stops
			conns[address] = &conn{t, ws}
			conns[address].next() // ready
		}
		update := func(list string) {
			t.Helper()
			if status, answer := i.post("/api/v1/api-tokens/update", i.session, `["`+id+`",{"allowedIps":`+list+`}]`); status != 200 {
				t.Fatal(answer)
			}
		}
		update(`["127.0.0.2","10.0.0.0/8"]`)
		if code := conns["127.0.0.1"].closed(); code != 4401 {
			t.Error("shut out, and closed with", code)
		}
		conns["127.0.0.2"].next() // the update
		conns["127.0.0.2"].send(`{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}`)
		conns["127.0.0.2"].next()
		_, nobody := i.handshake("", bearer("twt_x"))
		if refused, body := i.handshake("", bearer(secret)); refused.StatusCode != 401 || body != nobody {
			t.Errorf("shut out: %s %s; without a credential: %s", refused.Status, body, nobody)
		}
		if ws, err := connect(ctx, i.url, secret, "", clients["127.0.0.2"]); err != nil {
			t.Error("from the address that is allowed:", err)
		} else {
			ws.CloseNow()
		}
		update(`["::1"]`)
		if code := conns["127.0.0.2"].closed(); code != 4401 {
			t.Error("shut out, and closed with", code)
		}
	})
}
