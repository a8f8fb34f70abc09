package modelstest

import (
	"syscall"
	"testing"
)

// Server is a MariaDB server of one test's own, for tests of what happens when
// storage fails. It writes its log to disk at every commit, so what was
// committed survives Kill.
//
// Its methods end the test if they fail; like t.Fatal they belong to the
// goroutine that runs the test. Each returns when its effect is complete.
type Server struct {
	t        testing.TB
	instance *instance
	database string
}

// StartServer returns a running server that ends, with its data, when the test
// does.
func StartServer(t testing.TB) *Server {
	t.Helper()
	server, err := newInstance(requireTools(t), flushPerCommit)
	if err != nil {
		t.Fatalf("MariaDB server: %v", err)
	}
	t.Cleanup(func() {
		if err := server.remove(); err != nil {
			t.Errorf("end the MariaDB server: %v", err)
		}
	})
	name, err := server.createDatabase()
	if err != nil {
		t.Fatalf("fresh database: %v", err)
	}
	return &Server{t: t, instance: server, database: name}
}

// URL returns the URL of the server's database, which was fresh when the
// server started. It stays the same across Stop, Kill and Start.
func (s *Server) URL() string {
	return s.instance.url(s.database)
}

// Stop shuts the server down in order and waits until it has exited. A frozen
// server cannot shut down: Thaw it first, or Kill it.
func (s *Server) Stop() {
	s.t.Helper()
	s.must("stop", s.instance.end(syscall.SIGTERM))
}

// Kill ends the server as a crash would, and waits until it has exited.
func (s *Server) Kill() {
	s.t.Helper()
	s.must("kill", s.instance.end(syscall.SIGKILL))
}

// Start starts the server again after Stop or Kill, on the same port and data,
// and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.must("start", s.instance.start())
}

// Freeze suspends the server and waits until all its threads stand still:
// connections stay open, new ones are still accepted by the kernel, and
// nothing is answered.
func (s *Server) Freeze() {
	s.t.Helper()
	s.must("freeze", s.instance.freeze())
}

// Thaw resumes a frozen server and waits until it answers.
func (s *Server) Thaw() {
	s.t.Helper()
	s.must("thaw", s.instance.thaw())
}

func (s *Server) must(action string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s the MariaDB server: %v", action, err)
	}
}
