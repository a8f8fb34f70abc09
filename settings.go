package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
	"github.com/tokenwire/tokenwire/server"
)

// settings are what Tokenwire is started with: flags, each with an environment variable, and secrets, which come from
// the environment or from files and never from a flag.
type settings struct {
	listen        string
	database      string
	databaseShown string // without the password
	key           models.KeySource
	origins       []string
	proxies       models.Addresses
	bus           server.BusConfig // without URL for a node that has none
	tokensPerUser int
	tokensCached  int
	eventsKept    time.Duration
	adminPassword models.Secret
	versionOnly   bool // asked what this is: nothing else is looked at
}

const usage = `Tokenwire keeps users' API tokens: JSON-RPC 2.0 over a WebSocket, every change pushed.

Usage: tokenwire [flags]
       tokenwire --version

Each flag has an environment variable, which counts where the flag is not given: --database is TOKENWIRE_DATABASE.

Secrets come from the environment, or from the file that the variable with _FILE at its end names:
  TOKENWIRE_ADMIN_PASSWORD     the first administrator's password (random, and printed once, by default)
  TOKENWIRE_DATABASE_PASSWORD  the database's password, if it is not in TOKENWIRE_DATABASE
  TOKENWIRE_NATS_PASSWORD      the bus's password, if it is not in TOKENWIRE_NATS
  TOKENWIRE_KEY                the key that secrets are stored under, 64 hexadecimal digits (--key-file by default)

Flags:
`

// defaultKeyFile is the key's file where the database is not a file that it could lie beside.
const defaultKeyFile = "tokenwire.key"

func readSettings(args []string, getenv func(string) string, output io.Writer) (*settings, error) {
	var s settings
	var origins, proxies, keyFile string
	flags := flag.NewFlagSet("tokenwire", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8080", "`address` to listen on")
	flags.StringVar(&s.database, "database", "sqlite:tokenwire.db", "sqlite:<file>, or mysql://<user>@<host>:<port>[,<host>:<port>]/<name>[?tls=true]: `URL` of the database")
	flags.StringVar(&origins, "origin", "", "`origins` allowed beside those of the listening address and localhost, with commas between them")
	flags.StringVar(&proxies, "trusted-proxy", "", "`addresses` and ranges of proxies whose X-Forwarded-For says where a request comes from, with commas between them")
	flags.StringVar(&s.bus.URL, "nats", "", "nats://[<user>@]<host>:<port>, or tls://…: `URL` of the bus that tells other nodes of changes at once, several of one kind with commas between them")
	flags.StringVar(&s.bus.Credentials, "nats-credentials", "", "`file` of a NATS user's JWT and seed")
	flags.StringVar(&s.bus.Authority, "nats-ca", "", "`file` of the certificates that those of NATS are signed with (default the system's)")
	flags.StringVar(&keyFile, "key-file", "", "`file` of the key, made at the first start (default <SQLite file>.key, or tokenwire.key)")
	flags.IntVar(&s.tokensPerUser, "tokens-per-user", models.DefaultTokens, "tokens that one user may have")
	flags.IntVar(&s.tokensCached, "tokens-cached", rpc.DefaultFacts, "tokens whose facts are kept in memory, to be verified without asking the database")
	s.eventsKept = models.DefaultKept
	flags.BoolVar(&s.versionOnly, versionFlag, false, "")
	flags.Var((*duration)(&s.eventsKept), "events-kept", "`hours`, such as 168h: how long events are kept, to be resumed from and read")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		help(output, flags)
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w; see --help", err)
	}
	if s.versionOnly {
		return &s, nil
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q; see --help", flags.Arg(0))
	}
	given, err := fromEnvironment(flags, getenv)
	if err != nil {
		return nil, err
	}
	if s.bus.URL == "" && (s.bus.Credentials != "" || s.bus.Authority != "") {
		return nil, errors.New("--nats-credentials and --nats-ca are for --nats, which is not given")
	}
	if given["nats"] && slices.ContainsFunc(members(s.bus.URL), hasPassword) {
		return nil, errors.New("a password must not be in a flag, where every user of this machine can read it: use TOKENWIRE_NATS, or TOKENWIRE_NATS_PASSWORD_FILE")
	}
	if given["database"] && hasPassword(s.database) {
		return nil, errors.New("a password must not be in a flag, where every user of this machine can read it: use TOKENWIRE_DATABASE, or TOKENWIRE_DATABASE_PASSWORD_FILE")
	}
	if _, _, err := net.SplitHostPort(s.listen); err != nil {
		return nil, fmt.Errorf("--listen is <host>:<port>, such as 127.0.0.1:8080, not %q", s.listen)
	}
	if err := s.checkNumbers(); err != nil {
		return nil, err
	}
	s.origins = members(origins)
	if trusted := members(proxies); len(trusted) > 0 {
		if s.proxies, err = models.ParseAddresses(trusted); err != nil {
			return nil, fmt.Errorf("--trusted-proxy: %w", err)
		}
	}
	return &s, s.readSecrets(getenv, keyFile)
}

func (s *settings) checkNumbers() error {
	if s.tokensPerUser < 1 {
		return fmt.Errorf("--tokens-per-user is at least 1, not %d", s.tokensPerUser)
	}
	if s.tokensCached < 1 {
		return fmt.Errorf("--tokens-cached is at least 1, not %d", s.tokensCached)
	}
	if s.eventsKept < time.Minute {
		return fmt.Errorf("--events-kept is at least 1m, not %v", s.eventsKept)
	}
	return nil
}

// versionFlag is no setting: a variable for it would be in the way.
const versionFlag = "version"

// visitSettings visits the flags that are settings.
func visitSettings(flags *flag.FlagSet, f func(*flag.Flag)) {
	flags.VisitAll(func(each *flag.Flag) {
		if each.Name != versionFlag {
			f(each)
		}
	})
}

// members returns what stands between the commas of a list.
func members(list string) (all []string) {
	for member := range strings.SplitSeq(list, ",") {
		if member = strings.TrimSpace(member); member != "" {
			all = append(all, member)
		}
	}
	return all
}

func help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprint(w, usage)
	visitSettings(flags, func(f *flag.Flag) {
		name, about := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s %s  (%s)\n        %s", f.Name, name, variable(f.Name), about)
		if f.DefValue != "" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// duration is a flag whose error says how to write one.
type duration time.Duration

// String returns the duration as it is written.
func (d *duration) String() string { return time.Duration(*d).String() }

// Set reads a duration.
func (d *duration) Set(s string) error {
	parsed, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("write hours, minutes or seconds, such as 168h or 30m")
	}
	*d = duration(parsed)
	return nil
}

func variable(flag string) string {
	return "TOKENWIRE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that were not given from their variables, and returns those that were given.
func fromEnvironment(flags *flag.FlagSet, getenv func(string) string) (given map[string]bool, err error) {
	given = map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	visitSettings(flags, func(f *flag.Flag) {
		if value := getenv(variable(f.Name)); value != "" && !given[f.Name] {
			if bad := flags.Set(f.Name, value); bad != nil {
				err = fmt.Errorf("%s is %q: %w", variable(f.Name), value, bad)
			}
		}
	})
	return given, err
}

// hasPassword reports whether there is one in a URL, also in one that is written wrong.
func hasPassword(address string) bool {
	_, rest, _ := strings.Cut(address, "//")
	user := rest[:max(strings.LastIndexByte(rest, '@'), 0)]
	return strings.Contains(user, ":")
}

func (s *settings) readSecrets(getenv func(string) string, keyFile string) error {
	var databasePassword models.Secret
	for name, secret := range map[string]*models.Secret{
		"TOKENWIRE_ADMIN_PASSWORD": &s.adminPassword, "TOKENWIRE_DATABASE_PASSWORD": &databasePassword, "TOKENWIRE_NATS_PASSWORD": &s.bus.Password,
	} {
		value, err := readSecret(getenv, name)
		if err != nil {
			return err
		}
		*secret = value
	}
	if file := models.DatabaseFile(s.database); keyFile == "" && file != "" {
		keyFile = file + ".key"
	} else if keyFile == "" {
		keyFile = defaultKeyFile
	}
	s.key = models.KeySource{File: keyFile}
	if key := models.NewSecret(getenv("TOKENWIRE_KEY")); !key.IsZero() {
		parsed, err := models.ParseKey(key)
		if err != nil {
			return fmt.Errorf("TOKENWIRE_KEY: %w", err)
		}
		s.key.Key = &parsed
	}
	s.databaseShown = s.database
	if u, err := url.Parse(s.database); err == nil && u.User != nil {
		s.databaseShown = u.Redacted()
		if !databasePassword.IsZero() {
			u.User = url.UserPassword(u.User.Username(), databasePassword.Reveal())
			s.database = u.String()
		}
	}
	return nil
}

func readSecret(getenv func(string) string, name string) (models.Secret, error) {
	file := getenv(name + "_FILE")
	if file == "" {
		return models.NewSecret(getenv(name)), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return models.Secret{}, fmt.Errorf("%s_FILE: %w", name, err)
	}
	return models.NewSecret(strings.TrimRight(string(b), "\r\n")), nil
}
