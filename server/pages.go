package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// policy lets the page run and show only what comes from here, and lets nobody frame it: it shows secrets.
// Trusted types refuse what would make HTML of a text, whatever a script may try.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// page is a file that is served from memory. Its ETag is a weak one: the same file may be sent compressed or not.
type page struct {
	name, kind, etag string
	body             []byte
}

// kinds are the media types of what there is, whatever the system's table says.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".ts":   "text/plain; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
}

func newPage(name string, body []byte) *page {
	sum := sha256.Sum256(body)
	return &page{name, kinds[path.Ext(name)], `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, body}
}

// readPages returns the page's files by their paths.
func readPages(files fs.FS) (map[string]*page, error) {
	pages := map[string]*page{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err == nil && kinds[path.Ext(name)] == "" {
			err = fmt.Errorf("%s: of no kind that is served", name)
		}
		pages["/"+name] = newPage(name, body)
		return err
	})
	if err == nil && pages["/index.html"] == nil {
		err = fmt.Errorf("index.html: %w", fs.ErrNotExist)
	}
	if err == nil {
		pages["/{$}"] = pages["/index.html"]
	}
	return pages, err
}

// ServeHTTP answers with the file, or with 304 where the client has it.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", p.kind)
	h.Set("ETag", p.etag)
	h.Set("Cache-Control", "no-cache") // ask each time: it is a 304, and never an old page with a new server
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*") // client.js is for other origins' pages too; nothing here is secret
	http.ServeContent(w, r, p.name, time.Time{}, bytes.NewReader(p.body))
}
