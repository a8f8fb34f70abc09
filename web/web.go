// Package web holds what browsers get: the page, and client.js, the JavaScript client as an ES module, with its types. It
// is embedded in the binary.
package web

import "embed"

// Files are the files as they are served. Tests are not for browsers: they stand beside this file, not in page/.
//
//go:embed index.html client.js client.d.ts page/*.js page/*.css
var Files embed.FS
