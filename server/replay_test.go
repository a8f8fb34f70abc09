package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestBulkyReplay: what was missed may be far more than the queue of a connection holds. A client that reads all the time
// is not one that cannot keep up.
func TestBulkyReplay(t *testing.T) {
	const permissions, changes = 60, 300
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		ctx, cancel := context.WithTimeout(context.Background(), overall)
		defer cancel()
		admin, err := i.store.Authenticate(ctx, models.NewSecret(i.session))
		if err != nil {
			t.Fatal(err)
		}
		by := func() models.Actor { return models.Actor{Identity: admin, ChangeID: models.NewChangeID()} }
		grants := models.Grants{}
		for n := range permissions {
			id := fmt.Sprintf("%064d", n)
			if _, err := i.store.CreatePermission(ctx, by(), id, models.CreatePermissionOptions{}); err != nil {
				t.Fatal(err)
			}
			grants[id] = true
		}
		token, _, err := i.store.CreateToken(ctx, by(), "x", models.CreateTokenOptions{Permissions: grants})
		if err != nil {
			t.Fatal(err)
		}
		since := admin.Position.String()
		for n := range changes {
			if _, err := i.store.UpdateTokenPermissions(ctx, by(), token.ID, models.Grants{fmt.Sprintf("%064d", 0): n%2 == 1}, models.ChangeOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		ws, err := connect(ctx, i.url, i.session, since, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		size, told := 0, 0
		for first := true; told < changes; first = false {
			_, message, err := ws.Read(ctx)
			if err != nil {
				t.Fatalf("after %d of %d changes, %d KiB: %v", told, changes, size>>10, err)
			}
			if ready := strings.Contains(string(message), `"/v1/session/ready"`); ready != first {
				t.Fatalf("%.200s", message)
			}
			if strings.Contains(string(message), `"/v1/api-tokens/permissions-changed"`) {
				size, told = size+len(message), told+1
			}
		}
		if size < 2<<20 {
			t.Errorf("only %d KiB were missed", size>>10)
		}
	})
}
