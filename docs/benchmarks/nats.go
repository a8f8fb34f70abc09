package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startNATS starts a private server of NATS (Debian: nats-server) and returns its address.
func startNATS() (string, error) {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	port := fmt.Sprint(firstPort + rand.IntN(lastPort-firstPort))
	cmd := exec.Command("nats-server", "--addr", "127.0.0.1", "--port", port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("nats-server (Debian: apt install nats-server): %w", err)
	}
	p := &process{cmd: cmd, addr: net.JoinHostPort("127.0.0.1", port)}
	children = append(children, p)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			return p.addr, conn.Close()
		}
		if time.Now().After(deadline) {
			return "", err
		}
	}
}

// bareNATS is two connections to NATS that speak its protocol and do nothing else.
type bareNATS struct{ here, there *natsConn }

type natsConn struct {
	net.Conn
	in *bufio.Reader
}

func dialNATS(addr, subject string) (*natsConn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &natsConn{conn, bufio.NewReader(conn)}
	c.SetDeadline(time.Now().Add(time.Hour)) // a benchmark is over by then
	if _, err = fmt.Fprintf(c, "CONNECT {\"verbose\":false}\r\nSUB %s 1\r\nPING\r\n", subject); err == nil {
		err = c.until("PONG")
	}
	return c, err
}

// until reads until a line begins so.
func (c *natsConn) until(begin string) error {
	for {
		line, err := c.in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(line, []byte(begin)):
			return nil
		case bytes.HasPrefix(line, []byte("PING")):
			c.Write([]byte("PONG\r\n"))
		case bytes.HasPrefix(line, []byte("-ERR")):
			return fmt.Errorf("NATS: %s", line)
		}
	}
}

func openBareNATS(addr string) (*bareNATS, error) {
	here, err := dialNATS(addr, "answer")
	if err != nil {
		return nil, err
	}
	there, err := dialNATS(addr, "question")
	if err != nil {
		return nil, err
	}
	go func() {
		for there.until("MSG") == nil {
			there.Write([]byte("PUB answer 2\r\nok\r\n"))
		}
	}()
	return &bareNATS{here, there}, nil
}

// roundTrip sends a message to the other connection and waits for its answer.
func (b *bareNATS) roundTrip() error {
	if _, err := b.here.Write([]byte("PUB question 2\r\nok\r\n")); err != nil {
		return err
	}
	return b.here.until("MSG")
}
