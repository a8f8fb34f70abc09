package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/tokenwire/tokenwire/client"
)

// A service behind a proxy that writes X-Real-IP, and lets in whoever it knew for ten minutes when Tokenwire is away.
func ExampleNewVerifier() {
	v, err := client.NewVerifier(context.Background(), client.VerifierOptions{
		URL:   "wss://tokens.example/api",
		Token: client.NewSecret(os.Getenv("TOKENWIRE_TOKEN")),
		Grace: 10 * time.Minute,
		ClientIP: func(r *http.Request) (netip.Addr, bool) {
			address, err := netip.ParseAddr(r.Header.Get("X-Real-IP"))
			return address, err == nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	http.Handle("GET /repos", v.Require("repo:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello,", client.FromContext(r.Context()).Username)
	})))
	listener, err := net.Listen("tcp", "127.0.0.1:9090")
	if err != nil {
		log.Fatal(err)
	}
	log.Print(http.Serve(listener, nil))
}

// A service that cannot verify any more, as its own token was switched off, had better say so than answer 503 for ever.
func ExampleVerifier_Done() {
	var v *client.Verifier // of NewVerifier
	go func() {
		<-v.Done()
		if ended, ok := errors.AsType[*client.EndedError](v.Err()); ok {
			log.Fatal("another TOKENWIRE_TOKEN is needed: ", ended)
		}
	}()
}

// Where there is no HTTP: an error is neither yes nor no.
func ExampleVerifier_Verify() {
	var v *client.Verifier // of NewVerifier
	allow := func(ctx context.Context, token string, from netip.Addr) (bool, error) {
		d, err := v.Verify(ctx, token)
		if err != nil {
			return false, err
		}
		return d.Has("repo:read") && d.From(from), nil
	}
	_ = allow
}

// The state of one's tokens, and each change of it from there on.
func ExampleClient_Events() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Options{URL: "wss://tokens.example/api", Token: client.NewSecret(os.Getenv("TOKENWIRE_TOKEN"))})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	events := c.Events(ctx) // kept from here on
	tokens, err := c.ReadTokens(ctx, client.TokensQuery{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(tokens.Tokens), "tokens")
	for event, err := range events {
		switch {
		case err != nil:
			log.Fatal(err)
		case event.Reset:
			fmt.Println("read them anew")
		default:
			fmt.Println(event.Method, string(event.Params))
		}
	}
}

// Nobody takes the token any more when this returns.
func ExampleClient_SetTokenEnabled() {
	ctx := context.Background()
	var c *client.Client // of Dial
	changed, err := c.SetTokenEnabled(ctx, "0Vbmsxw3Q71btsvy4t5X", false, client.ChangeOptions{})
	if err != nil {
		log.Fatal(err) // with errors.Is(err, client.ErrOutcomeUnknown): call again, it does no harm
	}
	fmt.Println(changed.Name, "is off:", changed.Receipt.Confirmed, "verifiers have confirmed")
}
