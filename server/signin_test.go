package server_test

import (
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// attempt signs in and returns the status, the Retry-After header and the error's retryAfterMs.
func (i *instance) attempt(t testing.TB, username, password string) (status int, retryAfter string, retryMS int64) {
	body, _ := json.Marshal([]string{username, password})
	response, err := http.Post(i.url+"/api/v1/session/sign-in", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Error(err)
		return 0, "", 0
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	var failed struct {
		Error struct {
			Data struct {
				RetryAfterMS int64 `json:"retryAfterMs"`
			} `json:"data"`
		} `json:"error"`
	}
	json.Unmarshal(answer, &failed)
	return response.StatusCode, response.Header.Get("Retry-After"), failed.Error.Data.RetryAfterMS
}

func (i *instance) createUser(t testing.TB, username, options string) {
	t.Helper()
	if status, answer := i.post("/api/v1/users/create", i.session, `["`+username+`",`+options+`]`); status != 200 {
		t.Fatal(status, answer)
	}
}

// TestSignInLimited: wrong passwords are limited, whether they come one after the other or at once; the answer says when
// to come again in both of HTTP's and our own words.
func TestSignInLimited(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		count := func(statuses []int) (wrong, limited int) {
			for _, s := range statuses {
				switch s {
				case 401:
					wrong++
				case 429:
					limited++
				default:
					t.Error("status", s)
				}
			}
			return wrong, limited
		}
		var serial []int
		for range 8 {
			status, header, ms := i.attempt(t, "serial", "wrong password")
			serial = append(serial, status)
			if status == 429 {
				seconds, err := strconv.ParseInt(header, 10, 64)
				if err != nil || ms <= 0 || seconds*1000 < ms || seconds*1000 >= ms+1000 {
					t.Errorf("Retry-After: %q, retryAfterMs %d", header, ms)
				}
			}
		}
		one, limited := count(serial)
		if limited == 0 {
			t.Error("8 wrong passwords in a row were all looked at")
		}
		var mu sync.Mutex
		var parallel []int
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				status, _, _ := i.attempt(t, "Parallel ", "wrong password") // the same account, however it is written
				mu.Lock()
				defer mu.Unlock()
				parallel = append(parallel, status)
			})
		}
		all.Wait()
		if status, _, _ := i.attempt(t, "parallel", "wrong password"); status != 429 {
			t.Error("another spelling of the name is another account")
		}
		if many, _ := count(parallel); many > one {
			t.Errorf("%d wrong passwords at once, %d in a row", many, one)
		}
		if status, _, _ := i.attempt(t, "admin", adminPassword); status != 200 {
			t.Error("another account's good sign-in got", status)
		}
	})
}

// TestSignInBurst: 200 sign-ins at once, right and wrong, do not take the memory of 200 hashes nor for ever, and the right
// ones get in when they come again as they were told.
func TestSignInBurst(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	var peak uint64
	stop, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	var right, wrong sync.WaitGroup
	for n := range 200 {
		if n%20 == 0 {
			right.Go(func() {
				for time.Since(begun) < 60*time.Second {
					status, _, ms := i.attempt(t, "admin", adminPassword)
					if status == 200 {
						return
					}
					if status != 429 {
						t.Error("a right password got", status)
						return
					}
					time.Sleep(time.Duration(ms) * time.Millisecond)
				}
				t.Error("a right password does not get in")
			})
			continue
		}
		wrong.Go(func() {
			if status, _, _ := i.attempt(t, "somebody"+strconv.Itoa(n), "wrong password"); status != 401 && status != 429 {
				t.Error("a wrong password got", status)
			}
		})
	}
	wrong.Wait()
	if took := time.Since(begun); took > 30*time.Second {
		t.Error("answered after", took)
	}
	right.Wait()
	close(stop)
	<-sampled
	t.Logf("took %v, %d MiB at the most", time.Since(begun), (peak-before.HeapAlloc)>>20)
	// Every hash takes 19 MiB that the collector must find first: 200 of them at once would be 3.8 GiB.
	if grown := int64(peak - before.HeapAlloc); grown > 600<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// TestSetPasswordLimited: who has stolen a session must not be able to guess the password with it.
func TestSetPasswordLimited(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	i.createUser(t, "victim", `{"password":"the old password"}`)
	session := i.signIn("victim", "the old password")
	c := i.dial(session, "")
	c.next()
	limited := false
	for range 10 {
		c.send(call(1, "/v1/session/set-password", `["a wrong guess","my own password"]`))
		answer := c.next()
		limited = limited || strings.Contains(answer, `"code":429`) && strings.Contains(answer, `"retryAfterMs":`)
		if !limited && !strings.Contains(answer, `"code":403`) {
			t.Error(answer)
		}
	}
	if !limited {
		t.Error("ten guesses of the current password were all looked at")
	}
	if status, _, _ := i.attempt(t, "victim", "the old password"); status == 200 {
		t.Error("guesses by set-password and by sign-in, of the same account and source, are counted apart")
	}
}

// TestUnknownUser: whether an account exists shows neither in the answer nor in the time that it takes.
func TestUnknownUser(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	i.createUser(t, "disabled", `{"password":"the right password"}`)
	i.createUser(t, "no-password", `{}`)
	var disabled string
	_, list := i.post("/api/v1/users/read", i.session, `[{"where":{"username":"disabled"}}]`)
	_, disabled, _ = strings.Cut(list, `"id":"`)
	disabled, _, _ = strings.Cut(disabled, `"`)
	if status, answer := i.post("/api/v1/users/set-enabled", i.session, `["`+disabled+`",false]`); status != 200 {
		t.Fatal(answer)
	}
	passwords := map[string]string{
		"admin": "wrong password", "nobody": "wrong password", "no-password": "", "disabled": "wrong password",
		"' OR 1=1 --": "x", "%": "x", "long": strings.Repeat("x", 10_000),
	}
	fastest := map[string]time.Duration{} // the machine has other things to do: the fastest of a few says most
	for range 5 {
		for username, password := range passwords {
			begun := time.Now()
			status, answer := i.post("/api/v1/session/sign-in", "", `["`+username+`","`+password+`"]`)
			took := time.Since(begun)
			if status != 401 || answer != `{"error":{"code":401,"message":"wrong username or password"}}` {
				t.Fatalf("%s: %d %s", username, status, answer)
			}
			if known, ok := fastest[username]; !ok || took < known {
				fastest[username] = took
			}
		}
	}
	for username, took := range fastest {
		if took*3 < fastest["admin"] || fastest["admin"]*3 < took {
			t.Errorf("%q takes %v, a wrong password %v", username, took, fastest["admin"])
		}
	}
	if status, answer := i.post("/api/v1/session/sign-in", "", `["disabled","the right password"]`); status == 200 {
		t.Error("a disabled user signs in:", answer)
	}
}
