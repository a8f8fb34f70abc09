// Package models is Tokenwire's storage: the GORM models, the store that reads and changes them, its migrations, and the
// tables of the feed.
//
// A [Store] is opened on a database URL and the [Key] that its secrets are stored under:
//
//	store, err := models.Open(ctx, "sqlite:tokenwire.db", key, models.Options{})
//	token, secret, err := store.CreateToken(ctx, caller, "ci", models.CreateTokenOptions{})
//
// What it promises:
//
//   - A change and its events commit in one transaction or not at all. The events of one user are numbered 1, 2, 3, …
//     without gaps, in the order of their commits, from a counter row that is bumped last before COMMIT.
//   - Ownership is part of every query: what belongs to somebody else is [NotFound], like what does not exist.
//   - Whoever grants a permission holds it, decided inside the transaction that writes, with the rows locked.
//   - A token gives nothing that goes beyond itself: what it makes or widens ends with it, is good where it is, and no oftener.
//   - Secrets are never stored: of a token or session the database has HMAC-SHA-256(key, SHA-256(secret)), and the key
//     is not in the database. A [Secret] shows itself to nobody who does not call Reveal.
//   - An [Error] is safe to show to a caller. Every other error is the server's own trouble and stays in its log.
//   - Deadlocks and certification failures are repeated, at most [maxAttempts] times, invisibly.
//
// Locks are always taken in this order: administrators, users by id, tokens, permissions, feeds by user id.
//
// Times are milliseconds since 1970 UTC ([Time]), in the database and in Go. The package knows nothing of JSON-RPC,
// HTTP or connections.
package models
