// Package web holds what browsers get: the page, and as ES modules with their types client.js, the JavaScript client, and
// verifier.js, which services verify tokens with. It is embedded in the binary.
package web

import "embed"

// Files are the files as they are served. Tests are not for browsers: they stand beside this file, not in page/.
//
//go:embed index.html client.js client.d.ts verifier.js verifier-facts.js verifier.d.ts page/*.js page/*.css
var Files embed.FS
