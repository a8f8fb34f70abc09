package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"

	"github.com/coder/websocket"
)

// maxReply bounds what an echo answers with, in bytes.
const maxReply = 60 << 10

// serveEcho is the bare server: one goroutine a connection, which is the handler's, default options, every message
// answered by a message. With ?reply=n the answer is one of n bytes instead of the same, as a call's reply is.
func serveEcho() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", reportMemory)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Query().Get("reply"))
		var reply []byte
		if size > 0 && size <= maxReply {
			reply = []byte(strings.Repeat("x", size))
		}
		ws, err := websocket.Accept(w, r, nil)
		if err == nil {
			echo(ws, reply)
		}
	})
	return http.Serve(listener, mux)
}

func echo(ws *websocket.Conn, reply []byte) {
	defer ws.CloseNow()
	ctx := context.Background()
	for {
		kind, message, err := ws.Read(ctx)
		if err != nil {
			return
		}
		if reply != nil {
			message = reply
		}
		if ws.Write(ctx, kind, message) != nil {
			return
		}
	}
}

// reportMemory answers with those two of Prometheus' Go metrics that are compared.
func reportMemory(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, "go_memstats_heap_inuse_bytes %d\ngo_memstats_stack_inuse_bytes %d\n", m.HeapInuse, m.StackInuse)
}
