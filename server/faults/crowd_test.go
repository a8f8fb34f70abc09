//go:build linux

package faults

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestCrowd: when all nodes are killed and start again, everybody who followed comes back by himself, all of them at once, and
// misses nothing.
func TestCrowd(t *testing.T) {
	t.Parallel()
	clients := 200
	if long(t) > 0 {
		clients = 10_000
	}
	s := newStage(t, setting{data: newShared(t), nodes: 3})
	l := newIdle(s, random(t))
	d := &door{}
	o := l.enter(l.last, l.last, d, l.random)
	var all, begun sync.WaitGroup
	places := make(chan struct{}, 64) // that begin at the same time
	for n := range clients {
		f := &follower{begun: make(chan struct{}), ended: make(chan struct{})}
		o.followers = append(o.followers, f)
		begun.Add(1)
		places <- struct{}{}
		all.Go(func() { f.follow(l.last, l, s.nodes[n%3].URL()+"/api", o.session, "") })
		go func() {
			defer begun.Done()
			<-f.begun
			<-places
		}()
	}
	begun.Wait()
	began := time.Now()
	for range 3 {
		l.createToken(l.last, d, o)
	}
	for _, n := range s.nodes {
		n.Kill()
	}
	for _, n := range s.nodes {
		n.Start()
	}
	for range 3 {
		l.createToken(l.last, d, o)
	}
	l.finish(l.last, d, o)
	time.AfterFunc(4*patience, l.giveUp) // longer than any back-off
	all.Wait()
	t.Logf("%d clients have it all after %v", clients, time.Since(began))
	l.leave(o)
	l.check("all nodes were killed")
}

// TestFullDisk: while there is no room for a change none is made, and afterwards they go on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	s := newStage(t, setting{data: file("sqlite:" + disk.folder + "/tokenwire.db"), nodes: 1})
	l := newLoad(s, random(t))
	for range 2 {
		time.Sleep(lease)
		l.suffer([]fault{disk.fault(t)})
	}
	l.end("the disk was full")
}

// descriptors are so few that a crowd takes them all, and that the load alone does not.
const descriptors = "128"

// TestNoDescriptors: a node that has no descriptors left goes on when there are some again.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	under := limited(t, descriptors)
	s := newStage(t, setting{data: file(modelstest.SQLite(t)), nodes: 1, under: under})
	l := newLoad(s, random(t))
	time.Sleep(lease)
	l.suffer([]fault{exhausting})
	if !strings.Contains(s.nodes[0].Log(), "too many open files") {
		t.Error("there were always some left")
	}
	l.end("descriptors were exhausted")
}

// TestLink: a node whose cable is pulled, and put in again, or carries nothing one way.
func TestLink(t *testing.T) {
	t.Parallel()
	cable := newCable(t)
	s := newStage(t, setting{data: newMariaDB(t), nodes: 1})
	s.add(setting{under: cable.under(), host: cable.far, near: cable.near})
	s.measure()
	l := newLoad(s, random(t))
	for _, f := range cable.faults(t) {
		time.Sleep(lease)
		l.suffer([]fault{f})
	}
	l.end("the link was bad")
}

// newIdle is newLoad without anybody who does something by himself.
func newIdle(s *stage, random *rand.Rand) *load {
	l := &load{stage: s, clock: clock{time.Now()}, random: random}
	l.last, l.giveUp = context.WithCancel(context.Background())
	l.stop = func() {}
	s.t.Cleanup(l.abandon)
	return l
}
