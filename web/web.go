// Package web holds what browsers get: the page, and client.js, the JavaScript client as an ES module, with its types. It
// is embedded in the binary.
package web

import "embed"

// Files are the files as they are served. They are named one by one: tests are not for browsers.
//
//go:embed index.html page.css page.js rows.js tokens.js words.js client.js client.d.ts
var Files embed.FS
