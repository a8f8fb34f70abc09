package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// origins are those whose pages may use a cookie: scheme, host and port, as browsers write them (RFC 6454, section 6.2).
type origins struct {
	mu      *sync.RWMutex
	allowed map[string]bool
}

func parseOrigins(configured []string) (origins, error) {
	o := origins{&sync.RWMutex{}, map[string]bool{}}
	for _, origin := range configured {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" ||
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return o, fmt.Errorf("an origin is http(s)://<host>[:<port>] and nothing more, not %q", origin)
		}
		o.allowed[writeOrigin(u.Scheme, u.Hostname(), u.Port())] = true
	}
	return o, nil
}

// addListener allows the origins of the address that the server listens on, and of localhost at its port.
func (o origins) addListener(address net.Addr) {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range []string{host, "localhost", "127.0.0.1", "::1"} {
		o.allowed[writeOrigin("http", h, port)] = true
	}
}

func writeOrigin(scheme, host, port string) string {
	host = strings.ToLower(host)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

func (o origins) allow(origin string) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.allowed[origin]
}

// cors lets pages of allowed origins read answers. Others may still send a bearer, but not from a browser's fetch.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); s.origins.allow(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
	}
}

func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	w.Header().Set("Access-Control-Allow-Methods", "POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}
