//go:build !linux

package server

import "net"

// setUserTimeout does nothing: keep-alive probes find dead peers, only later.
func setUserTimeout(*net.TCPConn) {}
