package models

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"
)

// Secret is a string that shows itself to nobody: printed, marshalled or logged it is "[redacted]". Reveal alone gives
// what it holds. The zero value holds nothing.
//
// Methods do not suffice for that: fmt, and all that is built on it, calls none of a value in an unexported field, nor
// for a verb that it calls wrong, but prints the fields. So the string is in a closure, where reflection cannot follow.
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

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String redacts.
func (Secret) String() string { return redacted }

// Format redacts for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// MarshalText redacts, for JSON and every other text encoding.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText reads a secret, such as a password among a call's params.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Schema is the JSON Schema of Secret.
func (Secret) Schema() string { return `{"type":"string","format":"password","writeOnly":true}` }

// MarshalBinary redacts, for gob and the like.
func (Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// LogValue redacts in structured logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// The two kinds of credential, and what each one's secret begins with.
const (
	KindSession = "session"
	KindToken   = "token"

	prefixSession = "tws_"
	prefixToken   = "twt_"
)

const (
	secretDigits   = 43 // base62 digits that hold 256 bits
	checksumDigits = 6  // base62 digits that hold a CRC-32
	credentialSize = len(prefixToken) + idLength + 1 + secretDigits + 1 + checksumDigits
)

// TokenSize is the length of a token's text in bytes.
const TokenSize = credentialSize

// mintCredential returns the secret of the credential id: prefix, id, 256 random bits, and a checksum by which a scanner
// of source code can tell a credential from chance: twt_<id>_<43 digits>_<6 digits>.
func mintCredential(prefix, id string) Secret {
	var random [32]byte
	rand.Read(random[:])
	body := prefix + id + "_" + fixedBase62(new(big.Int).SetBytes(random[:]), secretDigits)
	return NewSecret(body + "_" + checksum(body))
}

// parseCredential takes a credential's text apart without looking anything up. It accepts exactly what mintCredential
// makes.
func parseCredential(s string) (kind, id string, ok bool) {
	if len(s) != credentialSize {
		return "", "", false
	}
	switch {
	case strings.HasPrefix(s, prefixToken):
		kind = KindToken
	case strings.HasPrefix(s, prefixSession):
		kind = KindSession
	default:
		return "", "", false
	}
	parts := strings.Split(s[len(prefixToken):], "_")
	if len(parts) != 3 || !isBase62(parts[0], idLength) || !isBase62(parts[1], secretDigits) || !isBase62(parts[2], checksumDigits) {
		return "", "", false
	}
	body := s[:credentialSize-checksumDigits-1]
	return kind, parts[0], checksum(body) == parts[2]
}

func checksum(body string) string {
	return fixedBase62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checksumDigits)
}

// fixedBase62 writes n with leading zeros to the given number of digits.
func fixedBase62(n *big.Int, digits int) string {
	out := make([]byte, digits)
	base, rest := big.NewInt(62), new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.DivMod(n, base, rest)
		out[i] = base62[rest.Int64()]
	}
	return string(out)
}

// mac is what is stored of a credential: HMAC-SHA-256(key, SHA-256(secret)). The secret has 256 random bits, so that no
// slow hash is needed; the key keeps a copy of the database from being of use.
func (k Key) mac(s Secret) []byte { return k.macDigest(DigestOf(s.Reveal())) }

// macDigest is the same for whoever knows the digest only.
func (k Key) macDigest(digest Digest) []byte {
	h := hmac.New(sha256.New, k.bytes())
	h.Write(digest[:])
	return h.Sum(nil)
}
