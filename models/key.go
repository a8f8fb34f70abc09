package models

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Key is the 256-bit key under which secrets are stored. It never enters the database, and like a [Secret] it redacts
// itself wherever it is printed.
type Key struct{ raw Secret }

// keySize is a key's length in bytes.
const keySize = 32

func (k Key) bytes() []byte { return []byte(k.raw.Reveal()) }

// String redacts.
func (Key) String() string { return redacted }

// Format redacts for every verb and flag.
func (Key) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// MarshalText redacts.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue redacts in structured logs.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// ParseKey reads a key of 64 hexadecimal digits.
func ParseKey(s Secret) (Key, error) {
	b, err := hex.DecodeString(strings.TrimSpace(s.Reveal()))
	if err != nil || len(b) != keySize {
		return Key{}, errors.New("the key must be 64 hexadecimal digits (openssl rand -hex 32)")
	}
	return Key{NewSecret(string(b))}, nil
}

// ReadKey reads the key file.
func ReadKey(path string) (Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(NewSecret(string(b)))
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// createKey writes a new random key to path, readable by its owner only, and returns once it is on the disk. It never
// overwrites a file. The file appears whole under its name or not at all: it is written beside it and linked there.
func createKey(path string) (Key, error) {
	var random [keySize]byte
	rand.Read(random[:])
	k := Key{NewSecret(string(random[:]))}
	f, err := os.CreateTemp(filepath.Dir(path), ".tokenwire-key-*") // mode 0600
	if err != nil {
		return k, err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, hex.EncodeToString(random[:]))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return k, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return k, err
	}
	defer dir.Close()
	return k, dir.Sync()
}

// KeySource says where the key comes from: Key if it is given, otherwise the file, which the first start on an empty
// database makes.
type KeySource struct {
	Key  *Key
	File string
}

// keyCheckName is the row of table meta that tells whether a key is the one that the database's secrets are stored under.
const keyCheckName = "key-check"

type meta struct {
	Name  string `gorm:"primaryKey"`
	Value string
}

// TableName is the table's name.
func (meta) TableName() string { return "meta" }

func (k Key) check() string {
	h := hmac.New(sha256.New, k.bytes())
	h.Write([]byte("tokenwire key check"))
	return hex.EncodeToString(h.Sum(nil))
}

// Deployment returns a name that all nodes of a deployment share, and nobody else knows.
func (s *Store) Deployment() string {
	mac := hmac.New(sha256.New, s.key.bytes())
	mac.Write([]byte("deployment"))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// adoptKey finds the key and holds it against the database. A database that knows a key accepts only that one; a missing
// or wrong key is an error, never a reason to make another.
func (s *Store) adoptKey(ctx context.Context, source KeySource) error {
	var row meta
	err := s.write.WithContext(ctx).Where("name = ?", keyCheckName).Take(&row).Error
	fresh := errors.Is(err, gorm.ErrRecordNotFound)
	if err != nil && !fresh {
		return err
	}
	if s.key, err = source.find(fresh); err != nil {
		return err
	}
	if fresh {
		row = meta{keyCheckName, s.key.check()}
		err := s.transact(ctx, func(tx *gorm.DB) error {
			return tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error
		})
		if err != nil {
			return err
		}
		if err := s.write.WithContext(ctx).Where("name = ?", keyCheckName).Take(&row).Error; err != nil {
			return err
		}
	}
	if row.Value != s.key.check() {
		return errors.New("the key is not the one that this database was made with: give the right one (TOKENWIRE_KEY or --key-file); no token or session can be checked without it")
	}
	return nil
}

func (source KeySource) find(fresh bool) (Key, error) {
	if source.Key != nil {
		return *source.Key, nil
	}
	k, err := ReadKey(source.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !fresh {
		return k, fmt.Errorf("%w; put back the one that this database was made with, no other will do", err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if !fresh {
		return k, fmt.Errorf("the key file %s is missing: put it back, or copy it from another node, or give the key as TOKENWIRE_KEY; no token or session can be checked without it", source.File)
	}
	k, err = createKey(source.File)
	if errors.Is(err, fs.ErrExist) { // another node was faster
		return ReadKey(source.File)
	}
	return k, err
}
