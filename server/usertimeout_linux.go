package server

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is how long what was sent may go unacknowledged before the connection is dead (RFC 5482).
const userTimeout = 30 * time.Second

func setUserTimeout(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
