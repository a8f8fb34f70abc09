// Tokenwire is a self-hosted service for users' API tokens: JSON-RPC 2.0 over one authenticated WebSocket, every change
// pushed, and revoked means revoked. This file is settings and wiring; README.md has the rest.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
	"github.com/tokenwire/tokenwire/server"
	"github.com/tokenwire/tokenwire/web"
)

// heapHeadroom is memory that is allocated and never touched, in bytes. It takes address space only, and lets the heap grow by
// as much before it is collected: without it that is 4 MiB on a small server, and a sixth of the time goes into collecting.
const heapHeadroom = 32 << 20

// version is Tokenwire's.
const version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "tokenwire:", err)
		os.Exit(1)
	}
}

// run is Tokenwire from its settings to its end, when ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	set, err := readSettings(args, getenv, stderr)
	if err != nil {
		return err
	}
	headroom := make([]byte, heapHeadroom)
	defer runtime.KeepAlive(headroom)
	log := slog.New(slog.NewTextHandler(stderr, nil))
	listener, err := net.Listen("tcp", set.listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: stop what listens there, or choose another address with --listen", err)
	}
	if err != nil {
		return err
	}
	defer listener.Close()
	store, err := models.Open(ctx, set.database, models.Options{Key: set.key, TokensPerUser: set.tokensPerUser, EventsKept: set.eventsKept})
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			log.Error("closing the database", "error", err)
		}
	}()
	made, password, err := firstAdministrator(ctx, store, set.adminPassword)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	options := rpc.Options{Log: log, Metrics: metrics, Version: version, Facts: set.tokensCached}
	if set.bus.URL != "" {
		set.bus.Name, set.bus.Log, set.bus.Metrics = store.Deployment(), log, metrics
		bus, err := server.OpenBus(set.bus)
		if err != nil {
			return err
		}
		defer bus.Close()
		options.Bus = bus
	}
	service := rpc.NewService(store, options)
	srv, err := server.New(server.Config{
		Service: service, Store: store, Log: log, Metrics: metrics, Files: web.Files, Origins: set.origins, Proxies: set.proxies,
	})
	if err != nil {
		return err
	}
	greet(stdout, shown(listener.Addr()), set, made, password)
	err = srv.Serve(ctx, listener)
	fmt.Fprintln(stdout, "Tokenwire has stopped.")
	return err
}

// firstAdministrator makes the administrator of a new database, with a random password if none is given, and returns
// that password to be shown.
func firstAdministrator(ctx context.Context, store *models.Store, given models.Secret) (made bool, random string, err error) {
	if given.IsZero() {
		random = rand.Text()
		given = models.NewSecret(random)
	}
	if made, err = store.Bootstrap(ctx, given); err != nil && random == "" {
		err = fmt.Errorf("TOKENWIRE_ADMIN_PASSWORD: %w", err)
	}
	return made, random, err
}

// shown returns an address that a browser on this machine can open.
func shown(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return address.String()
}

func greet(w io.Writer, address string, set *settings, made bool, password string) {
	fmt.Fprintf(w, "Tokenwire %s is at http://%s, its database is %s.\n", version, address, set.databaseShown)
	switch {
	case made && password != "":
		fmt.Fprintf(w, "The administrator was made: username admin, password %s\nThe password is shown this once; change it after signing in.\n", password)
	case made:
		fmt.Fprintln(w, "The administrator was made: username admin, password from TOKENWIRE_ADMIN_PASSWORD.")
	}
}
