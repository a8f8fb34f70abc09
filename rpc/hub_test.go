package rpc

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// eventually waits until what a test waits for is so.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// positions returns those of the events that the client was told of.
func (p *pipe) positions() (positions []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if _, rest, is := strings.Cut(m, `"params":{"position":"`); is && strings.Contains(m, `"/v1/api-tokens/`) {
			position, _, _ := strings.Cut(rest, `"`)
			positions = append(positions, position)
		}
	}
	return positions
}

// actingAdmin is the administrator of a test's store.
type actingAdmin struct {
	t     testing.TB
	store *models.Store
	*models.Identity
}

func newActingAdmin(t testing.TB, store *models.Store) actingAdmin {
	t.Helper()
	_, _, session, err := signInAdmin(store)
	if err != nil {
		t.Fatal(err)
	}
	id, err := store.Authenticate(t.Context(), session, "")
	if err != nil {
		t.Fatal(err)
	}
	return actingAdmin{t, store, id}
}

func (a actingAdmin) by() models.Actor {
	return models.Actor{Identity: a.Identity, ChangeID: models.NewChangeID()}
}

func (a actingAdmin) create(permission string) models.Secret {
	a.t.Helper()
	_, secret, err := a.store.CreateToken(context.Background(), a.by(), "x", models.CreateTokenOptions{Permissions: models.Grants{permission: true}})
	if err != nil {
		a.t.Fatal(err)
	}
	return secret
}

// switches switches a token on or off.
func (a actingAdmin) switches(secret models.Secret, on bool) {
	a.t.Helper()
	id := strings.Split(secret.Reveal(), "_")[1]
	if _, err := a.store.SetTokenEnabled(context.Background(), a.by(), id, on, models.ChangeOptions{}); err != nil {
		a.t.Fatal(err)
	}
}

// tokenEvents returns the positions of all events of tokens.
func (a actingAdmin) tokenEvents() (positions []string) {
	a.t.Helper()
	for last := int64(0); ; {
		events, err := a.store.EventsAfter(context.Background(), a.UserID, last)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, e := range events {
			if last = e.Position; e.TokenID != "" {
				positions = append(positions, e.At().String())
			}
		}
		if len(events) < models.EventsPage {
			return positions
		}
	}
}

// TestConnectionThatCatchesUp: a connection that is still being told what it missed is counted, and gets what happens
// meanwhile after all that.
func TestConnectionThatCatchesUp(t *testing.T) {
	s, store := newTestService(t, io.Discard)
	admin := newActingAdmin(t, store)
	secret := admin.create(models.PermissionManage)
	other := admin.create(models.PermissionVerify)
	for n := range models.EventsPage + 10 { // more than is read at a time
		admin.switches(other, n%2 == 1)
	}
	id, err := store.Authenticate(t.Context(), secret, "")
	if err != nil {
		t.Fatal(err)
	}
	p := newPipe(t)
	p.stuck = make(chan struct{})
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(p, id, Door{}, Start{Position: admin.Position})
	}()
	eventually(t, "a connection that catches up is not counted", func() bool { return s.hub.connections(id.UserID, id.Credential) == 1 })
	admin.create(models.PermissionVerify)
	if n := s.hub.connections(id.UserID, admin.Credential); n != 0 {
		t.Errorf("%d connections of a session that has none", n)
	}
	close(p.stuck)
	want := admin.tokenEvents()
	eventually(t, "it does not catch up", func() bool { return len(p.positions()) >= len(want) })
	admin.create(models.PermissionVerify)
	want = admin.tokenEvents()
	eventually(t, "it does not go on", func() bool { return len(p.positions()) >= len(want) })
	if got := p.positions(); !slices.Equal(got, want) {
		t.Errorf("it was told of %q\nand not of %q", got, want)
	}
	p.Abort()
	<-served
	if n := s.hub.connections(id.UserID, id.Credential); n != 0 {
		t.Errorf("%d connections after it has gone", n)
	}
}

// TestJoinsInTurn: of many that come back at once a few read what they missed, be it of a feed that is new here or from an older
// position, and the others wait.
func TestJoinsInTurn(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.good()
		now := newActingAdmin(t, l.store).Identity
		for _, id := range []*models.Identity{l.Identity, now} {
			for range maxJoining {
				l.s.hub.joining <- struct{}{}
			}
			p := &peer{pipe: newPipe(t), served: make(chan struct{})}
			go func() {
				defer close(p.served)
				l.s.Serve(p, id, Door{}, Start{Position: l.Identity.Position})
			}()
			p.want("ready")
			<-l.s.hub.joining
			p.want("created")
			if n := len(l.s.hub.joining); n != maxJoining-1 {
				t.Error(n, "places are taken")
			}
			for range maxJoining - 1 {
				<-l.s.hub.joining
			}
			p.gone()
		}
	})
}
