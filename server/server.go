package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// Bounds of HTTP.
const (
	headerTimeout = 10 * time.Second                               // for a request's header: a handshake is not left half open
	bodyTimeout   = 30 * time.Second                               // for a request with its body
	answerTimeout = bodyTimeout + rpc.LongestCall + 15*time.Second // from the header on: for the answer to be made, and taken
	idleTimeout   = 2 * time.Minute                                // between requests
	maxHeader     = 16 << 10                                       // bytes
	stopTimeout   = 10 * time.Second                               // for what is under way when the server stops
)

// Config is what a server is made of.
type Config struct {
	Service *rpc.Service
	Store   *models.Store
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Files   fs.FS            // the page: index.html and what it needs
	Origins []string         // allowed beside those of the listening address and localhost
	Proxies models.Addresses // whose X-Forwarded-For counts
}

// Server answers HTTP requests and WebSocket connections.
type Server struct {
	Config
	origins  origins
	handler  http.Handler
	stopping atomic.Bool
	underWay sync.WaitGroup // requests and connections
	open     atomic.Int64
	ready    readiness
	gate     *gate
}

// New returns a server. It fails if an origin or a file is not as it should be.
func New(c Config) (*Server, error) {
	s := &Server{Config: c, gate: newGate(c.Metrics)}
	var err error
	if s.origins, err = parseOrigins(c.Origins); err != nil {
		return nil, err
	}
	pages, err := readPages(c.Files)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api", s.upgrade)
	mux.HandleFunc("POST /api", s.postMessage)
	mux.HandleFunc("POST /api/", s.postCall)
	mux.HandleFunc("/api", notPost)
	mux.HandleFunc("/api/", notPost)
	mux.HandleFunc("OPTIONS /api", s.preflight)
	mux.HandleFunc("OPTIONS /api/", s.preflight)
	mux.HandleFunc("POST "+introspectPath, s.introspect)
	mux.HandleFunc(introspectPath, s.notIntrospect)
	mux.Handle("GET /openrpc.json", gzhttp.GzipHandler(newPage("openrpc.json", c.Service.OpenRPC())))
	mux.HandleFunc("GET /healthz", healthy)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
	for path, page := range pages {
		mux.Handle("GET "+path, gzhttp.GzipHandler(page)) // never an answer with a secret in it
	}
	s.handler = s.counted(mux)
	return s, nil
}

// counted counts the requests under way, so that the server does not end before them. It has the door for proxies too: the
// mux would redirect what has // or .. in its path, and that is somebody else's path.
func (s *Server) counted(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.underWay.Add(1)
		defer s.underWay.Done()
		if s.stopping.Load() { // the next request is for another node
			w.Header().Set("Connection", "close")
		}
		if below, ok := strings.CutPrefix(r.URL.Path, forwardPath); ok && (below == "" || below[0] == '/') {
			s.forwardAuth(w, r, below)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Serve answers on the listener until ctx ends and everything under way has been seen to.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.origins.addListener(listener.Addr())
	h := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, s.stop(h))
}

// stop sees connections off while the door is still open: what a proxy goes on sending is answered, and /readyz tells it to
// leave.
func (s *Server) stop(h *http.Server) error {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.Service.Drain(ctx)
	var all sync.WaitGroup
	all.Go(func() { s.Service.Shutdown(ctx) })
	err := h.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.Close()
	}
	all.Wait()
	s.underWay.Wait()
	return err
}
