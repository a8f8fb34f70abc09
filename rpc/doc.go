// Package rpc answers JSON-RPC 2.0 calls and pushes events, over any transport that carries messages. It knows nothing of
// HTTP or WebSocket.
//
//	service := rpc.NewService(store, rpc.Options{Log: log, Metrics: registry, Version: "1.0"})
//	answer := service.Handle(ctx, identity, door, message)     // one message, no connection
//	service.Serve(transport, identity, door, start)            // a connection, until it ends
//
// One method table (methods.go) stands behind every door. Calls are dispatched from it, params are decoded strictly into
// the structs that it names, and the OpenRPC document is made from it.
//
// How a connection works:
//
//	transport ──> Conn.read ──> answered from memory, or a goroutine per call (at most 32)
//	                                │                        │ commit
//	                                ▼                        ▼
//	transport <── outbox <───── replies          store ──> hub ──> feed of the user ──> Conn.deliver ──> outbox
//
// How a token is verified:
//
//	question ──> facts in memory (kept.go), else store.Facts ──> answer; a verifier may hold it under its lease
//	                  ▲ dropped
//	change ──commit──> hub.dispatch ──> watch ──> /v1/verifier/changed to the leases ──> confirm ──> receipt of the change
//
// How several nodes on one database know of each other's changes (node.go, hints.go, sweep.go, settlement.go; docs/nodes.md):
//
//	commit ──> hint changed ──bus──> other nodes: read the feed, dispatch
//	call with a receipt ──> hint wanted ──bus──> the same, wait for their verifiers ──> table acknowledgements ──> hint settled
//	                 └── no answer for 300 ms, or no bus ──> nodes.wanted + 1 ──> their next sweep ──> nodes.answered
//	every 250 ms: sweep of all feeds here ──> memory may be answered from for 1 s
//
// What it promises:
//
//   - A connection gets every event of its user after its starting position, in the order of their commits, each once. The
//     first message is /v1/session/ready.
//   - The reply to a call comes before the notifications of what that call changed, on the connection that called. On
//     all others the notifications are in their queues before the reply is sent.
//   - A connection's rights are those after the last event delivered to it; a call that takes rights away is answered
//     after every connection on this node has lost them.
//   - What ends a credential tells its connections (/v1/session/ended) and closes them with 4401, whatever is under way.
//     Calls that come after it on such a connection are by nobody.
//   - The publisher never waits for a subscriber. A connection has one queue, bounded by count and bytes, and one writer
//     at a time; one that cannot keep up is closed with 4008 and can resume.
//   - An event is encoded once, however many connections get it.
//   - Facts are kept only if no later event of their user was dispatched before, and dropped before anybody is told of a change.
//     A node that is not sure to hear of changes answers nothing from memory and renews no lease.
//   - A receipt comes when every verifier that held what a change makes untrue has confirmed, or its lease has run out, on all
//     nodes; also those that an earlier process gave. A wait that is cut is an error, and the change stands.
//   - What a node answers from memory is at most 1 s behind what any node has committed, and not behind any receipt.
//   - Nothing rests on the bus: with hints lost, repeated or made up all of this holds, later. What a node says of itself in
//     the database it says after it has done it.
//   - A node that does not answer is waited for until nothing it knew can be acted on: 1 s, and its longest lease. One that goes
//     on after that finds out before it answers anything.
//   - A panic in a method is an internal error of that call; an error that is none of the caller's business is in the log
//     under the requestId that he is given.
//
// Locks are taken in this order: feed.reading, feed.mu, then hub.mu, lease.mu, outbox.mu. node.mu may be held while the database
// is asked, and is taken after none of these.
package rpc
