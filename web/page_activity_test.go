package web_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/server/servertest"
)

// Each change says what happened, to which token, and by whom, in every browser that looks at it.
func TestActivityTellsWhoDidWhat(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		var bob struct{ ID string }
		s.call("/v1/users/create", &bob, "bob", map[string]any{"password": "bob's password", "permissions": map[string]bool{"tokens:verify": true}})
		his := s.visitor("bob", "bob's password")
		his.open("/#/activity")
		his.seeText("Nothing has happened yet.")
		his.js(nil, `void api.call("/v1/api-tokens/create", "bob’s", { permissions: { "tokens:verify": true } })`)
		his.seeChanges("Created bob’s: with tokens:verify · by you, in this browser")

		other := s.visitor("admin", servertest.Password)
		other.open("/#/activity")
		other.seeText("Nothing has happened yet.") // bob's is not the administrator's
		s.click("button", "New token")
		dialog := s.in("dialog", "New token")
		dialog.fill("textbox", "Name", "<b>ci</b>")
		dialog.click("checkbox", "/^tokens:manage/")
		dialog.click("checkbox", "/^tokens:verify/")
		dialog.click("button", "Create token")
		secret := s.in("dialog", "").value("textbox", "Secret")
		other.seeChanges("Created <b>ci</b>: with tokens:manage, tokens:verify · by you, in another session")
		s.open("/#/activity")
		s.seeChanges("Created <b>ci</b>: with tokens:manage, tokens:verify · by you, in this browser")

		made := s.tokens()["<b>ci</b>"]
		s.program.Call(secret, "/v1/api-tokens/update-permissions", nil, made.ID, map[string]bool{"tokens:verify": false})
		other.click("link", "Tokens")
		other.in("listitem", "<b>ci</b>").click("switch", "<b>ci</b>: enabled")
		other.seeState("switch", "<b>ci</b>: enabled", "unchecked")
		s.seeChanges("Switched off <b>ci</b>: by you, in another session",
			"Permissions <b>ci</b>: tokens:verify taken away · by you, with the token <b>ci</b>",
			"Created <b>ci</b>: with tokens:manage, tokens:verify · by you, in this browser")

		s.call("/v1/users/update-permissions", nil, bob.ID, map[string]bool{"tokens:verify": false})
		created := "Created bob’s: with tokens:verify · by you, in this browser"
		taken := []string{"Permissions bob’s: tokens:verify has no effect any more · by admin", "Your permissions You: now none · by admin"}
		his.seeChanges(append(taken, created)...)
		s.call("/v1/users/update-permissions", nil, bob.ID, map[string]bool{"tokens:verify": true})
		given := []string{"Permissions bob’s: tokens:verify has an effect again · by admin", "Your permissions You: tokens:verify given · by admin"}
		his.seeChanges(append(given, append(taken, created)...)...)
		his.reload() // what is read says the same as what was told
		his.seeChanges(append(given, append(taken, created)...)...)
		if n := len(s.changes()); n != 3 {
			t.Errorf("the administrator sees %d changes, some of them not his: %q", n, s.changes())
		}
	})
}

// Changes can be filtered, held back, and counted; a token that is gone keeps its name.
func TestActivityFilterPauseAndNumbers(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		alpha, bravo := s.create("Alpha", "tokens:verify"), s.create("bravo")
		s.call("/v1/api-tokens/set-permissions", nil, alpha.ID, map[string]bool{})
		s.call("/v1/api-tokens/set-enabled", nil, bravo.ID, false)
		s.call("/v1/api-tokens/delete", nil, alpha.ID)
		s.open("/#/activity")
		const byOther = "by you, in another session"
		deleted, off := "Deleted Alpha: "+byOther, "Switched off bravo: "+byOther
		createdBravo, createdAlpha := "Created bravo: without permissions · "+byOther, "Created Alpha: with tokens:verify · "+byOther
		taken := "Permissions Alpha: tokens:verify taken away · " + byOther
		s.seeChanges(deleted, off, taken, createdBravo, createdAlpha)
		s.seeNumbers(5, 0, 1, 0)

		s.choose("Which changes", "Switched on or off")
		s.seeChanges(off)
		s.choose("Which changes", "All changes")
		s.fill("searchbox", "Search by token, user or permission", "ALPHA")
		s.seeChanges(deleted, taken, createdAlpha)
		s.fill("searchbox", "Search by token, user or permission", "tokens:verify")
		s.seeChanges(taken, createdAlpha)
		s.fill("searchbox", "Search by token, user or permission", "alpha")
		s.choose("Which changes", "Created")
		s.seeChanges(createdAlpha)
		s.create("alpha again") // what comes is filtered, too
		s.create("another")
		createdAgain, createdAnother := "Created alpha again: without permissions · "+byOther, "Created another: without permissions · "+byOther
		s.seeChanges(createdAgain, createdAlpha)
		s.fill("searchbox", "Search by token, user or permission", "no such thing")
		s.seeText("No change fits that.")
		s.seeText("Of the 7 changes that were looked through.")
		s.click("button", "Show all")
		s.seeChanges(createdAnother, createdAgain, deleted, off, taken, createdBravo, createdAlpha)
		s.seeState("searchbox", "Search by token, user or permission", "focused")
		s.seeNumbers(7, 2, 1, 0)

		s.click("button", "Pause")
		s.call("/v1/api-tokens/set-enabled", nil, bravo.ID, true)
		var short token
		s.call("/v1/api-tokens/create", &short, "short-lived", map[string]any{"expiresAt": time.Now().Add(100 * 24 * time.Hour)})
		s.see("button", "2 new: show")
		s.seeNumbers(7, 2, 1, 0) // which stand still, too
		s.seeChanges(createdAnother, createdAgain, deleted, off, taken, createdBravo, createdAlpha)
		s.click("button", "2 new: show")
		s.untilJS(`document.querySelectorAll(".change").length === 9`)
		s.seeNo("button", "/new: show/")
		s.call("/v1/api-tokens/delete", nil, bravo.ID)
		s.see("button", "1 new: show")
		s.click("button", "Resume")
		s.seeNumbers(10, 3, 0, 0)
		s.untilJS(`document.querySelectorAll(".change").length === 10`)
		is := s.changes()
		if is[0] != "Deleted bravo: "+byOther || !strings.HasPrefix(is[1], "Created short-lived: without permissions, until ") || is[2] != "Switched on bravo: "+byOther {
			t.Errorf("the changes are %q", is)
		}

		// What comes by itself: an end, and perhaps that it is near.
		s.choose("Which changes", "Expiry")
		s.call("/v1/api-tokens/update", nil, short.ID, map[string]any{"expiresAt": time.Now().Add(time.Second)})
		s.until("the token to expire", func() error {
			if is = s.changes(); len(is) == 0 || !strings.HasPrefix(is[0], "Expired short-lived: was good until ") || !strings.HasSuffix(is[0], " · by itself") {
				return fmt.Errorf("the changes are %q", is)
			}
			return nil
		})
		s.seeNumbers(11+len(is), 2, 0, 1)
	})
}

// One reads on backwards by scrolling; a server that goes in the middle and comes back costs no entry, and doubles none.
func TestActivityIsWhole(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.allow(gone...)
		s.js(nil, `Promise.all(Array.from({ length: 120 }, (_, i) => api.call("/v1/api-tokens/create", "t" + i)))`)
		s.open("/#/activity")
		s.untilJS(`document.querySelectorAll(".change").length === 100`)
		s.seeNoText("That is all that is kept.")
		meanwhile := s.create("meanwhile")
		s.until("to read all", func() error {
			s.wheel(3000)
			if n := len(s.changes()); n != 121 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		s.seeText("That is all that is kept.")
		s.seeWholeFeed()

		s.js(nil, `void (globalThis.isSamePage = true, globalThis.settled = Promise.all(Array.from({ length: 4 }, async () => {
			for (let i = 0, isCut = false; i < 30 && !isCut; i++) await api.call("/v1/api-tokens/create", "cut" + i).catch(() => (isCut = true));
		})))`)
		s.untilJS(`document.querySelector(".change strong").textContent.startsWith("cut")`)
		s.program.Kill() // in the middle of it
		s.seeText("There is no connection just now. What happens meanwhile comes in when it is back.")
		s.program.Start()
		s.create("while away")
		s.js(nil, "api.reconnect()")
		s.js(nil, "settled.then(() => {})") // calls that waited for the connection are made now
		s.seeNoText("There is no connection just now.")
		s.call("/v1/api-tokens/delete", nil, meanwhile.ID)
		s.seeWholeFeed()
		s.untilJS("globalThis.isSamePage")
	})
}

// changes are those of the list, from top to bottom: what happened, to what, and by whom.
func (b *browser) changes() (changes []string) {
	b.t.Helper()
	b.js(&changes, `[...document.querySelectorAll(".change")].map((row) => {
		const [, subject, detail] = row.querySelectorAll("p");
		return row.querySelector(".badge").textContent + " " + (subject.querySelector("strong") ?? subject).textContent + ": " + detail.textContent;
	})`)
	return changes
}

// seeChanges waits until the list has these, from top to bottom.
func (b *browser) seeChanges(want ...string) {
	b.t.Helper()
	b.until(fmt.Sprintf("for the changes to be\n%s", strings.Join(want, "\n")), func() error {
		if is := b.changes(); !slices.Equal(is, want) {
			return fmt.Errorf("they are\n%s", strings.Join(is, "\n"))
		}
		return nil
	})
}

// seeNumbers waits until the charts say so, to those who see them and to those who hear them.
func (b *browser) seeNumbers(changes, on, off, expired int) {
	b.t.Helper()
	tokens := fmt.Sprintf("%d tokens in all.", on+off+expired)
	if on+off+expired == 1 {
		tokens = "1 token in all."
	}
	want := fmt.Sprint([]any{changes, fmt.Sprintf("%d changes in the last 7 days.", changes), on, off, expired, tokens})
	b.until("for the charts to say "+want, func() error {
		var is []any
		b.js(&is, `(() => {
			const cells = (caption) => [...document.querySelectorAll("table")].find((table) => table.caption.textContent === caption).tBodies[0].rows;
			const days = [...cells("Changes a day")].map((row) => Number(row.cells[1].textContent));
			const drawn = [...document.querySelectorAll("svg .number")].map((number) => Number(number.textContent));
			const heights = [...document.querySelectorAll("svg.columns rect")].map((bar) => bar.getBoundingClientRect().height);
			const isDrawn = String(days) === String(drawn) && heights.every((height, i) => height > 0 === days[i] > 0);
			const sum = days[5] + days[6]; // today, and until a moment ago
			const [, total] = document.querySelectorAll(".numbers section > p");
			return [isDrawn ? sum : "not what is drawn: " + drawn, document.querySelector(".numbers section > p").textContent,
				...[...cells("Tokens by state")].map((row) => Number(row.cells[1].textContent)), total.textContent];
		})()`)
		if fmt.Sprint(is) != want {
			return fmt.Errorf("they say %v", is)
		}
		return nil
	})
}

// seeWholeFeed waits until the list has every change that the server has, once, in its order, and knows what each token is called.
func (s *served) seeWholeFeed() {
	s.t.Helper()
	titles := map[string]string{"/v1/api-tokens/created": "Created ", "/v1/api-tokens/deleted": "Deleted "}
	s.until("for the list to be the server's", func() error {
		var want []string
		known := map[string]string{}
		for options := map[string]any{"limit": 100}; options != nil; {
			var page struct {
				Events []struct {
					Method string
					Params struct {
						Token   token
						TokenID string `json:"tokenId"`
					}
				}
				Next *string
			}
			s.call("/v1/events/read", &page, options)
			for _, e := range page.Events {
				if e.Params.Token.ID != "" {
					known[e.Params.Token.ID] = e.Params.Token.Name
				}
				want = append(want, titles[e.Method]+e.Params.Token.ID+e.Params.TokenID)
			}
			if options = nil; page.Next != nil {
				options = map[string]any{"limit": 100, "after": *page.Next}
			}
		}
		is := s.changes()
		if len(is) != len(want) {
			return fmt.Errorf("there are %d, of %d", len(is), len(want))
		}
		for i := range want {
			title, id, _ := strings.Cut(want[i], " ")
			if what, _, _ := strings.Cut(is[i], ":"); what != title+" "+known[id] {
				return fmt.Errorf("place %d is %q, want %s %s", i, is[i], title, known[id])
			}
		}
		return nil
	})
}
