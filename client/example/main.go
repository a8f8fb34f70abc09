// The example is a service of ten lines that takes API tokens: whoever shows one with the permission repo:read is let in.
//
//	TOKENWIRE_TOKEN=twt_… go run ./client/example
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/tokenwire/tokenwire/client"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // to connect
	defer cancel()
	v, err := client.NewVerifier(ctx, client.VerifierOptions{
		URL: "ws://127.0.0.1:8080/api", Token: client.NewSecret(os.Getenv("TOKENWIRE_TOKEN"))})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/repos", v.Require("repo:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "These are your repositories,", client.FromContext(r.Context()).Username)
	})))
	log.Println("listening at http://127.0.0.1:9090/repos")
	log.Fatal(http.ListenAndServe("127.0.0.1:9090", nil))
}
