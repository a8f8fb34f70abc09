package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"gorm.io/gorm"
)

// Digest is the SHA-256 of a credential's text. It tells a credential from all others and is of no use as one, so that
// whoever asks about a token need not hand it on. In JSON it is 64 hexadecimal digits.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a credential's text.
func DigestOf(text string) Digest { return sha256.Sum256([]byte(text)) }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) == len(d) {
		if _, err := hex.Decode(d[:], text); err == nil {
			return nil
		}
	}
	return FormatError("not a SHA-256: 64 hexadecimal digits")
}

// MarshalText writes 64 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// Schema is the JSON Schema of Digest.
func (Digest) Schema() string {
	return `{"type":"string","pattern":"^[0-9a-fA-F]{64}$","description":"SHA-256 of a token's text, in hexadecimal digits"}`
}

// Facts are what is known of a token that is good: what every question about it is answered from. They are facts and never
// a verdict, and never change; when the token does, there are new ones.
type Facts struct {
	TokenID     string
	UserID      string
	Username    string
	Permissions []string // effective, in order
	ExpiresAt   *Time    // when the token, or the secret that was shown, stops being good
	AllowedIPs  *Addresses
	RateLimit   *RateLimit
	Position    Position // the facts are at least as new as this position of the user's feed
}

// selectFacts finds a token by a hash; which one it is of the two that a token has for a while is left open. The two are not
// asked for in one statement, as the databases would go through the whole table for an OR. The permissions are, so that all is of
// one moment: there is a row for each effective one, or one without where there is none.
const selectFacts = `SELECT c.id, c.user_id, u.username, c.hash, c.enabled AND u.enabled AS enabled, c.expires_at, c.allowed_ips,
		c.secret_number, c.previous_hash, c.previous_until, c.rate_requests, c.rate_window, f.position AS number, f.change_id, p.permission_id
	FROM api_tokens c JOIN users u ON u.id = c.user_id JOIN feeds f ON f.user_id = u.id
		LEFT JOIN api_token_permissions t ON t.token_id = c.id
		LEFT JOIN user_permissions p ON p.user_id = c.user_id AND p.permission_id = t.permission_id
	WHERE c.`

// Facts returns what is known of the token whose text has a digest, or nil for every kind of bad one: all of it as it was at
// one moment, which is that of the position. A use that finds the token no good is counted here, any other one is the caller's
// to count.
func (s *Store) Facts(ctx context.Context, d Digest) (*Facts, error) {
	if !s.lookups.begin() {
		return nil, ErrUnavailable
	}
	defer s.lookups.done()
	hash := s.key.macDigest(d)
	rows, err := findFacts(s.read.WithContext(ctx), hash)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	row, now := rows[0], s.now()
	_, until, same := row.shown(hash, now)
	if !same || !row.Enabled || row.ExpiresAt != nil && *row.ExpiresAt <= now {
		s.Used(row.ID, 0, 1) // somebody goes on trying, which its owner wants to see
		return nil, nil
	}
	facts := &Facts{
		TokenID: row.ID, UserID: row.UserID, Username: row.Username, AllowedIPs: row.AllowedIPs,
		RateLimit: rateLimitOf(row.RateRequests, row.RateWindow), Position: Position{row.Number, row.ChangeID},
	}
	facts.ExpiresAt, _ = (&Identity{ExpiresAt: row.ExpiresAt, SecretUntil: until}).End()
	for _, r := range rows {
		if r.PermissionID != nil {
			facts.Permissions = append(facts.Permissions, *r.PermissionID)
		}
	}
	slices.Sort(facts.Permissions) // as bytes, whatever the database's order is
	return facts, nil
}

func findFacts(db *gorm.DB, hash []byte) (rows []credentialRow, err error) {
	for _, column := range []string{"hash", "previous_hash"} {
		if err = db.Raw(selectFacts+column+" = ?", hash).Scan(&rows).Error; err != nil || len(rows) > 0 {
			break
		}
	}
	return rows, err
}

// IsToken reports whether a text has a token's form: all others are bad without a look.
func IsToken(text string) bool {
	kind, _, ok := parseCredential(text)
	return ok && kind == KindToken
}
