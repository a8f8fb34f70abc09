package modelstest

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The kernel kills a child when the thread that started it ends, and a test may
// end its thread: a server must not hang on that.
func TestServerOutlivesTheThreadOfItsTest(t *testing.T) {
	var server *Server
	onDyingThread(func() { server = StartServer(t) })
	if server == nil {
		return // StartServer has ended the test, with the reason
	}
	time.Sleep(silence)
	expect(t, connect(t, server.URL()), "1", "SELECT 1")
}

// onDyingThread runs f on a thread that ends right after: a goroutine that ends
// while locked to its thread takes it along. Only the main thread never ends;
// holding on to that one forces the next goroutine onto another.
func onDyingThread(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			onDyingThread(f)
			return
		}
		f()
	}()
	<-ended
}
