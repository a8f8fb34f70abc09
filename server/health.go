package server

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Times of /readyz: how long the database has to answer, and for how long an answer counts, so that whoever asks often
// does not load the database.
const (
	readyTimeout = 2 * time.Second
	readyFor     = time.Second
)

// healthy says that the process lives.
func healthy(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }

// readiness remembers the last answer of the database.
type readiness struct {
	mu    sync.Mutex
	at    time.Time
	ready bool
}

// readyz says whether requests can be served: the database answers and can be written to, and the server is not stopping.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case !s.ready.ask(s.Store.Ping):
		http.Error(w, "the database is not available", http.StatusServiceUnavailable)
	default:
		w.Write([]byte("ready\n"))
	}
}

func (r *readiness) ask(ping func(context.Context) error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) > readyFor {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		r.ready = ping(ctx) == nil
		r.at = time.Now()
	}
	return r.ready
}
