package models_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// usage is a token's use as text: the sums, each hour, and from when to when.
func usage(t testing.TB, store *models.Store, who models.Actor, tokenID string, o models.UsageOptions) string {
	t.Helper()
	got, err := store.ReadUsage(t.Context(), who.Identity, tokenID, o)
	if err != nil || got.Hours == nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	last := "never"
	if got.LastUsedAt != nil {
		last = got.LastUsedAt.String()
	}
	var b strings.Builder
	for _, h := range got.Hours {
		fmt.Fprintf(&b, "%s %d+%d, ", h.From.String()[5:16], h.Allowed, h.Denied)
	}
	return fmt.Sprintf("%d+%d: %sfrom %s to %s, last %s", got.Allowed, got.Denied, b.String(), got.From.String()[5:16], got.To.String()[5:16], last)
}

// What is a use, and what is none: a right secret is, good or not.
func TestUsesAtTheDoors(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		began := time.Date(2027, 5, 1, 12, 59, 59, 999e6, time.UTC)
		store, admin, set := openAt(t, url, began)
		ada := makeUser(t, store, admin, "ada")
		end := models.TimeOf(began.Add(3 * time.Hour))
		home := models.Addresses{}
		if err := home.UnmarshalJSON([]byte(`["192.0.2.1"]`)); err != nil {
			t.Fatal(err)
		}
		token, secret, err := store.CreateToken(t.Context(), ada, "x", models.CreateTokenOptions{ExpiresAt: &end, AllowedIPs: &home})
		if err != nil {
			t.Fatal(err)
		}
		use := func(secret models.Secret, from string) {
			store.Authenticate(t.Context(), secret, from)
		}
		want := func(want string) {
			t.Helper()
			if got := usage(t, store, ada, token.ID, models.UsageOptions{}); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		want("0+0: from 04-24T13:00 to 05-01T13:00, last never")
		use(secret, "192.0.2.2")
		want("0+1: 05-01T12:00 0+1, from 04-24T13:00 to 05-01T13:00, last never") // it was not in use
		use(secret, "192.0.2.1")
		want("1+1: 05-01T12:00 1+1, from 04-24T13:00 to 05-01T13:00, last 2027-05-01T12:59:59.999Z")
		set(began.Add(time.Millisecond))
		use(secret, "192.0.2.1")
		other := "0"
		if strings.HasSuffix(secret.Reveal(), other) {
			other = "1"
		}
		use(models.NewSecret(secret.Reveal()[:74]+other), "192.0.2.1") // of another text nothing is counted
		use(models.NewSecret(strings.Replace(secret.Reveal(), "twt_", "tws_", 1)), "192.0.2.1")
		want("2+1: 05-01T12:00 1+1, 05-01T13:00 1+0, from 04-24T14:00 to 05-01T14:00, last 2027-05-01T13:00:00.000Z")

		// Switched off, its owner switched off, replaced, past its end.
		if _, err := store.SetTokenEnabled(t.Context(), again(ada), token.ID, false, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		use(secret, "192.0.2.1")
		if _, err := store.SetTokenEnabled(t.Context(), again(ada), token.ID, true, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.SetUserEnabled(t.Context(), again(admin), ada.UserID, false); err != nil {
			t.Fatal(err)
		}
		use(secret, "192.0.2.1")
		if _, err := store.SetUserEnabled(t.Context(), again(admin), ada.UserID, true); err != nil {
			t.Fatal(err)
		}
		_, fresh, err := store.RotateToken(t.Context(), again(ada), token.ID, models.RotateOptions{Overlap: 60})
		if err != nil {
			t.Fatal(err)
		}
		use(secret, "192.0.2.1")
		use(fresh, "192.0.2.1")
		set(began.Add(time.Minute + time.Millisecond))
		use(secret, "192.0.2.1") // is not its secret any more
		set(end.Std())
		use(fresh, "192.0.2.1")
		want("4+4: 05-01T12:00 1+1, 05-01T13:00 3+2, 05-01T15:00 0+1, from 04-24T16:00 to 05-01T16:00, last 2027-05-01T13:00:00.000Z")
	})
}

// Of which hours is told: full ones, as far as they are kept.
func TestUsageOfATime(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		now := time.Date(2027, 5, 1, 12, 30, 0, 0, time.UTC)
		store, admin, set := openAt(t, url, now)
		token := newToken(t, store, admin, nil, true)
		at := func(hours int) *models.Time {
			t := models.TimeOf(now.Add(time.Duration(hours) * time.Hour))
			return &t
		}
		for _, hours := range []int{-91 * 24, -90 * 24, -90*24 + 1, -8 * 24, -24, -2, -1, 0} {
			set(at(hours).Std())
			store.Used(token.ID, 2, 0)
			store.Used(token.ID, 0, 1)
			store.Used(token.ID, 0, 0)
		}
		full := models.TimeOf(now.Truncate(time.Hour))
		for _, c := range []struct {
			options models.UsageOptions
			want    string
		}{
			{models.UsageOptions{}, "8+4: 04-30T12:00 2+1, 05-01T10:00 2+1, 05-01T11:00 2+1, 05-01T12:00 2+1, from 04-24T13:00 to 05-01T13:00"},
			{models.UsageOptions{From: at(-2), To: at(-1)}, "4+2: 05-01T10:00 2+1, 05-01T11:00 2+1, from 05-01T10:00 to 05-01T12:00"},
			{models.UsageOptions{From: at(-1), To: &full}, "2+1: 05-01T11:00 2+1, from 05-01T11:00 to 05-01T12:00"},
			{models.UsageOptions{To: at(-24)}, "4+2: 04-23T12:00 2+1, 04-30T12:00 2+1, from 04-23T12:00 to 04-30T13:00"},
			{models.UsageOptions{From: at(-1), To: at(1e6)}, "4+2: 05-01T11:00 2+1, 05-01T12:00 2+1, from 05-01T11:00 to 05-01T13:00"},
			{models.UsageOptions{From: at(1e5), To: at(1e6)}, "0+0: from 05-01T13:00 to 05-01T13:00"},
			{models.UsageOptions{From: at(-1e5), To: at(-90 * 24)}, "0+0: from 01-31T13:00 to 01-31T13:00"},
			{models.UsageOptions{From: at(-1e5), To: at(-24)}, "6+3: 01-31T13:00 2+1, 04-23T12:00 2+1, 04-30T12:00 2+1, from 01-31T13:00 to 04-30T13:00"},
		} {
			if got := usage(t, store, admin, token.ID, c.options); got != c.want+", last 2027-05-01T12:30:00.000Z" {
				t.Errorf("got %s, want %s", got, c.want)
			}
		}
		for _, o := range []models.UsageOptions{{From: at(1)}, {From: at(0), To: at(0)}, {From: at(-1), To: at(-2)}} {
			_, err := store.ReadUsage(t.Context(), admin.Identity, token.ID, o)
			wantCode(t, err, models.Invalid)
		}

		// What is past its time goes, a batch at a time, and nothing else does.
		db := rawDB(t, url)
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2100 {
			if _, err := tx.Exec("INSERT INTO token_uses VALUES (?, ?, 1, 1)", token.ID, full-models.Time(100*24+i)*3_600_000); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "INSERT INTO use_batches VALUES ('old', ?)", full-25*3_600_000)
		mustExec(t, db, "INSERT INTO use_batches VALUES ('new', ?)", full-23*3_600_000)
		batches := 1
		for more := true; more; batches++ {
			var err error
			if more, err = store.Prune(t.Context()); err != nil || batches > 5 {
				t.Fatal(batches, err)
			}
		}
		if left := rowsOf(t, db, "SELECT hour FROM token_uses"); len(left) != 6 {
			t.Errorf("left are %q", left)
		}
		if left := rowsOf(t, db, "SELECT id FROM use_batches WHERE id IN ('old', 'new')"); fmt.Sprint(left) != "[id=new ]" {
			t.Errorf("left are %q", left)
		}
	})
}

func TestReportedUses(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin, _ := openAt(t, url, time.Date(2027, 5, 1, 12, 30, 0, 0, time.UTC))
		a, b, gone := newToken(t, store, admin, nil, true), newToken(t, store, admin, nil, true), newToken(t, store, admin, nil, true)
		report := func(uses ...models.Use) error { return store.ReportUses("ada", uses) }
		if err := report(models.Use{TokenID: a.ID, Allowed: 3, Denied: 1}, models.Use{TokenID: "0000000000000000000z", Allowed: 7},
			models.Use{TokenID: b.ID}, models.Use{TokenID: gone.ID, Denied: 1}, models.Use{TokenID: a.ID, Allowed: 1_000_000_000}); err != nil {
			t.Fatal(err)
		}
		if err := store.DeleteToken(t.Context(), again(admin), gone.ID); err != nil {
			t.Fatal(err)
		}
		if err := store.FlushUses(t.Context()); err != nil {
			t.Fatal(err)
		}
		const rest = "from 04-24T13:00 to 05-01T13:00, last "
		if got := usage(t, store, admin, a.ID, models.UsageOptions{}); got != "1000000003+1: 05-01T12:00 1000000003+1, "+rest+"2027-05-01T12:30:00.000Z" {
			t.Errorf("got %s", got)
		}
		if got := usage(t, store, admin, b.ID, models.UsageOptions{}); got != "0+0: "+rest+"never" {
			t.Errorf("got %s", got)
		}
		before := rowsOf(t, rawDB(t, url), "SELECT * FROM token_uses")
		if len(before) != 1 {
			t.Errorf("there are %q", before)
		}
		// Refused as a whole, and what is refused is named.
		for param, uses := range map[string][]models.Use{
			"uses":           {},
			"uses.1.tokenId": {{TokenID: a.ID, Allowed: 1}, {TokenID: a.ID + "x"}},
			"uses.0.tokenId": {{TokenID: "0000000000000000000-"}},
			"uses.0.allowed": {{TokenID: a.ID, Allowed: -1}},
			"uses.1.allowed": {{TokenID: a.ID, Allowed: 1}, {TokenID: a.ID, Allowed: 1_000_000_001}},
			"uses.0.denied":  {{TokenID: a.ID, Denied: 1_000_000_001}},
			"uses.2.denied":  {{TokenID: a.ID}, {TokenID: a.ID}, {TokenID: a.ID, Denied: -1}},
		} {
			err := report(uses...)
			wantCode(t, err, models.Invalid)
			if refused, ok := err.(*models.Error); !ok || refused.Data["param"] != param {
				t.Errorf("%s: got %+v", param, err)
			}
		}
		wantCode(t, report(make([]models.Use, 501)...), models.Invalid)
		if err := store.FlushUses(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := rowsOf(t, rawDB(t, url), "SELECT * FROM token_uses"); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("from %q to %q", before, after)
		}
	})
}

// A token's uses go with it, and with its owner.
func TestUsesGoWithTheirToken(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ada := makeUser(t, store, admin, "ada")
		deleted, owned, stays := newToken(t, store, ada, nil, true), newToken(t, store, ada, nil, true), newToken(t, store, admin, nil, true)
		for _, token := range []*models.Token{deleted, owned, stays} {
			store.Used(token.ID, 1, 1)
		}
		if err := store.FlushUses(t.Context()); err != nil {
			t.Fatal(err)
		}
		db := rawDB(t, url)
		want := func(tokens ...*models.Token) {
			t.Helper()
			if rows := rowsOf(t, db, "SELECT token_id FROM token_uses"); len(rows) != len(tokens) || !strings.Contains(fmt.Sprint(rows), tokens[0].ID) {
				t.Errorf("there are %q", rows)
			}
		}
		want(deleted, owned, stays)
		if err := store.DeleteToken(t.Context(), again(ada), deleted.ID); err != nil {
			t.Fatal(err)
		}
		want(owned, stays)
		if err := store.DeleteUser(t.Context(), again(admin), ada.UserID); err != nil {
			t.Fatal(err)
		}
		want(stays)
	})
}

// Three nodes that count the same tokens at the same time, written while they count and while the tokens are changed, lose
// none and count none twice; nor does a node that ends.
func TestUsesOfSeveralNodes(t *testing.T) {
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		const nodes, rounds, each = 3, 10, 5
		options := models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}}
		store := openKeyed(t, url, options)
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		var tokens []*models.Token
		for range 20 {
			tokens = append(tokens, newToken(t, store, admin, nil, true))
		}
		done := make(chan struct{})
		var work, changes sync.WaitGroup
		for range nodes {
			node, err := models.Open(t.Context(), url, options)
			if err != nil {
				t.Fatal(err)
			}
			work.Go(func() {
				for range rounds {
					for _, token := range tokens {
						for range each {
							node.Used(token.ID, 2, 1)
						}
					}
					if err := node.FlushUses(t.Context()); err != nil {
						t.Error(err)
					}
					node.Used(tokens[0].ID, 1, 0) // for the next write, or the end
				}
				if err := node.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		changes.Go(func() {
			for on := false; ; on = !on {
				select {
				case <-done:
					return
				default:
				}
				for _, token := range tokens {
					if _, err := store.SetTokenEnabled(t.Context(), again(admin), token.ID, on, models.ChangeOptions{}); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Millisecond) // SQLite gives its lock to whoever happens to ask next
			}
		})
		work.Wait()
		close(done)
		changes.Wait()
		for i, token := range tokens {
			got, err := store.ReadUsage(t.Context(), admin.Identity, token.ID, models.UsageOptions{})
			want := int64(2 * nodes * rounds * each)
			if i == 0 {
				want += nodes * rounds
			}
			if err != nil || got.Allowed != want || got.Denied != nodes*rounds*each {
				t.Errorf("%d: got %d+%d, %v, want %d+%d", i, got.Allowed, got.Denied, err, want, nodes*rounds*each)
			}
		}
	})
}

// What cannot be written is kept, and who asks is not told a part of it.
func TestUsesThatCannotBeWritten(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		token := newToken(t, store, admin, nil, true)
		db := rawDB(t, url)
		store.Used(token.ID, 1, 0)
		if err := store.FlushUses(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "ALTER TABLE token_uses RENAME TO elsewhere")
		for range 3 {
			store.Used(token.ID, 5, 1)
			if err := store.FlushUses(t.Context()); err == nil {
				t.Error("it was written")
			}
		}
		if got, err := store.ReadUsage(t.Context(), admin.Identity, token.ID, models.UsageOptions{}); err == nil {
			t.Errorf("got %+v", got)
		}
		mustExec(t, db, "ALTER TABLE elsewhere RENAME TO token_uses")
		if got, err := store.ReadUsage(t.Context(), admin.Identity, token.ID, models.UsageOptions{}); err != nil || got.Allowed != 16 || got.Denied != 3 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// A COMMIT that is not answered has taken effect, or not. Either way the uses are counted once.
func TestUsesInDoubt(t *testing.T) {
	direct := modelstest.MariaDB(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	cut := &cutter{to: u.Host}
	u.Host = cut.listen(t)
	store, admin := open(t, u.String())
	token := newToken(t, store, admin, nil, true)
	if err := store.FlushUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, effect := range []bool{true, false, true} {
		store.Used(token.ID, 0, 10) // nothing else is written of it
		cut.arm(effect)
		if err := store.FlushUses(t.Context()); err != nil { // else the store's own writer had its turn just then
			written := strings.Contains(fmt.Sprint(rowsOf(t, rawDB(t, direct), "SELECT denied FROM token_uses")), fmt.Sprint(11*i+10))
			if written != effect {
				t.Errorf("written %v, want %v", written, effect)
			}
		}
		if cut.armed.Load() > 0 {
			t.Error("no COMMIT was cut off")
		}
		store.Used(token.ID, 0, 1) // and others go on
		got, err := store.ReadUsage(t.Context(), admin.Identity, token.ID, models.UsageOptions{})
		if err != nil || got.Denied != int64(11*(i+1)) {
			t.Errorf("effect %v: got %+v, %v", effect, got, err)
		}
	}
}

// cutter is a way to a database that cuts a connection off at the next COMMIT when it is armed.
type cutter struct {
	to    string
	armed atomic.Int32 // 0: not; 1: before the database gets the COMMIT; 2: before its answer
}

func (c *cutter) arm(effect bool) {
	c.armed.Store(1)
	if effect {
		c.armed.Store(2)
	}
}

func (c *cutter) listen(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.pass(client)
		}
	}()
	return listener.Addr().String()
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	database, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer database.Close()
	var mute atomic.Bool
	go func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := database.Read(buffer)
			if mute.Load() || err != nil {
				return
			}
			client.Write(buffer[:n])
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		sent := string(buffer[:n])
		if armed := c.armed.Load(); armed > 0 && strings.HasSuffix(sent, "\x03COMMIT") {
			c.armed.Store(0)
			if armed == 1 {
				return
			}
			mute.Store(true)
		}
		if _, err := io.WriteString(database, sent); err != nil {
			return
		}
	}
}
