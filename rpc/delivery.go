package rpc

import (
	"slices"

	"github.com/tokenwire/tokenwire/models"
)

// delivery is an event on its way to the connections of its user. What they get is encoded once, when the first needs it.
type delivery struct {
	event   *models.Event
	frame   []byte // the event as a notification
	session []byte // /v1/session/permissions-changed for the token's own connections
	told    int    // notifications that were put into queues
}

func (d *delivery) notification() []byte {
	if d.frame == nil {
		d.frame = d.event.Notification()
	}
	return d.frame
}

// deliver gives the connection an event: what it means for its identity, and what its client is told. It is called with
// feed.mu held, in the order of the feed.
func (c *Conn) deliver(d *delivery) {
	e, who := d.event, c.who.Load()
	c.position = e.At()
	news := e.Position > c.factsAt // older events are told to the client; the identity knows of them
	switch e.Method {
	case models.UserEnded:
		var p models.UserEndedParams
		if news && e.Decode(&p) == nil {
			c.end(p.Reason, e)
		}
	case models.SessionEnded:
		var p models.SessionEndedParams
		if news && e.Decode(&p) == nil && who.Credential == (models.Credential{Kind: models.KindSession, ID: p.SessionID}) {
			c.end(p.Reason, e)
		}
	case models.SessionPermissionsChanged:
		c.sessionPermissions(d, who, news)
	default:
		if !e.Internal() && (who.only == "" || who.only == e.TokenID) {
			c.tell(d, d.notification())
		}
		if who.Credential.Kind == models.KindToken && who.Credential.ID == e.TokenID {
			c.ownToken(d, who, news)
		}
	}
}

func (c *Conn) tell(d *delivery, frame []byte) {
	c.out.push(frame, d.event.ChangeID)
	d.told++
}

// sessionPermissions is for connections that signed in as the user himself. What the user's permissions mean for a token
// comes as an event of that token.
func (c *Conn) sessionPermissions(d *delivery, who *caller, news bool) {
	if who.Credential.Kind != models.KindSession {
		return
	}
	var p models.SessionPermissionsChangedParams
	if news && d.event.Decode(&p) == nil {
		c.who.Store(newCaller(who.With(p.Permissions)))
	}
	c.tell(d, d.notification())
}

// ownToken applies an event of the connection's own token.
func (c *Conn) ownToken(d *delivery, who *caller, news bool) {
	e := d.event
	switch e.Method {
	case models.TokenUpdated:
		var p models.TokenUpdatedParams
		if news && e.Decode(&p) == nil {
			c.bound(p.Token, e)
		}
	case models.TokenRotated:
		var p models.TokenRotatedParams
		if news && e.Decode(&p) == nil {
			c.rotated(p, e)
		}
	case models.TokenDeleted:
		if news {
			c.end(models.ReasonTokenDeleted, e)
		}
	case models.TokenEnabledChanged:
		var p models.TokenEnabledChangedParams
		if news && e.Decode(&p) == nil && !p.Enabled {
			c.end(models.ReasonTokenDisabled, e)
		}
	case models.TokenPermissionsChanged:
		var p models.TokenPermissionsChangedParams
		if !news || e.Decode(&p) != nil || slices.Equal(p.EffectivePermissions, who.Permissions.Sorted()) {
			return
		}
		set := models.PermissionSetOf(p.EffectivePermissions)
		c.who.Store(newCaller(who.With(set)))
		if d.session == nil {
			d.session = e.SessionPermissions(set)
		}
		c.tell(d, d.session)
	}
}

// bound applies what bounds the connection's own token by now: where it may be, and for how long.
func (c *Conn) bound(token *models.Token, e *models.Event) {
	who := c.who.Load()
	if !token.AllowedIPs.Contain(who.From) {
		c.end(models.ReasonAddressNotAllowed, e)
		return
	}
	c.who.Store(newCaller(who.Until(token.ExpiresAt)))
	c.awaitEnd()
}

// rotated applies that the connection's own token has a new secret. Who came by the one that it replaces ends with that
// one, and who came by an older one ends now. To who came by the new one it is no news.
func (c *Conn) rotated(p models.TokenRotatedParams, e *models.Event) {
	who := c.who.Load()
	if who.SecretNumber != p.SecretNumber-1 || p.PreviousUntil == nil {
		c.end(models.ReasonTokenRotated, e)
		return
	}
	c.who.Store(newCaller(who.Replaced(p.PreviousUntil)))
	c.awaitEnd()
}
