package client

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

// The form of a token: twt_<20 digits, the id>_<43 digits>_<6 digits, the CRC-32 of all before the last _>, in base62.
const (
	base62      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenPrefix = "twt_"
	tokenSize   = 75
	idEnd       = len(tokenPrefix) + 20
	bodySize    = idEnd + 1 + 43
)

// wellFormed reports whether a text can be a token. One that cannot is not worth a question, so that floods of rubbish cost
// the server nothing.
func wellFormed(token string) bool {
	if len(token) != tokenSize || !strings.HasPrefix(token, tokenPrefix) || token[idEnd] != '_' || token[bodySize] != '_' {
		return false
	}
	return isBase62(token[len(tokenPrefix):idEnd]) && isBase62(token[idEnd+1:bodySize]) && token[bodySize+1:] == checksum(token[:bodySize])
}

func isBase62(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(base62, r) })
}

func checksum(body string) string {
	var digits [tokenSize - bodySize - 1]byte
	rest := crc32.ChecksumIEEE([]byte(body))
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[rest%62]
		rest /= 62
	}
	return string(digits[:])
}

// digest is the SHA-256 of a token: what it is asked by and kept under.
type digest [sha256.Size]byte

// digestOf returns the digest of a text of a token's size, without an allocation.
func digestOf(token string) digest {
	var text [tokenSize]byte
	copy(text[:], token)
	return sha256.Sum256(text[:])
}

// String returns the digest as the server reads it.
func (d digest) String() string { return hex.EncodeToString(d[:]) }
