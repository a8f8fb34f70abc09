package rpc

// Close codes (RFC 6455, section 7.4, and from 4000 on our own).
const (
	CloseGoingAway  = 1001
	CloseRestart    = 1012
	CloseEnded      = 4401
	CloseTooSlow    = 4008
	CloseNotText    = 1003
	CloseNotUTF8    = 1007
	ClosePolicy     = 1008
	CloseTooBig     = 1009
	reasonTooSlow   = "reading too slowly; reconnect with since"
	reasonEnded     = "the credential has ended; sign in again"
	reasonResume    = "reconnect with since"
	reasonGoingAway = "the server is going; reconnect with since"
)
