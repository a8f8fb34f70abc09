package client

import (
	"fmt"
	"log/slog"
)

// Secret is a credential that shows itself to nobody: printed, marshalled or logged it is "[redacted]". Reveal alone gives
// it. The zero value holds none.
//
// It is in a closure, since fmt shows what is in unexported fields of a struct without asking any method.
type Secret struct{ reveal func() string }

const redacted = "[redacted]"

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{func() string { return s }} }

// Reveal returns the secret itself.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Format redacts for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// LogValue redacts in structured logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, for JSON and every other text encoding.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText reads the secret of a new token.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
