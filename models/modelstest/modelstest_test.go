package modelstest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

const (
	// childVariable makes TestChild run, in a test process of its own.
	childVariable = "MODELSTEST_CHILD"
	// childLimit bounds the life of such a process, which starts two servers.
	childLimit = 2 * time.Minute
	// silence is how long a frozen server is watched for an answer, which a
	// running one gives within milliseconds.
	silence = 300 * time.Millisecond
	// goneLimit bounds the wait for a killed process to disappear.
	goneLimit = 10 * time.Second
)

func TestMain(m *testing.M) { programs.Main(m) }

func TestEachGivesFreshDatabases(t *testing.T) {
	var urls []string
	for range 2 {
		Each(t, func(t *testing.T, url string) {
			urls = append(urls, url)
			if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: want no file yet, got %v", path, err)
				}
				return
			}
			db := connect(t, url)
			expect(t, db, "0", "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()")
			expect(t, db, "utf8mb4", "SELECT @@character_set_database")
			expect(t, db, "500", "SELECT @@max_connections")
			run(t, db, "CREATE TABLE kept (id INT)")
		})
	}
	seen := map[string]bool{}
	for _, url := range urls {
		if seen[url] {
			t.Errorf("%s was handed out twice", url)
		}
		seen[url] = true
	}
	expect(t, connect(t, MariaDB(t)), "1", "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'test\\_%'")
}

func TestMariaDBInParallel(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			run(t, connect(t, MariaDB(t)), "CREATE TABLE same (id INT)")
		})
	}
}

func TestKillKeepsCommittedData(t *testing.T) {
	server := StartServer(t)
	url := server.URL()
	db := connect(t, url)
	run(t, db, "CREATE TABLE notes (id INT PRIMARY KEY) ENGINE=InnoDB")
	expect(t, db, "1", "SELECT @@innodb_flush_log_at_trx_commit")
	for i, end := range []func(){server.Kill, server.Stop} {
		run(t, db, fmt.Sprintf("INSERT INTO notes VALUES (%d)", i))
		open, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open.Exec("INSERT INTO notes VALUES (100)"); err != nil {
			t.Fatal(err)
		}
		end()
		if err := open.Commit(); err == nil {
			t.Error("a commit succeeded after the end of the server")
		}
		if err := db.Ping(); err == nil {
			t.Error("the server answers after its end")
		}
		server.Start()
		db = connect(t, url)
		expect(t, db, fmt.Sprint(i+1), "SELECT COUNT(*) FROM notes")
	}
	if server.URL() != url {
		t.Errorf("the URL changed from %s to %s", url, server.URL())
	}
}

func TestFreezeAndThaw(t *testing.T) {
	server := StartServer(t)
	db := connect(t, server.URL())
	expect(t, db, "1", "SELECT 1")

	server.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if err := db.QueryRowContext(ctx, "SELECT 1").Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server: want no answer, got %v", err)
	}
	server.Thaw()
	expect(t, db, "1", "SELECT 1")

	server.Freeze()
	server.Kill() // works on a frozen server too
	server.Start()
	expect(t, connect(t, server.URL()), "1", "SELECT 1")
}

func TestStartOnATakenPort(t *testing.T) {
	first, second := StartServer(t), StartServer(t)
	second.Stop()
	second.instance.port = first.instance.port
	err := second.instance.start()
	if !errors.Is(err, programs.ErrPortTaken) {
		t.Errorf("want %v, got %v", programs.ErrPortTaken, err)
	}
	if err := second.instance.startOnFreePort(); err != nil {
		t.Error(err)
	}
}

func TestFailureQuotesTheLog(t *testing.T) {
	server := StartServer(t)
	server.Stop()
	if err := os.RemoveAll(server.instance.data()); err != nil {
		t.Fatal(err)
	}
	err := server.instance.start()
	if err == nil || !strings.Contains(err.Error(), "[ERROR]") {
		t.Errorf("want an error with the server's log, got %v", err)
	}
	for _, action := range []func() error{server.instance.freeze, server.instance.thaw} {
		if action() == nil {
			t.Error("want an error from a server that does not run")
		}
	}
}

func TestMissingTool(t *testing.T) {
	if _, err := findTool("no-such-tool"); err == nil || !strings.Contains(err.Error(), "no-such-tool") {
		t.Errorf("a tool that does not exist: %v", err)
	}
}

// TestChild is not a test: it is what the tests below run in a process of its
// own. It starts both kinds of server, tells their process ids, and goes on
// until its input ends.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return
	}
	MariaDB(t)
	own := StartServer(t)
	fmt.Println("servers", shared.server.process.ID(), own.instance.process.ID())
	io.Copy(io.Discard, os.Stdin)
}

func TestNothingIsLeftAfterMain(t *testing.T) {
	c := startChild(t)
	c.input.Close()
	if err := c.command.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
	c.expectGone(t)
	left, err := os.ReadDir(c.temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
}

func TestNoServerIsLeftAfterSIGKILL(t *testing.T) {
	c := startChild(t)
	if err := c.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.command.Wait()
	c.expectGone(t)
}

type child struct {
	command *exec.Cmd
	input   io.Closer
	temp    string
	servers [2]int // process ids
}

// startChild runs TestChild in a process whose TMPDIR is empty, too long for
// the path of a socket, and reached by a symbolic link.
func startChild(t *testing.T) *child {
	t.Helper()
	requireTools(t)
	temp := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(temp, 0o700), os.Symlink(temp, link)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), childLimit)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$")
	command.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+filepath.Join(link, "..", "link"))
	command.Stderr = os.Stderr
	input, inputErr := command.StdinPipe()
	output, outputErr := command.StdoutPipe()
	if err := errors.Join(inputErr, outputErr, command.Start()); err != nil {
		t.Fatal(err)
	}
	c := &child{command: command, input: input, temp: temp}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if n, _ := fmt.Sscanf(lines.Text(), "servers %d %d", &c.servers[0], &c.servers[1]); n == 2 {
			for _, id := range c.servers {
				if !alive(id) {
					t.Errorf("server %d does not run", id)
				}
			}
			return c
		}
		t.Log("child:", lines.Text())
	}
	t.Fatalf("the child ended early: %v", command.Wait())
	return nil
}

func (c *child) expectGone(t *testing.T) {
	t.Helper()
	for _, id := range c.servers {
		for deadline := time.Now().Add(goneLimit); alive(id); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("server %d outlived its tests", id)
				break
			}
		}
	}
}

// alive reports whether a MariaDB server runs under this process id; one that
// has ended and waits for init to take notice has no command line.
func alive(id int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
	return err == nil && strings.Contains(string(line), "mariadbd")
}

func connect(t *testing.T, url string) *sql.DB {
	t.Helper()
	login, database, _ := strings.Cut(strings.TrimPrefix(url, "mysql://root@"), "/")
	db, err := sql.Open("mysql", "root@tcp("+login+")/"+database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func expect(t *testing.T, db *sql.DB, want, query string) {
	t.Helper()
	var got string
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
		t.Fatalf("%s: want %s, got %q, %v", query, want, got, err)
	}
}
