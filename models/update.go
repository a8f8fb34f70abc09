package models

import (
	"context"
)

// TokenChanges are what is to be different about a token. What is left out stays.
type TokenChanges struct {
	Name       Optional[string]    `json:"name,omitzero" null:"refused" doc:"1 to 100 characters"`
	ExpiresAt  Optional[Time]      `json:"expiresAt,omitzero" doc:"when it stops being good; null: never"`
	AllowedIPs Optional[Addresses] `json:"allowedIps,omitzero" doc:"where it is good from, 1 to 50 addresses and ranges; null: anywhere"`
	RateLimit  Optional[RateLimit] `json:"rateLimit,omitzero" doc:"how often it may be used, for the services that verify it; null: without a limit"`
	Version    *int64              `json:"version,omitzero" doc:"the version that the caller saw; if it is no longer the token's, nothing changes (409)"`
}

// check refuses what no token can be, and makes the name what is stored.
func (t *TokenChanges) check(now Time) error {
	if t.Name.Given {
		if t.Name.Value == nil {
			return invalid("changes.name", "a name cannot be taken away")
		}
		name, err := tokenName("changes.name", *t.Name.Value)
		if err != nil {
			return err
		}
		t.Name.Value = &name
	}
	return bounds{t.ExpiresAt.Value, nil, t.RateLimit.Value}.check("changes", now)
}

// UpdateToken changes what of a token of the caller's user the other changes do not.
func (s *Store) UpdateToken(ctx context.Context, by Actor, tokenID string, changes TokenChanges) (*Token, error) {
	if err := changes.check(s.now()); err != nil {
		return nil, err
	}
	var token *Token
	err := s.change(ctx, by, func(c *change) (err error) {
		if token, err = c.lockWhole(tokenID); err != nil {
			return err
		}
		if err := token.checkVersion(ChangeOptions{changes.Version}); err != nil {
			return err
		}
		name, was := *changes.Name.or(&token.Name), token.bounds()
		will := bounds{changes.ExpiresAt.or(was.expiresAt), changes.AllowedIPs.or(was.allowedIPs), changes.RateLimit.or(was.rateLimit)}
		if name == token.Name && will.equal(was) {
			return nil
		}
		if err := c.mayWiden(was, will); err != nil {
			return err
		}
		if !will.allowedIPs.Contain(by.From) { // it may be the caller's own
			if err := c.ends(tokenID); err != nil {
				return err
			}
		}
		if !same(was.expiresAt, will.expiresAt) {
			token.EndTold = 0
		}
		token.Name, token.NameFolded = name, fold(name)
		token.setBounds(will)
		return c.recordUpdate(token, "name = ?, name_folded = ?, expires_at = ?, end_told = ?, allowed_ips = ?, rate_requests = ?, rate_window = ?, ",
			token.Name, token.NameFolded, token.ExpiresAt, token.EndTold, token.AllowedIPs, token.RateRequests, token.RateWindow)
	})
	return token, err
}

// lockWhole locks a token of the caller's user and returns it complete. The user is locked too: the event tells what is
// effective, so that the owner's permissions must stand.
func (c *change) lockWhole(tokenID string) (*Token, error) {
	if _, err := c.lockUser(c.by.UserID); err != nil {
		return nil, err
	}
	token, err := c.lockToken(tokenID)
	if err != nil {
		return nil, err
	}
	return token, complete(c.DB, c.by.UserID, token)
}

// recordUpdate writes columns of a locked token, its next version and the time, and tells of the token as it is then.
func (c *change) recordUpdate(token *Token, columns string, values ...any) error {
	if err := c.touchToken(token, columns, values...); err != nil {
		return err
	}
	return c.record(token.UserID, TokenUpdated, token.ID, TokenUpdatedParams{token})
}
