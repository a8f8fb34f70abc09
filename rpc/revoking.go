package rpc

import (
	"context"

	"github.com/tokenwire/tokenwire/models"
)

// The methods that may take something away. Their answers have a receipt: when they come, no verifier acts any more on what
// was before.

// Results with a receipt.
type (
	// TokenReceipt is a token as it is after a change.
	TokenReceipt struct {
		*models.Token
		Receipt Receipt `json:"receipt"`
	}
	// NewTokenReceipt is a token with its new secret.
	NewTokenReceipt struct {
		NewToken
		Receipt Receipt `json:"receipt"`
	}
	// UserReceipt is a user as he is after a change.
	UserReceipt struct {
		*models.User
		Receipt Receipt `json:"receipt"`
	}
	// OnlyReceipt is the result where nothing is left.
	OnlyReceipt struct {
		Receipt Receipt `json:"receipt"`
	}
)

// gone is a change of which nothing is left to return.
func gone(change func() error) func() (Empty, error) {
	return func() (Empty, error) { return Empty{}, change() }
}

func (s *Service) deleteToken(ctx context.Context, c *Call, p tokenID) (OnlyReceipt, error) {
	_, receipt, err := settled(ctx, s, c, &subject{c.caller.UserID, p.TokenID}, gone(func() error { return s.store.DeleteToken(ctx, c.actor(), p.TokenID) }))
	return OnlyReceipt{receipt}, err
}

func (s *Service) rotateToken(ctx context.Context, c *Call, p rotateToken) (NewTokenReceipt, error) {
	token, receipt, err := settled(ctx, s, c, &subject{c.caller.UserID, p.TokenID}, func() (NewToken, error) {
		token, secret, err := s.store.RotateToken(ctx, c.actor(), p.TokenID, p.Options)
		return NewToken{token, secret.Reveal()}, err
	})
	return NewTokenReceipt{token, receipt}, err
}

func (s *Service) setTokenEnabled(ctx context.Context, c *Call, p setTokenEnabled) (TokenReceipt, error) {
	return s.changedToken(ctx, c, p.TokenID, func() (*models.Token, error) {
		return s.store.SetTokenEnabled(ctx, c.actor(), p.TokenID, p.Enabled, p.Options)
	})
}

func (s *Service) setTokenPermissions(ctx context.Context, c *Call, p setTokenPermissions) (TokenReceipt, error) {
	return s.changedToken(ctx, c, p.TokenID, func() (*models.Token, error) {
		return s.store.SetTokenPermissions(ctx, c.actor(), p.TokenID, p.Permissions, p.Options)
	})
}

func (s *Service) updateToken(ctx context.Context, c *Call, p updateToken) (TokenReceipt, error) {
	return s.changedToken(ctx, c, p.TokenID, func() (*models.Token, error) {
		return s.store.UpdateToken(ctx, c.actor(), p.TokenID, p.Changes)
	})
}

func (s *Service) updateTokenPermissions(ctx context.Context, c *Call, p setTokenPermissions) (TokenReceipt, error) {
	return s.changedToken(ctx, c, p.TokenID, func() (*models.Token, error) {
		return s.store.UpdateTokenPermissions(ctx, c.actor(), p.TokenID, p.Permissions, p.Options)
	})
}

func (s *Service) changedToken(ctx context.Context, c *Call, tokenID string, change func() (*models.Token, error)) (TokenReceipt, error) {
	token, receipt, err := settled(ctx, s, c, &subject{c.caller.UserID, tokenID}, change)
	return TokenReceipt{token, receipt}, err
}

// deletePermission may concern tokens of every user: a repeated call, which finds nothing to delete, waits for all that is on its way.
func (s *Service) deletePermission(ctx context.Context, c *Call, p permissionID) (OnlyReceipt, error) {
	_, receipt, err := settled(ctx, s, c, &subject{userID: allUsers}, gone(func() error { return s.store.DeletePermission(ctx, c.actor(), p.ID) }))
	return OnlyReceipt{receipt}, err
}

func (s *Service) deleteUser(ctx context.Context, c *Call, p userID) (OnlyReceipt, error) {
	_, receipt, err := settled(ctx, s, c, &subject{userID: p.UserID}, gone(func() error { return s.store.DeleteUser(ctx, c.actor(), p.UserID) }))
	return OnlyReceipt{receipt}, err
}

func (s *Service) setUserEnabled(ctx context.Context, c *Call, p setUserEnabled) (UserReceipt, error) {
	return s.changedUser(ctx, c, p.UserID, func() (*models.User, error) {
		return s.store.SetUserEnabled(ctx, c.actor(), p.UserID, p.Enabled)
	})
}

func (s *Service) setUserPermissions(ctx context.Context, c *Call, p setUserPermissions) (UserReceipt, error) {
	return s.changedUser(ctx, c, p.UserID, func() (*models.User, error) {
		return s.store.SetUserPermissions(ctx, c.actor(), p.UserID, p.Permissions)
	})
}

func (s *Service) updateUserPermissions(ctx context.Context, c *Call, p setUserPermissions) (UserReceipt, error) {
	return s.changedUser(ctx, c, p.UserID, func() (*models.User, error) {
		return s.store.UpdateUserPermissions(ctx, c.actor(), p.UserID, p.Permissions)
	})
}

func (s *Service) changedUser(ctx context.Context, c *Call, userID string, change func() (*models.User, error)) (UserReceipt, error) {
	user, receipt, err := settled(ctx, s, c, &subject{userID: userID}, change)
	return UserReceipt{user, receipt}, err
}
