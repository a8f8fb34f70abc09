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
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

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
	if set.versionOnly {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			info = &debug.BuildInfo{}
		}
		fmt.Fprintln(stdout, about(info.Settings))
		return nil
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
	store, first, err := openStore(ctx, set, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			log.Error("closing the database", "error", err)
		}
	}()
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
	greet(stdout, shown(listener.Addr()), set, first)
	err = srv.Serve(ctx, listener)
	fmt.Fprintln(stdout, "Tokenwire has stopped.")
	return err
}

// databaseWait is how long a database is waited for that is away: it may start beside this node, or one of its hosts take the place
// of another. databasePause is between two tries.
const (
	databaseWait  = 30 * time.Second
	databasePause = time.Second
)

// openStore opens the database and makes its administrator, if it is new. A server that is away is waited for, and the log says so;
// a file is there or not. Where it is not known whether the administrator was made, nobody could be shown the password.
func openStore(ctx context.Context, set *settings, log *slog.Logger) (*models.Store, administrator, error) {
	for began := time.Now(); ; {
		store, first, err := open(ctx, set)
		waits := models.Away(err) && !errors.Is(err, models.ErrInDoubt) && models.DatabaseFile(set.database) == ""
		if !waits || time.Since(began) > databaseWait {
			return store, first, err
		}
		log.Warn("waiting for the database", "error", err)
		select {
		case <-time.After(databasePause):
		case <-ctx.Done():
			return nil, first, err
		}
	}
}

func open(ctx context.Context, set *settings) (*models.Store, administrator, error) {
	store, err := models.Open(ctx, set.database, models.Options{Key: set.key, TokensPerUser: set.tokensPerUser, EventsKept: set.eventsKept})
	if err != nil {
		return nil, administrator{}, err
	}
	first, err := firstAdministrator(ctx, store, set.adminPassword)
	if err != nil {
		return nil, first, errors.Join(err, store.Close())
	}
	return store, first, nil
}

// administrator is what this start made of the first one.
type administrator struct {
	made     bool
	password string // the random one, which is shown; "" for one that was given
}

// firstAdministrator makes the administrator of a new database, with a random password if none is given.
func firstAdministrator(ctx context.Context, store *models.Store, given models.Secret) (first administrator, err error) {
	if given.IsZero() {
		first.password = rand.Text()
		given = models.NewSecret(first.password)
	}
	if first.made, err = store.Bootstrap(ctx, given); err != nil && first.password == "" && !models.Away(err) {
		err = fmt.Errorf("TOKENWIRE_ADMIN_PASSWORD: %w", err)
	}
	return first, err
}

// shown returns an address that a browser on this machine can open.
func shown(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return address.String()
}

// about returns the version, and what the program was built with: the revision is known to builds in a clone.
func about(settings []debug.BuildSetting) string {
	var revision, changed string
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = ", revision " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed since"
		}
	}
	return fmt.Sprintf("Tokenwire %s (%s%s%s)", version, runtime.Version(), revision, changed)
}

func greet(w io.Writer, address string, set *settings, first administrator) {
	fmt.Fprintf(w, "Tokenwire %s is at http://%s, its database is %s.\n", version, address, set.databaseShown)
	switch {
	case first.made && first.password != "":
		fmt.Fprintf(w, "The administrator was made: username admin, password %s\nThe password is shown this once; change it after signing in.\n", first.password)
	case first.made:
		fmt.Fprintln(w, "The administrator was made: username admin, password from TOKENWIRE_ADMIN_PASSWORD.")
	}
}
