package models

import (
	"context"
	"fmt"
)

// RotateOptions are the optional params of RotateToken.
type RotateOptions struct {
	Overlap int64  `json:"overlap,omitzero" minimum:"0" maximum:"604800" doc:"for how many seconds more the old secret is good, 7 days at most; not at all by default"`
	Version *int64 `json:"version,omitzero" doc:"the version that the caller saw; if it is no longer the token's, nothing changes (409)"`
}

// maxOverlap is how long an old secret may be good beside the new one: a week, in seconds. What is not moved by then is
// forgotten.
const maxOverlap = 7 * 24 * 60 * 60

// RotateToken gives a token of the caller's user a new secret, which is not to be had again. The one that it had is good
// for the overlap, and never longer than the token; one that had been replaced before ends now.
func (s *Store) RotateToken(ctx context.Context, by Actor, tokenID string, o RotateOptions) (*Token, Secret, error) {
	if o.Overlap < 0 || o.Overlap > maxOverlap {
		return nil, Secret{}, invalid("options.overlap", fmt.Sprintf("overlap is 0 to %d seconds", maxOverlap))
	}
	var token *Token
	var secret Secret
	err := s.change(ctx, by, func(c *change) (err error) {
		if token, err = c.lockWhole(tokenID); err != nil {
			return err
		}
		if err := token.checkVersion(ChangeOptions{o.Version}); err != nil {
			return err
		}
		if err := c.mayTakeOver(token); err != nil {
			return err
		}
		old := token.Hash
		token.PreviousHash, token.PreviousUntil = nil, c.overlap(token, o.Overlap)
		if token.PreviousUntil != nil {
			token.PreviousHash = old
		} else if err := c.ends(tokenID); err != nil { // it may be the caller's own
			return err
		}
		secret = mintCredential(prefixToken, tokenID)
		token.Hash = s.key.mac(secret)
		token.SecretNumber++
		if err := c.recordUpdate(token, "hash = ?, secret_number = ?, previous_hash = ?, previous_until = ?, ",
			token.Hash, token.SecretNumber, token.PreviousHash, token.PreviousUntil); err != nil {
			return err
		}
		return c.record(by.UserID, TokenRotated, tokenID, TokenRotatedParams{tokenID, token.SecretNumber, token.PreviousUntil})
	})
	return token, secret, err
}

// overlap returns until when the secret that is replaced stays good: nil for no longer.
func (c *change) overlap(token *Token, seconds int64) *Time {
	until := c.now + Time(1000*seconds)
	if token.ExpiresAt != nil {
		until = min(until, *token.ExpiresAt)
	}
	if until <= c.now {
		return nil
	}
	return &until
}

// mayTakeOver refuses a caller who is a token to get the secret of one that is more than he is. He would have for good
// what that one was given, also what has no effect at the moment. And he who came by a secret that was replaced would
// be rid of its end.
func (c *change) mayTakeOver(token *Token) error {
	switch {
	case c.by.Credential.Kind != KindToken:
		return nil
	case c.by.Credential.ID != token.ID:
		if err := c.require(token.Permissions.Sorted()...); err != nil {
			return err
		}
		return c.mayServe(token)
	case c.by.SecretNumber != token.SecretNumber:
		return &Error{Forbidden, "a secret that was replaced does not rotate its token; its present secret does", map[string]any{"param": "tokenId"}}
	}
	return nil
}
