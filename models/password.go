package models

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
)

// argon2id's cost, OWASP's recommendation of 19 MiB, 2 passes, 1 lane: about 40 ms of a core.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonSalt   = 16 // bytes
	argonHash   = 32 // bytes
)

// A password has 8 to 256 characters: fewer can be guessed, more only cost.
const (
	minPassword = 8
	maxPassword = 256
)

// argonSlots lets as many hashes be under way as there are cores: more would only take memory (19 MiB each). It is a
// property of the machine, not of a store.
var argonSlots = semaphore.NewWeighted(int64(runtime.NumCPU()))

// hashPassword returns password's hash in PHC form: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
func hashPassword(ctx context.Context, param string, password Secret) (string, error) {
	if n := utf8.RuneCountInString(password.Reveal()); n < minPassword || n > maxPassword {
		return "", invalid(param, fmt.Sprintf("a password has %d to %d characters", minPassword, maxPassword))
	}
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	sum, err := argon(ctx, password, salt)
	if err != nil {
		return "", err
	}
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, enc(salt), enc(sum)), nil
}

// verifyPassword reports whether password is the one behind hash. It takes as long for a user who does not exist or has
// no password (hash "") as for any other.
func verifyPassword(ctx context.Context, hash string, password Secret) (bool, error) {
	var version, memory, passes, lanes int
	head, rest, _ := strings.Cut(strings.TrimPrefix(hash, "$argon2id$"), "$")
	params, sums, _ := strings.Cut(rest, "$")
	salt64, want64, _ := strings.Cut(sums, "$")
	fmt.Sscanf(head, "v=%d", &version)
	fmt.Sscanf(params, "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
	salt, _ := base64.RawStdEncoding.DecodeString(salt64)
	want, _ := base64.RawStdEncoding.DecodeString(want64)
	known := version == argon2.Version && memory == argonMemory && passes == argonTime && lanes == argonLanes && len(want) == argonHash
	if utf8.RuneCountInString(password.Reveal()) > maxPassword {
		password, known = Secret{}, false
	}
	sum, err := argon(ctx, password, salt)
	return known && subtle.ConstantTimeCompare(sum, want) == 1, err
}

func argon(ctx context.Context, password Secret, salt []byte) ([]byte, error) {
	if err := argonSlots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer argonSlots.Release(1)
	return argon2.IDKey([]byte(password.Reveal()), salt, argonTime, argonMemory, argonLanes, argonHash), nil
}
