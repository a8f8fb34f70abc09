package rpc

import "context"

// maxReadsOfUser is how many calls that go through many rows one user may have under way here, over all his connections. The
// databases' readers are few, and one who asks again and again must leave some of them to all others.
const maxReadsOfUser = 2

// call runs a method, in its turn if it is one that goes through many rows.
func (s *Service) call(ctx context.Context, m *method, c *Call, params []byte) ([]byte, error) {
	if m.scans {
		leave, err := s.turns.Enter(ctx, c.caller.UserID)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	return m.call(ctx, c, params)
}
