package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"gorm.io/gorm"
)

const (
	maxURL   = 2000 // characters: what browsers and search engines go by
	maxLeaks = 10   // reports of one token that its owner is told of in a day, beside those that switched it off
)

// credentialIn finds credentials in a text.
var credentialIn = regexp.MustCompile(`(tw[st]_[0-9A-Za-z]{20})_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}`)

// percentEncoded finds what is percent-encoded, be it several times over.
var percentEncoded = regexp.MustCompile(`%(?:25)*([0-9A-Fa-f]{2})`)

// withoutCredentials cuts credentials in a URL down to what is not secret, also where their characters are percent-encoded: then
// all that the URL has of such characters is kept decoded.
func withoutCredentials(url string) string {
	decoded := percentEncoded.ReplaceAllStringFunc(url, func(encoded string) string {
		b, err := hex.DecodeString(encoded[len(encoded)-2:])
		if err != nil || b[0] != '_' && !isBase62(string(b), 1) {
			return encoded
		}
		return string(b)
	})
	if credentialIn.MatchString(decoded) {
		url = decoded
	}
	return credentialIn.ReplaceAllString(url, "$1")
}

// leakURL reads where a token was found. What signs somebody in there is not kept, nor is a credential in its path or query.
func leakURL(text string) (string, error) {
	wrong := invalid("options.url", fmt.Sprintf("url is an http or https URL of at most %d characters, all else than ASCII percent-encoded", maxURL))
	if len(text) > maxURL || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", wrong
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", wrong
	}
	u.User = nil
	return withoutCredentials(u.String()), nil
}

// ReportLeak ends the credential of a secret that somebody found where it should not be: a token is switched off, and its
// owner told where it was found if that is said; a session ends. Of whatever is no good secret nothing comes, and nobody who
// reports learns which it was. It returns whose it was, and which token if it was one.
func (s *Store) ReportLeak(ctx context.Context, by Actor, secret Secret, where *string) (userID, tokenID string, err error) {
	if where != nil {
		text, err := leakURL(*where)
		if err != nil {
			return "", "", err
		}
		where = &text
	}
	kind, id, ok := parseCredential(secret.Reveal())
	if !ok {
		return "", "", nil
	}
	hash := s.key.mac(secret)
	err = s.change(ctx, by, func(c *change) (err error) {
		userID, tokenID = "", ""
		if kind == KindSession {
			userID, err = c.sessionLeaked(id, hash)
			return err
		}
		var token Token
		found := c.Raw("SELECT * FROM api_tokens WHERE id = ?"+c.forUpdate(), id).Scan(&token)
		row := credentialRow{Hash: token.Hash, SecretNumber: token.SecretNumber, PreviousHash: token.PreviousHash, PreviousUntil: token.PreviousUntil}
		if _, _, same := row.shown(hash, c.now); found.Error != nil || !same {
			return found.Error
		}
		userID, tokenID = token.UserID, id
		return c.tokenLeaked(&token, where)
	})
	return userID, tokenID, err
}

// sessionLeaked ends a session whose secret was found, and returns whose it was.
func (c *change) sessionLeaked(id string, hash []byte) (userID string, err error) {
	var session Session
	found := c.Raw("SELECT * FROM sessions WHERE id = ?"+c.forUpdate(), id).Scan(&session)
	row := credentialRow{Hash: session.Hash}
	if _, _, same := row.shown(hash, c.now); found.Error != nil || !same || session.ExpiresAt <= c.now {
		return "", found.Error
	}
	return session.UserID, c.endSession(session.UserID, id, ReasonSessionDeleted)
}

// tokenLeaked switches a locked token off, and tells its owner. That comes first, so that the token's own connections
// hear of it, too.
func (c *change) tokenLeaked(token *Token, where *string) error {
	isNews, err := c.noteLeak(token.ID, where)
	if err != nil {
		return err
	}
	if token.Enabled || isNews {
		if err := c.record(token.UserID, TokenLeaked, token.ID, TokenLeakedParams{token.ID, where}); err != nil {
			return err
		}
	}
	if !token.Enabled {
		return nil
	}
	if err := c.touchToken(token, "enabled = ?, ", false); err != nil {
		return err
	}
	return c.record(token.UserID, TokenEnabledChanged, token.ID, TokenEnabledChangedParams{token.ID, false, token.Version})
}

// noteLeak notes where a locked token was found, and reports whether that is news: of a day each place is so once, and not
// more of them than the owner can be asked to read.
func (c *change) noteLeak(tokenID string, where *string) (isNews bool, err error) {
	if where == nil {
		return false, nil
	}
	if err := c.Exec("DELETE FROM token_leaks WHERE token_id = ? AND time <= ?", tokenID, c.now-day).Error; err != nil {
		return false, err
	}
	var n int64
	if err := c.Raw("SELECT COUNT(*) FROM token_leaks WHERE token_id = ?", tokenID).Scan(&n).Error; err != nil || n >= maxLeaks {
		return false, err
	}
	hash := sha256.Sum256([]byte(*where))
	err = c.Exec("INSERT INTO token_leaks (token_id, url_hash, time) VALUES (?, ?, ?)", tokenID, hash[:], c.now).Error
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return false, nil
	}
	return err == nil, err
}
