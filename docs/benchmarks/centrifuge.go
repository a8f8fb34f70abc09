package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/centrifugal/centrifuge"
)

const channel = "c"

// serveCentrifuge is a centrifuge node, in memory, with JSON over WebSocket and its defaults. Each byte on standard input
// has it publish once.
func serveCentrifuge() error {
	flags := flag.NewFlagSet("reference-centrifuge", flag.ExitOnError)
	size := flags.Int("size", 300, "bytes of what is published")
	flags.Parse(os.Args[2:])
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "42"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{channel: {}},
		}, nil
	})
	if err := node.Run(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1}, // so that all that comes is what is published
	})
	go http.Serve(listener, handler)
	payload := []byte(`{"fill":"` + strings.Repeat("x", max(0, *size-len(`{"fill":""}`))) + `"}`)
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadByte(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := node.Publish(channel, payload); err != nil {
			return err
		}
	}
}

// centrifugeOverhead is what centrifuge's JSON protocol puts around the data of a publication.
const centrifugeOverhead = len(`{"push":{"channel":"` + channel + `","pub":{"data":}}}`)

// connectCentrifuge opens a WebSocket that is subscribed to the channel.
func connectCentrifuge(addr string) (*client, error) {
	c, err := dial(addr, "/", "")
	if err != nil {
		return nil, err
	}
	c.send([]byte(`{"id":1,"connect":{}}`))
	if err := c.flush(); err != nil {
		return nil, err
	}
	reply, err := c.receive()
	if err == nil && !strings.Contains(string(reply), `"subs":{"`+channel+`"`) {
		err = fmt.Errorf("not subscribed: %s", reply)
	}
	return c, err
}
