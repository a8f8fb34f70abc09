package models

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// Session is what a user gets by signing in.
type Session struct {
	ID         string `gorm:"primaryKey" json:"id"`
	UserID     string `json:"userId"`
	Hash       []byte `json:"-"`
	Address    string `json:"address" doc:"where it was signed in from"`
	Agent      string `json:"agent" doc:"the User-Agent that signed in"`
	CreatedAt  Time   `gorm:"autoCreateTime:false" json:"createdAt"`
	LastSeenAt Time   `json:"lastSeenAt"`
	ExpiresAt  Time   `json:"expiresAt"`
	Current    bool   `gorm:"-" json:"current" doc:"whether it is the session that asks"`
}

// maxAgent is how many characters of a User-Agent are kept.
const maxAgent = 200

// SignIn checks a password and makes a session. A wrong name, a wrong password and a disabled user are all
// ErrUnauthorized, after the same time.
func (s *Store) SignIn(ctx context.Context, username string, password Secret, address, agent string) (*User, *Session, Secret, error) {
	user := &User{}
	err := s.read.WithContext(ctx).Where("username = ?", username).Take(user).Error
	if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil, Secret{}, err
	}
	same, err := verifyPassword(ctx, user.PasswordHash, password)
	if err != nil {
		return nil, nil, Secret{}, err
	}
	if !same {
		return nil, nil, Secret{}, ErrUnauthorized
	}
	session, secret, err := s.createSession(ctx, user, address, agent)
	if err != nil {
		return nil, nil, Secret{}, err
	}
	return user, session, secret, nil
}

// createSession makes a session for a user whose password was checked, if it is still that password.
func (s *Store) createSession(ctx context.Context, user *User, address, agent string) (*Session, Secret, error) {
	var session *Session
	var secret Secret
	by := Actor{ChangeID: NewChangeID(), Identity: &Identity{UserID: user.ID, Username: user.Username}}
	err := s.change(ctx, by, func(c *change) error {
		current, err := c.lockUser(user.ID)
		if err != nil {
			return err
		}
		if !current.Enabled || current.PasswordHash != user.PasswordHash {
			return ErrUnauthorized
		}
		if err := c.endOldestSessions(user.ID); err != nil {
			return err
		}
		id := newID(c.now.Std())
		secret = mintCredential(prefixSession, id)
		session = &Session{
			ID: id, UserID: user.ID, Hash: s.key.mac(secret), Address: truncate(address, 64), Agent: truncate(agent, maxAgent),
			CreatedAt: c.now, LastSeenAt: c.now, ExpiresAt: TimeOf(s.options.Now().Add(s.options.SessionLifetime)),
		}
		return c.Create(session).Error
	})
	return session, secret, err
}

// endOldestSessions makes room for one more session.
func (c *change) endOldestSessions(userID string) error {
	var ids []string
	err := c.Model(&Session{}).Where("user_id = ?", userID).Order("created_at DESC, id DESC").Pluck("id", &ids).Error
	if err != nil || len(ids) < MaxUserSessions {
		return err
	}
	for _, id := range ids[MaxUserSessions-1:] {
		if err := c.endSession(userID, id, ReasonSessionDeleted); err != nil {
			return err
		}
	}
	return nil
}

// endSession deletes a session that must be there, and has its connections closed.
func (c *change) endSession(userID, id, reason string) error {
	if err := c.ends(id); err != nil {
		return err
	}
	result := c.Where("id = ? AND user_id = ?", id, userID).Delete(&Session{})
	if result.Error == nil && result.RowsAffected == 0 {
		return notFound("session")
	}
	if result.Error != nil {
		return result.Error
	}
	return c.record(userID, SessionEnded, "", SessionEndedParams{id, reason})
}

// SignOut ends the session that calls.
func (s *Store) SignOut(ctx context.Context, by Actor) error {
	return s.change(ctx, by, func(c *change) error {
		return c.endSession(by.UserID, by.Credential.ID, ReasonSignedOut)
	})
}

// SetPassword changes the password of the caller's user, who must know the current one, and ends his other sessions.
func (s *Store) SetPassword(ctx context.Context, by Actor, current, new Secret) error {
	var user User
	if err := s.read.WithContext(ctx).Where("id = ?", by.UserID).Take(&user).Error; err != nil {
		return wrap(err, "user")
	}
	same, err := verifyPassword(ctx, user.PasswordHash, current)
	if err != nil {
		return err
	}
	if !same {
		return &Error{Forbidden, "the current password is not right", map[string]any{"param": "current"}}
	}
	hash, err := hashPassword(ctx, "new", new)
	if err != nil {
		return err
	}
	return s.change(ctx, by, func(c *change) error {
		locked, err := c.lockUser(by.UserID)
		if err != nil {
			return err
		}
		if locked.PasswordHash != user.PasswordHash {
			return &Error{Code: Conflict, Message: "the password was changed meanwhile"}
		}
		return c.setPassword(by.UserID, hash, by.Credential.ID)
	})
}

// ReadSessions returns a user's sessions, newest first.
func (s *Store) ReadSessions(ctx context.Context, caller *Identity, userID string) ([]*Session, error) {
	sessions := []*Session{}
	err := s.read.WithContext(ctx).Where("user_id = ? AND expires_at > ?", userID, s.now()).
		Order("created_at DESC, id DESC").Find(&sessions).Error
	for _, session := range sessions {
		session.Current = session.ID == caller.Credential.ID
	}
	return sessions, err
}

// DeleteSession ends a session of the caller's user, or of anybody if the caller is an administrator.
func (s *Store) DeleteSession(ctx context.Context, by Actor, id string) error {
	return s.change(ctx, by, func(c *change) error {
		var session Session
		q := c.Where("id = ?", id)
		if !by.Has(PermissionAdmin) {
			q = q.Where("user_id = ?", by.UserID)
		}
		if err := q.Take(&session).Error; err != nil {
			return wrap(err, "session")
		}
		if session.UserID != by.UserID {
			if _, err := c.administer(); err != nil {
				return err
			}
		}
		return c.endSession(session.UserID, id, ReasonSessionDeleted)
	})
}
