// Package server is Tokenwire's rim: HTTP, WebSocket, credentials, origins, limits, static files and shutdown. What calls
// mean is the business of package rpc.
//
//	s, err := server.New(server.Config{Service: service, Store: store, Log: log, Metrics: registry, Files: web.Files})
//	err = s.Serve(ctx, listener) // until ctx ends
//
// What it promises:
//
//   - A connection is upgraded only for a good credential. A cookie counts only with an allowed Origin; what a request
//     says in Host proves nothing. A credential is never taken from a URL, never echoed and never logged.
//   - Where a request comes from is its peer's address, at all doors alike, and what a header says of that only where the peer
//     is a proxy that is trusted.
//   - Whether a token is good is answered with yes, with no, or with an error: no error is an answer, and lets nobody through.
//   - What a peer sends is bounded: headers, bodies, frames, fragments, pings, and the time that each may take. Who breaks
//     the WebSocket protocol is closed with 1003, 1007, 1008 or 1009.
//   - A peer that does not read is given a bounded time and a bounded buffer, and costs nobody else anything.
//   - Serve returns when no goroutine of it is left: it stops accepting, tells clients to go (1001), lets calls under way
//     finish for up to 10 s, and cuts off what is left.
package server
