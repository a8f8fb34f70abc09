package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"time"
)

const (
	idle     = 5000            // connections
	dialling = 16              // at once
	warm     = 100             // connections before those that count
	settle   = 5 * time.Second // until memory is looked at; with a fresh server every round
)

// memory compares what an idle connection costs. Each measurement is of a server just started.
func memory(o *options) error {
	if err := raiseFiles(2*idle + 1000); err != nil {
		return err
	}
	resident := &figure{name: "idle connection, VmRSS", unit: "KiB", goal: "<= 1.0"}
	inUse := &figure{name: "its heap and stack in use", unit: "KiB"}
	for range o.rounds {
		var held [2]footprint
		for side := range held {
			var err error
			if held[side], err = idleCost(o, side == 1); err != nil {
				return err
			}
		}
		resident.add(held[0].resident, held[1].resident)
		inUse.add(held[0].inUse, held[1].inUse)
	}
	print(resident, inUse)
	return nil
}

// footprint is memory in KiB.
type footprint struct{ resident, inUse float64 }

// idleCost returns what one of many idle connections costs a new server.
func idleCost(o *options, ours bool) (footprint, error) {
	connect, p, err := idleServer(o, ours)
	if err != nil {
		return footprint{}, err
	}
	defer p.kill()
	closeAll, err := connectMany(warm, connect)
	closeAll()
	if err != nil {
		return footprint{}, err
	}
	time.Sleep(settle)
	before, err := footprintOf(p)
	if err != nil {
		return footprint{}, err
	}
	closeAll, err = connectMany(idle, connect)
	defer closeAll()
	if err != nil {
		return footprint{}, err
	}
	time.Sleep(settle)
	after, err := footprintOf(p)
	return footprint{(after.resident - before.resident) / idle, (after.inUse - before.inUse) / idle}, err
}

func idleServer(o *options, ours bool) (connect func() (*client, error), p *process, err error) {
	tree := o.tree
	if !ours {
		tree = o.against
	}
	if tree == "" {
		p, err = reference("reference-echo")
		return func() (*client, error) { return dial(p.addr, "/", "") }, p, err
	}
	t, err := startTokenwire(o, tree, "")
	if err != nil {
		return nil, nil, err
	}
	return func() (*client, error) { return t.connect(t.session) }, t.process, nil
}

func connectMany(n int, connect func() (*client, error)) (closeAll func(), err error) {
	var mu sync.Mutex
	var open []*client
	var running sync.WaitGroup
	for worker := range dialling {
		running.Go(func() {
			for i := worker; i < n; i += dialling {
				c, e := connect()
				mu.Lock()
				err = errors.Join(err, e)
				failed := err != nil
				if e == nil {
					open = append(open, c)
				}
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	running.Wait()
	return func() {
		for _, c := range open {
			c.Close()
		}
	}, err
}

var inUseMetrics = regexp.MustCompile(`(?m)^go_memstats_(?:heap|stack)_inuse_bytes (\S+)$`)

// footprintOf asks a server's /metrics and the kernel.
func footprintOf(p *process) (footprint, error) {
	resident, err := p.rss()
	if err != nil {
		return footprint{}, err
	}
	response, err := web.Get("http://" + p.addr + "/metrics")
	if err != nil {
		return footprint{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return footprint{}, err
	}
	found := inUseMetrics.FindAllStringSubmatch(string(body), -1)
	if len(found) != 2 {
		return footprint{}, fmt.Errorf("no memory in the metrics of %s", p.addr)
	}
	sum := 0.0
	for _, f := range found {
		value, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return footprint{}, err
		}
		sum += value
	}
	return footprint{resident / 1024, sum / 1024}, nil
}
