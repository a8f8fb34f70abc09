// Package client is what a service imports to use Tokenwire: a Client to call methods and hear of changes, and a Verifier
// to check the tokens that its own callers send.
//
// The smallest service:
//
//	credential := client.NewSecret(os.Getenv("TOKENWIRE_TOKEN")) // a token that holds tokens:verify
//	v, err := client.NewVerifier(ctx, client.VerifierOptions{URL: "wss://tokens.example/api", Token: credential})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer v.Close()
//	http.Handle("/repos", v.Require("repo:read")(handler)) // client.FromContext(r.Context()) says who it is
//
// And the smallest program that manages its owner's tokens:
//
//	c, err := client.Dial(ctx, client.Options{URL: "wss://tokens.example/api", Token: credential})
//	created, err := c.CreateToken(ctx, "ci", client.TokenOptions{})
//	changed, err := c.SetTokenEnabled(ctx, created.ID, false, client.ChangeOptions{}) // changed.Receipt: nobody takes it any more
//
// # The Client
//
// It holds one WebSocket and connects again by itself, with a growing random pause and not before a server's Retry-After, until
// Close or until the credential has ended (*EndedError). It promises that:
//
//   - Calls are sent in the order made, at most 32 under way; others wait. The server's answer is the result or an *Error.
//   - A call that was sent is never sent again. One whose answer cannot come fails with ErrOutcomeUnknown: it may have taken
//     effect or not, so read, then decide. Any other failure of Call says that it did not.
//   - Events come in the server's order, each once, across reconnects. Where what was missed can no longer be told, an Event
//     with Reset comes before any later one: read the state anew. Nothing is dropped in silence: whoever reads too slowly is
//     ended with ErrTooSlow, and goes on from his last Position with Options.Since.
//   - Close is idempotent, and when it returns no goroutine and no socket of the Client is left.
//
// # The Verifier
//
// It answers from memory what it has asked before, and is told of every change. What it keeps are facts (who, which
// permissions, until when, from where), never a verdict. It promises that:
//
//   - Once somebody holds the Receipt of a change, no Verify that begins from then on answers as before it: a Verifier drops
//     what it holds before it confirms. (A Receipt speaks for the verifiers of all nodes.)
//   - It answers from memory only while its lease lasts, counted from when it sent the last beat that was answered, by the
//     monotonic clock and by that on the wall: the one that says more counts. With the connection the lease is over at once.
//     So a Verifier that is cut off, or a process or a machine that was suspended, asks or says ErrUnavailable, and is late
//     by no more than Lease in hearing of a change. A clock that is put back prolongs nothing, and one that is put forward
//     has it ask until the next beat is answered.
//   - An error is never taken for an answer: Active is false only because the server said so, or because the text cannot be
//     a token. The text itself is never sent, only its SHA-256.
//   - An answer is given only to who asked before it was sent for; one for a token that changed meanwhile is asked for again.
//     Many who ask for one token at once are one request, except where each question counts (a token with a rate limit).
//   - A token is not answered for past its end, by the server's count of what is left, and by both of these clocks.
//   - It is there again soon after the server is, however long that was away, as its service refuses everybody meanwhile: a
//     Client's pauses grow to 30 s, and a Verifier's to 5 s only. A busy server may put it off for longer, by Retry-After.
//   - When its own credential ends it says so: Done is closed, and Err has the reason. It does not come back from that.
//   - Each use is counted and reported, every 10 s and at Close, at most once: a report whose answer is lost is not sent again, so that
//     uses are rather lost (Stats.LostUses) than counted twice.
//
// With Grace, and only with it, it answers from what it held while the server is away, for so long after the lease, and
// says so: Decision.Stale, Stats.Stale. Whoever sets it lets a disabled token in for so long where the network is cut.
//
// What it will not do: keep anything on disk, retry for its caller, take a token from anywhere but the Authorization header,
// or know of a pause that neither clock of its machine shows: where a virtual machine goes on with the time of when it was paused,
// it may answer as before the pause until its clock is set, or the lease has run out. Have the host set it at once.
package client
