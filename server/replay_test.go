package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// bulky gives the administrator a token with many permissions of long names, and returns him, his position and what
// makes changes of that token, each an event of 130 bytes a permission.
func (i *instance) bulky(ctx context.Context, permissions int) (userID, since string, change func(times int)) {
	i.t.Helper()
	admin, err := i.store.Authenticate(ctx, models.NewSecret(i.session), "")
	if err != nil {
		i.t.Fatal(err)
	}
	by := func() models.Actor { return models.Actor{Identity: admin, ChangeID: models.NewChangeID()} }
	grants := models.Grants{}
	for n := range permissions {
		id := fmt.Sprintf("%064d", n)
		if _, err := i.store.CreatePermission(ctx, by(), id, models.CreatePermissionOptions{}); err != nil {
			i.t.Fatal(err)
		}
		grants[id] = true
	}
	token, _, err := i.store.CreateToken(ctx, by(), "x", models.CreateTokenOptions{Permissions: grants})
	if err != nil {
		i.t.Fatal(err)
	}
	return admin.UserID, admin.Position.String(), func(times int) {
		for n := range times {
			change := models.Grants{fmt.Sprintf("%064d", 0): n%2 == 1}
			if _, err := i.store.UpdateTokenPermissions(ctx, by(), token.ID, change, models.ChangeOptions{}); err != nil {
				i.t.Fatal(err)
			}
		}
	}
}

// changesOf reads until n changes of permissions have come or the connection ends, and returns their positions and size.
func changesOf(ctx context.Context, ws *websocket.Conn, n int) (told []string, size int, err error) {
	for len(told) < n {
		_, message, err := ws.Read(ctx)
		if err != nil {
			return told, size, err
		}
		if text := string(message); strings.Contains(text, `"/v1/api-tokens/permissions-changed"`) {
			_, position, _ := strings.Cut(text, `"position":"`)
			position, _, _ = strings.Cut(position, `"`)
			told, size = append(told, position), size+len(message)
		}
	}
	return told, size, nil
}

// TestBulkyReplay: what was missed may be far more than the queue of a connection holds. A client that reads all the time
// is not one that cannot keep up.
func TestBulkyReplay(t *testing.T) {
	const changes = 300
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		ctx, cancel := context.WithTimeout(context.Background(), overall)
		defer cancel()
		_, since, change := i.bulky(ctx, 60)
		change(changes)
		ws, err := connect(ctx, i.url, i.session, since, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		if _, first, err := ws.Read(ctx); err != nil || !strings.Contains(string(first), `"/v1/session/ready"`) {
			t.Fatalf("%.200s %v", first, err)
		}
		told, size, err := changesOf(ctx, ws, changes)
		if err != nil || size < 2<<20 {
			t.Errorf("after %d of %d changes, %d KiB: %v", len(told), changes, size>>10, err)
		}
	})
}

// TestTooSlow: who does not read is sent off with 4008 once more waits than a connection may have, well before writing to
// it takes too long, and misses nothing.
func TestTooSlow(t *testing.T) {
	const changes = 90
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		ctx, cancel := context.WithTimeout(context.Background(), overall)
		defer cancel()
		userID, _, change := i.bulky(ctx, 200)
		slow, err := connect(ctx, i.url, i.session, "", tightClient())
		if err != nil {
			t.Fatal(err)
		}
		defer slow.CloseNow()
		change(changes)
		var want []string
		for _, e := range feedOf(t, i.store, userID) {
			if e.Method == models.TokenPermissionsChanged {
				want = append(want, e.At().String())
			}
		}
		told, _, err := changesOf(ctx, slow, changes)
		if websocket.CloseStatus(err) != 4008 || len(told) == 0 {
			t.Fatalf("the slow one got %d of %d changes and then: %v", len(told), changes, err)
		}
		resumed, err := connect(ctx, i.url, i.session, told[len(told)-1], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resumed.CloseNow()
		rest, _, err := changesOf(ctx, resumed, changes-len(told))
		if err != nil || !slices.Equal(append(told, rest...), want) {
			t.Errorf("resumed: %d and %d of %d changes, %v", len(told), len(rest), changes, err)
		}
	})
}
