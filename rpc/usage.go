package rpc

import (
	"context"

	"github.com/tokenwire/tokenwire/models"
)

type (
	readUsage struct {
		TokenID string              `json:"tokenId" doc:"the id of one of the caller's tokens"`
		Options models.UsageOptions `json:"options,omitzero" doc:"of which time"`
	}
	reportUses struct {
		Uses []models.Use `json:"uses" doc:"1 to 500, each of a token"`
	}
)

func (s *Service) readUsage(ctx context.Context, c *Call, p readUsage) (models.Usage, error) {
	s.hub.tellAllUses() // what was counted up to now is in the answer
	return s.store.ReadUsage(ctx, c.caller.Identity, p.TokenID, p.Options)
}

func (s *Service) reportUses(_ context.Context, c *Call, p reportUses) (Empty, error) {
	return Empty{}, s.store.ReportUses(c.caller.UserID, p.Uses)
}
