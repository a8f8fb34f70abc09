package faults

import (
	"encoding/json"
	"fmt"

	"github.com/tokenwire/tokenwire/models"
)

// told is what an event says that the oracle looks at.
type told struct {
	TokenID     string          `json:"tokenId"`
	Enabled     bool            `json:"enabled"`
	Version     int64           `json:"version"`
	Permissions map[string]bool `json:"permissions"`
	Reason      string          `json:"reason"`
	Token       struct {
		ID          string          `json:"id"`
		Name        string          `json:"name"`
		Version     int64           `json:"version"`
		Permissions map[string]bool `json:"permissions"`
	} `json:"token"`
}

func bitsOf(grants map[string]bool) (bits uint8) {
	for n, id := range scopes {
		if grants[id] {
			bits |= 1 << n
		}
	}
	return bits
}

// is reports whether an event is that of a change.
func (c *change) is(e *models.Event, says *told) bool {
	switch c.kind {
	case created:
		return e.Method == models.TokenCreated && says.Token.Name == c.name && (c.made == nil || c.made.id == e.TokenID)
	case enabled:
		return e.Method == models.TokenEnabledChanged && e.TokenID == c.token.id && says.Version == c.version && says.Enabled == c.on
	case granted:
		return e.Method == models.TokenPermissionsChanged && e.TokenID == c.token.id && says.Version == c.version && bitsOf(says.Permissions) == c.bits
	case rotated:
		return e.Method == models.TokenUpdated && e.TokenID == c.token.id && says.Token.Version == c.version
	case deleted:
		return e.Method == models.TokenDeleted && e.TokenID == c.token.id
	case ownerOn:
		return e.Method == models.UserEnded && !c.on && says.Reason == models.ReasonUserDisabled
	case ownerGone:
		return e.Method == models.UserEnded && says.Reason == models.ReasonUserDeleted
	default:
		return e.Method == models.SessionPermissionsChanged && bitsOf(says.Permissions) == c.bits
	}
}

// leavesNone reports whether a change is one that no event tells of.
func (c *change) leavesNone() bool { return c.kind == ownerOn && c.on }

// judgeChanges is the third oracle's first half: whether events match changes one to one. It notes which changes happened, and
// when somebody heard of them.
func (o *owner) judgeChanges(events []models.Event) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("database: of %s: ", o.name)+fmt.Sprintf(format, args...))
	}
	heard := o.heard()
	var moved string // the last change of the owner's permissions, which his tokens' events belong to
	for i := range events {
		e := &events[i]
		if e.Position != int64(i+1) {
			fault("position %d is that of the event %d", e.Position, i+1)
		}
		var says told
		if err := json.Unmarshal(e.Params, &says); err != nil {
			fault("position %d: %v", e.Position, err)
		}
		if e.Method == models.SessionPermissionsChanged {
			moved = e.ChangeID
		}
		if e.Method == models.UserCreated || e.Method == models.TokenRotated || e.Method == models.TokenPermissionsChanged && e.ChangeID == moved {
			continue
		}
		if c := o.claim(e, &says); c == nil {
			fault("nobody asked for what position %d tells, or it was refused, or it is there twice: %s", e.Position, e.Notification())
		} else if at := heard[string(e.Notification())]; at != never {
			c.seen = at
		}
	}
	for _, c := range o.changes {
		switch {
		case c.answered == never || c.leavesNone():
		case !c.happened:
			fault("%s of version %d was answered and is not there", c.kind, c.version)
		case c.told != c.version && c.kind != deleted && c.kind != ownerOn && c.kind != ownerGiven:
			fault("%s was answered with version %d in place of %d", c.kind, c.told, c.version)
		}
	}
	return faults
}

// heard returns when each event first came to a follower.
func (o *owner) heard() map[string]int64 {
	at := map[string]int64{}
	for _, f := range o.followers {
		f.mu.Lock()
		for _, n := range f.got {
			if first, is := at[n.raw]; !is || n.at < first {
				at[n.raw] = n.at
			}
		}
		f.mu.Unlock()
	}
	return at
}

// claim finds the change that an event is of, one that was answered before any other.
func (o *owner) claim(e *models.Event, says *told) (found *change) {
	for _, c := range o.changes {
		if c.happened || c.answered == never && c.tries == 0 || !c.is(e, says) {
			continue
		}
		if found == nil || found.answered == never && c.answered != never {
			found = c
		}
	}
	if found != nil {
		found.happened = true
	}
	return found
}

// row is a token as the database has it.
type row struct {
	name    string
	enabled bool
	version int64
	bits    uint8
}

// judgeRows is the other half: whether the tokens are what the events make of them, and the owner what he was made.
func (o *owner) judgeRows(events []models.Event, rows map[string]row, on bool) (faults []string) {
	want := map[string]row{}
	for i := range events {
		e := &events[i]
		var says told
		_ = json.Unmarshal(e.Params, &says) // judgeChanges tells
		r := want[e.TokenID]
		switch e.Method {
		case models.TokenCreated:
			want[e.TokenID] = row{says.Token.Name, true, says.Token.Version, bitsOf(says.Token.Permissions)}
		case models.TokenEnabledChanged:
			r.enabled, r.version = says.Enabled, says.Version
			want[e.TokenID] = r
		case models.TokenPermissionsChanged:
			r.version, r.bits = says.Version, bitsOf(says.Permissions)
			want[e.TokenID] = r
		case models.TokenUpdated:
			r.version = says.Token.Version
			want[e.TokenID] = r
		case models.TokenDeleted:
			delete(want, e.TokenID)
		case models.UserEnded:
			if says.Reason == models.ReasonUserDeleted {
				clear(want)
			}
		}
	}
	for id, r := range rows {
		if want[id] != r {
			faults = append(faults, fmt.Sprintf("database: token %s of %s is %+v and by the events %+v", id, o.name, r, want[id]))
		}
		delete(want, id)
	}
	for id, r := range want {
		faults = append(faults, fmt.Sprintf("database: token %s of %s is not there, and by the events %+v", id, o.name, r))
	}
	if off := o.shut || o.gone; on == off && !o.doubtful {
		faults = append(faults, fmt.Sprintf("database: %s is switched on: %v", o.name, on))
	}
	return faults
}
