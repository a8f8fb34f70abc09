// Package web holds what browsers get: the page, and client.js, the JavaScript client as an ES module. It is embedded in
// the binary.
package web

import "embed"

// Files are the files as they are served.
//
//go:embed index.html client.js
var Files embed.FS
