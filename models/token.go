package models

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"gorm.io/gorm"
)

// Token is an API token. It acts as its owner, with those of its permissions that the owner holds too.
type Token struct {
	ID                   string        `gorm:"primaryKey" json:"id"`
	UserID               string        `json:"-"`
	Name                 string        `json:"name"`
	NameFolded           string        `json:"-"` // for comparing without regard to case, the same in both databases
	Prefix               string        `gorm:"-" json:"prefix" doc:"the first characters of the secret, to recognise it by"`
	Hash                 []byte        `json:"-"`
	Enabled              bool          `json:"enabled"`
	Permissions          PermissionSet `gorm:"-" json:"permissions" doc:"what the token was given"`
	EffectivePermissions []string      `gorm:"-" json:"effectivePermissions" doc:"what of it the owner holds, in order"`
	Version              int64         `json:"version" doc:"grows by 1 with each change of the token"`
	CreatedAt            Time          `gorm:"autoCreateTime:false" json:"createdAt"`
	UpdatedAt            Time          `gorm:"autoUpdateTime:false" json:"updatedAt"`
	ExpiresAt            *Time         `json:"expiresAt"`
	AllowedIPs           *Addresses    `gorm:"column:allowed_ips" json:"allowedIps" doc:"where it is good from; null: anywhere"`
	RateLimit            *RateLimit    `gorm:"-" json:"rateLimit" doc:"how often it may be used, for the services that verify it; null: without a limit"`
	RateRequests         *int64        `json:"-"`
	RateWindow           *int64        `json:"-"`
	SecretNumber         int64         `json:"-"` // of the present secret, counted from 1
	PreviousHash         []byte        `json:"-"` // of the secret before that, while it is good
	PreviousUntil        *Time         `json:"previousUntil,omitzero" doc:"until when the secret before the present one is good, or was; only where it was replaced with an overlap"`
	EndTold              int64         `json:"-"` // how many of endSteps have been told of its end
	LastUsedAt           *Time         `json:"lastUsedAt"`
}

// TableName is the table's name.
func (Token) TableName() string { return "api_tokens" }

// maxName is how many characters a token's name has at most.
const maxName = 100

// printable reports whether s has at most max characters and no control characters.
func printable(s string, max int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= max && strings.IndexFunc(s, unicode.IsControl) < 0
}

func tokenName(param, name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || !printable(name, maxName) {
		return "", invalid(param, fmt.Sprintf("a name has 1 to %d characters, none of them a control character", maxName))
	}
	return name, nil
}

// fold returns s so that strings that differ in case only are equal.
func fold(s string) string { return cases.Fold().String(s) }

// CreateTokenOptions are the optional params of CreateToken. What bounds a token that a token makes is the maker's by
// default.
type CreateTokenOptions struct {
	Permissions Grants     `json:"permissions,omitzero" doc:"none by default"`
	ExpiresAt   *Time      `json:"expiresAt,omitzero" doc:"when it stops being good; by default never, or when the token that makes it does"`
	AllowedIPs  *Addresses `json:"allowedIps,omitzero" doc:"where it is good from, 1 to 50 addresses and ranges; by default anywhere, or where the token that makes it is"`
	RateLimit   *RateLimit `json:"rateLimit,omitzero" doc:"how often it may be used, for the services that verify it; by default without a limit, or that of the token that makes it"`
}

// CreateToken makes a token for the caller's user and returns it with its secret, which is not to be had again.
func (s *Store) CreateToken(ctx context.Context, by Actor, name string, o CreateTokenOptions) (*Token, Secret, error) {
	name, err := tokenName("name", name)
	if err != nil {
		return nil, Secret{}, err
	}
	asked := bounds{o.ExpiresAt, o.AllowedIPs, o.RateLimit}
	if err := asked.check("options", s.now()); err != nil {
		return nil, Secret{}, err
	}
	var token *Token
	var secret Secret
	err = s.change(ctx, by, func(c *change) error {
		if _, err := c.lockUser(by.UserID); err != nil {
			return err
		}
		if err := s.roomForToken(c); err != nil {
			return err
		}
		if err := c.checkGrant("options.permissions", o.Permissions); err != nil {
			return err
		}
		given, err := c.inherit(asked)
		if err != nil {
			return err
		}
		id := newID(c.now.Std())
		secret = mintCredential(prefixToken, id)
		token = &Token{
			ID: id, UserID: by.UserID, Name: name, NameFolded: fold(name), Hash: s.key.mac(secret), Enabled: true,
			SecretNumber: 1, Version: 1, CreatedAt: c.now, UpdatedAt: c.now,
		}
		token.setBounds(given)
		if err := c.Create(token).Error; err != nil {
			return err
		}
		if err := c.insertTokenPermissions(id, trues(o.Permissions)); err != nil {
			return err
		}
		if err := complete(c.DB, by.UserID, token); err != nil {
			return err
		}
		return c.record(by.UserID, TokenCreated, id, TokenCreatedParams{token})
	})
	return token, secret, err
}

func (s *Store) roomForToken(c *change) error {
	var count int64
	err := c.Model(&Token{}).Where("user_id = ?", c.by.UserID).Count(&count).Error
	if err == nil && count >= int64(s.options.TokensPerUser) {
		return &Error{Conflict, fmt.Sprintf("you have %d tokens, which is the limit; delete one first", count), map[string]any{"limit": s.options.TokensPerUser}}
	}
	return err
}

// DeleteToken deletes a token of the caller's user.
func (s *Store) DeleteToken(ctx context.Context, by Actor, tokenID string) error {
	return s.change(ctx, by, func(c *change) error {
		if _, err := c.lockToken(tokenID); err != nil {
			return err
		}
		if err := c.ends(tokenID); err != nil {
			return err
		}
		if err := c.Where("token_id = ?", tokenID).Delete(&tokenPermission{}).Error; err != nil {
			return err
		}
		if err := c.Where("id = ? AND user_id = ?", tokenID, by.UserID).Delete(&Token{}).Error; err != nil {
			return err
		}
		return c.record(by.UserID, TokenDeleted, tokenID, TokenDeletedParams{tokenID})
	})
}

// ChangeOptions are the optional params of changes of a token.
type ChangeOptions struct {
	Version *int64 `json:"version,omitzero" doc:"the version that the caller saw; if it is no longer the token's, nothing changes (409)"`
}

// SetTokenEnabled switches a token of the caller's user on or off.
func (s *Store) SetTokenEnabled(ctx context.Context, by Actor, tokenID string, enabled bool, o ChangeOptions) (*Token, error) {
	var token *Token
	err := s.change(ctx, by, func(c *change) (err error) {
		if enabled && by.Credential.Kind == KindToken { // what the caller holds must stand
			if _, err := c.lockUser(by.UserID); err != nil {
				return err
			}
		}
		if token, err = c.lockToken(tokenID); err != nil {
			return err
		}
		if err := complete(c.DB, by.UserID, token); err != nil {
			return err
		}
		if err := token.checkVersion(o); err != nil || token.Enabled == enabled {
			return err
		}
		if err := c.switches(token, enabled); err != nil {
			return err
		}
		token.Enabled = enabled
		if err := c.touchToken(token, "enabled = ?, ", enabled); err != nil {
			return err
		}
		return c.record(by.UserID, TokenEnabledChanged, tokenID, TokenEnabledChangedParams{tokenID, enabled, token.Version})
	})
	return token, err
}

// switches sees to what it takes to switch a token off or on. On gives the token what it has, so a caller who is a token
// must hold that too, and for as much.
func (c *change) switches(token *Token, on bool) error {
	if !on {
		return c.ends(token.ID)
	}
	if c.by.Credential.Kind != KindToken {
		return nil
	}
	if err := c.require(token.EffectivePermissions...); err != nil {
		return err
	}
	return c.mayServe(token)
}

// SetTokenPermissions replaces a token's permissions; UpdateTokenPermissions changes those that are given.
func (s *Store) SetTokenPermissions(ctx context.Context, by Actor, tokenID string, permissions Grants, o ChangeOptions) (*Token, error) {
	return s.changeTokenPermissions(ctx, by, tokenID, permissions, true, o)
}

// UpdateTokenPermissions sets the permissions that are given and leaves the rest.
func (s *Store) UpdateTokenPermissions(ctx context.Context, by Actor, tokenID string, permissions Grants, o ChangeOptions) (*Token, error) {
	return s.changeTokenPermissions(ctx, by, tokenID, permissions, false, o)
}

func (s *Store) changeTokenPermissions(ctx context.Context, by Actor, tokenID string, permissions Grants, replace bool, o ChangeOptions) (*Token, error) {
	var token *Token
	err := s.change(ctx, by, func(c *change) (err error) {
		if token, err = c.lockWhole(tokenID); err != nil {
			return err
		}
		if err := token.checkVersion(o); err != nil {
			return err
		}
		if err := c.checkGrant("permissions", permissions); err != nil {
			return err
		}
		add, take := difference(token.Permissions, permissions, replace)
		if len(add) > 0 {
			if err := c.mayServe(token); err != nil {
				return err
			}
		}
		return c.setTokenPermissions(token, add, take)
	})
	return token, err
}

// difference returns what must be added to and taken from a set so that it is as asked.
func difference(have PermissionSet, asked Grants, replace bool) (add, take []string) {
	for _, id := range PermissionSet(asked).Sorted() {
		if asked[id] && !have[id] {
			add = append(add, id)
		}
	}
	for _, id := range have.Sorted() {
		if on, named := asked[id]; named && !on || !named && replace {
			take = append(take, id)
		}
	}
	return add, take
}

// setTokenPermissions changes the permissions of a token that is locked and complete, and whose owner is locked.
func (c *change) setTokenPermissions(token *Token, add, take []string) error {
	if len(add)+len(take) == 0 {
		return nil
	}
	if err := c.takes(token.ID, take); err != nil {
		return err
	}
	if err := c.insertTokenPermissions(token.ID, add); err != nil {
		return err
	}
	if len(take) > 0 {
		if err := c.Where("token_id = ? AND permission_id IN ?", token.ID, take).Delete(&tokenPermission{}).Error; err != nil {
			return err
		}
	}
	if err := c.touchToken(token, ""); err != nil {
		return err
	}
	if err := complete(c.DB, token.UserID, token); err != nil {
		return err
	}
	return c.recordPermissions(token)
}

func (c *change) recordPermissions(token *Token) error {
	return c.record(token.UserID, TokenPermissionsChanged, token.ID, TokenPermissionsChangedParams{
		token.ID, token.Permissions, token.EffectivePermissions, token.Version,
	})
}

func (c *change) insertTokenPermissions(tokenID string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows := make([]tokenPermission, len(ids))
	for i, id := range ids {
		rows[i] = tokenPermission{tokenID, id}
	}
	return c.CreateInBatches(&rows, rowsPerInsert).Error
}

// touchToken writes columns of a locked token ("name = ?, "), its next version and the time.
func (c *change) touchToken(token *Token, columns string, values ...any) error {
	token.Version++
	token.UpdatedAt = c.now
	_, err := c.exec("UPDATE api_tokens SET "+columns+"version = ?, updated_at = ? WHERE id = ? AND user_id = ?",
		append(values, token.Version, token.UpdatedAt, token.ID, token.UserID)...)
	return err
}

// lockToken locks a token of the caller's user. A token that was switched off does not switch itself on.
func (c *change) lockToken(id string) (*Token, error) {
	var token Token
	found := c.Raw("SELECT * FROM api_tokens WHERE id = ? AND user_id = ?"+c.forUpdate(), id, c.by.UserID).Scan(&token)
	if found.Error == nil && found.RowsAffected == 0 {
		return nil, notFound("token")
	}
	if found.Error == nil && !token.Enabled && c.by.Credential.ID == id {
		return nil, ErrUnauthorized
	}
	return &token, found.Error
}

// lockTokens locks all tokens of a user and returns them complete.
func (c *change) lockTokens(userID string) ([]*Token, error) {
	var tokens []*Token
	if err := c.Clauses(forUpdate).Where("user_id = ?", userID).Order("id").Find(&tokens).Error; err != nil {
		return nil, err
	}
	return tokens, complete(c.DB, userID, tokens...)
}

// checkVersion refuses a change that was decided on by the sight of an older version of a complete token.
func (t *Token) checkVersion(o ChangeOptions) error {
	if o.Version == nil || *o.Version == t.Version {
		return nil
	}
	return &Error{Conflict, "the token has changed since; look at its current state and try again", map[string]any{"token": t}}
}

// complete fills in what of a user's tokens is not in their own rows.
func complete(db *gorm.DB, userID string, tokens ...*Token) error {
	if len(tokens) == 0 {
		return nil
	}
	byID := make(map[string]*Token, len(tokens))
	ids := make([]string, len(tokens))
	for i, t := range tokens {
		ids[i], byID[t.ID] = t.ID, t
		t.Prefix = prefixToken + t.ID
		t.RateLimit = t.storedRate()
		t.Permissions = PermissionSet{}
	}
	var rows []tokenPermission
	if err := db.Raw(selectPermissions, userID, ids).Scan(&rows).Error; err != nil {
		return err
	}
	held := PermissionSet{}
	for _, r := range rows {
		if r.TokenID == "" {
			held[r.PermissionID] = true
		} else {
			byID[r.TokenID].Permissions[r.PermissionID] = true
		}
	}
	for _, t := range tokens {
		t.EffectivePermissions = t.Permissions.and(held).Sorted()
	}
	return nil
}

// selectPermissions reads a user's permissions, which have no token, and those of some of his tokens.
const selectPermissions = `SELECT '' AS token_id, permission_id FROM user_permissions WHERE user_id = ?
	UNION ALL SELECT token_id, permission_id FROM api_token_permissions WHERE token_id IN ?`

func trues(permissions Grants) []string {
	add, _ := difference(nil, permissions, false)
	return add
}
