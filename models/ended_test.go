package models_test

import (
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// ending is how a credential ends or loses what it takes, what tells of that, and how it is undone if it can be.
type ending struct {
	by        models.Actor // nobody: a new session
	end, back func(by models.Actor) error
	event     string
}

func endings(t *testing.T, store *models.Store, admin, ada, byToken models.Actor) map[string]ending {
	t.Helper()
	ctx, tokenID := t.Context(), byToken.Credential.ID
	return map[string]ending{
		"session deleted": {
			end:   func(by models.Actor) error { return store.DeleteSession(ctx, again(admin), by.Credential.ID) },
			event: models.SessionEnded,
		},
		"user disabled": {
			end:   func(models.Actor) error { return second(store.SetUserEnabled(ctx, again(admin), ada.UserID, false)) },
			back:  func(models.Actor) error { return second(store.SetUserEnabled(ctx, again(admin), ada.UserID, true)) },
			event: models.UserEnded,
		},
		"token disabled": {by: byToken,
			end: func(models.Actor) error {
				return second(store.SetTokenEnabled(ctx, again(ada), tokenID, false, models.ChangeOptions{}))
			},
			back: func(models.Actor) error {
				return second(store.SetTokenEnabled(ctx, again(ada), tokenID, true, models.ChangeOptions{}))
			},
			event: models.TokenEnabledChanged,
		},
		"token shut out": {by: byToken,
			end: func(models.Actor) error {
				return second(store.UpdateToken(ctx, again(ada), tokenID, models.TokenChanges{AllowedIPs: given(addresses(t, "203.0.113.1"))}))
			},
			back: func(models.Actor) error {
				return second(store.UpdateToken(ctx, again(ada), tokenID, models.TokenChanges{AllowedIPs: null[models.Addresses]()}))
			},
			event: models.TokenUpdated,
		},
		"permission taken": {by: byToken,
			end: func(models.Actor) error {
				return second(store.UpdateUserPermissions(ctx, again(admin), ada.UserID, models.Grants{models.PermissionManage: false}))
			},
			back: func(models.Actor) error {
				return second(store.UpdateUserPermissions(ctx, again(admin), ada.UserID, models.Grants{models.PermissionManage: true}))
			},
			event: models.SessionPermissionsChanged,
		},
	}
}

// A credential ends, or loses what a change takes, while changes are made with it. What was under way comes before that
// in the feed or is refused: who saw the end sees nothing of the credential after it.
func TestNoChangeAfterTheEndOfItsCredential(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		ada := makeUser(t, store, admin, "ada", models.PermissionManage)
		_, secret, err := store.CreateToken(ctx, again(ada), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		byToken := authenticate(t, store, secret)
		byToken.Needs = models.PermissionManage
		for round := range rounds(6) {
			for name, c := range endings(t, store, admin, ada, byToken) {
				if c.by.Identity == nil {
					c.by = signIn(t, store, "ada")
				}
				last := allEvents(t, store, ada.UserID)
				from := last[len(last)-1].Position
				work := func() { changeUntilRefused(t, store, c.by) }
				together(work, work, work, work, func() {
					if err := c.end(c.by); err != nil {
						t.Error(err)
					}
				})
				if n := changesAfter(t, store, c.by, from, c.event); n != 0 {
					t.Fatalf("%s in round %d: %d changes by the credential come after its end", name, round, n)
				}
				if c.back != nil {
					if err := c.back(c.by); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// changeUntilRefused makes and deletes tokens until the caller may not any more.
func changeUntilRefused(t *testing.T, store *models.Store, by models.Actor) {
	for range 100 {
		token, _, err := store.CreateToken(t.Context(), again(by), "x", models.CreateTokenOptions{})
		if err == nil {
			err = store.DeleteToken(t.Context(), again(by), token.ID)
		}
		if oneOf(t, err, models.Unauthorized, models.Forbidden); err != nil {
			return
		}
	}
}

// changesAfter counts a caller's own changes after the first event of a method behind position from that somebody else
// brought about.
func changesAfter(t *testing.T, store *models.Store, by models.Actor, from int64, method string) (n int) {
	t.Helper()
	ended := false
	for _, e := range allEvents(t, store, by.UserID) {
		var p struct {
			By struct {
				Credential models.Credential `json:"credential"`
			} `json:"by"`
		}
		if err := e.Decode(&p); err != nil {
			t.Fatal(err)
		}
		own := p.By.Credential == by.Credential
		switch {
		case e.Position <= from:
		case ended && own:
			n++
		case e.Method == method && !own:
			ended = true
		}
	}
	if !ended {
		t.Errorf("no %s after position %d", method, from)
	}
	return n
}
