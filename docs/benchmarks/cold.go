package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
)

const (
	coldUsers = 1000 // with one token each on one side, and with a thousand on the other
	manyEach  = 1000
)

// cold compares verifications that memory does not help with, of a database of 1,000,000 tokens with one of 1,000.
func cold(o *options) error {
	m, err := startMariaDB(o)
	if err != nil {
		return err
	}
	var figures []*figure
	for _, engine := range []string{"SQLite", "MariaDB"} {
		var sides [2]*asker
		for i, each := range []int{1, manyEach} {
			if sides[i], err = filled(o, m, engine, each); err != nil {
				return fmt.Errorf("%s, %d tokens: %w", engine, each*coldUsers, err)
			}
		}
		f := &figure{name: fmt.Sprintf("cold verification, %s, 1,000,000 tokens to 1,000", engine), unit: "ms", goal: "<= 1.5"}
		figures = append(figures, f)
		if err := inTurns(o.rounds, f, sides[0].ask, sides[1].ask); err != nil {
			return err
		}
	}
	print(figures...)
	return nil
}

// asker asks about one token of each user, one after the other.
type asker struct {
	*client
	tokens []string
}

func (a *asker) ask() (float64, error) {
	started := time.Now()
	for i, token := range a.tokens {
		a.send(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"/v1/verifier/verify","params":["%s"]}`, i, token))
		if err := a.flush(); err != nil {
			return 0, err
		}
		for {
			message, err := a.receive()
			if err != nil {
				return 0, err
			}
			if isHeartbeat(message) {
				continue
			}
			if !strings.Contains(string(message), `"active":true`) {
				return 0, fmt.Errorf("answered %s", message)
			}
			break
		}
	}
	return time.Since(started).Seconds() * 1000 / float64(len(a.tokens)), nil
}

// filled starts a Tokenwire that remembers no token, on a database with so many tokens of each user.
func filled(o *options, m *mariaDB, engine string, each int) (*asker, error) {
	name := fmt.Sprintf("cold_%d", each)
	url, driver, dsn := "", "sqlite", filepath.Join(o.dir, name+".db")
	if engine == "MariaDB" {
		if _, err := m.root.Exec("CREATE DATABASE " + name); err != nil {
			return nil, err
		}
		driver, dsn = "mysql", "root@tcp("+m.addr+")/"+name
		url = "mysql://root@" + m.addr + "/" + name
	} else {
		url = "sqlite:" + dsn
	}
	t, err := startTokenwire(o, o.tree, url, "--tokens-cached", "1")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	key, err := readKey(filepath.Join(o.dir, "key"))
	if err != nil {
		return nil, err
	}
	a := &asker{}
	if a.tokens, err = fill(db, key, each); err != nil {
		return nil, err
	}
	if engine == "MariaDB" {
		if _, err := db.Exec("ANALYZE TABLE api_tokens"); err != nil {
			return nil, err
		}
	}
	a.client, err = t.connect(t.session)
	return a, err
}

func readKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(strings.TrimSpace(string(text)))
}

// fill adds users with tokens, a transaction each, and returns one token of each user.
func fill(db *sql.DB, key []byte, each int) (tokens []string, err error) {
	for user := range coldUsers {
		id := fmt.Sprintf("user%016d", user)
		tx, err := db.Begin()
		if err != nil {
			return nil, err
		}
		statements := []string{
			fmt.Sprintf("INSERT INTO users (id, username, password_hash, enabled, created_at) VALUES ('%s', '%s', '', 1, 0)", id, id),
			fmt.Sprintf("INSERT INTO feeds (user_id, position, change_id) VALUES ('%s', 1, 'abcdefghijkl')", id),
			fmt.Sprintf("INSERT INTO user_permissions (user_id, permission_id) VALUES ('%s', 'tokens:manage')", id),
		}
		for token := range each {
			tokenID := fmt.Sprintf("t%09d%010d", user, token)
			text := credential(tokenID)
			digest := sha256.Sum256([]byte(text))
			h := hmac.New(sha256.New, key)
			h.Write(digest[:])
			statements = append(statements,
				fmt.Sprintf(`INSERT INTO api_tokens (id, user_id, name, name_folded, hash, enabled, version, created_at, updated_at)
					VALUES ('%s', '%s', 'x', 'x', x'%x', 1, 1, 0, 0)`, tokenID, id, h.Sum(nil)),
				fmt.Sprintf("INSERT INTO api_token_permissions (token_id, permission_id) VALUES ('%s', 'tokens:manage')", tokenID))
			if token == each/2 {
				tokens = append(tokens, text)
			}
		}
		for _, statement := range statements {
			if _, err := tx.Exec(statement); err != nil {
				tx.Rollback()
				return nil, err
			}
		}
		if err := tx.Commit(); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// credential returns a token's text, as docs/protocol.md has its form. Its secret is its id's digest.
func credential(id string) string {
	digest := sha256.Sum256([]byte(id))
	body := "twt_" + id + "_" + base62(new(big.Int).SetBytes(digest[:]), 43)
	return body + "_" + base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), 6)
}

func base62(n *big.Int, digits int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := make([]byte, digits)
	rest := new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.DivMod(n, big.NewInt(62), rest)
		out[i] = alphabet[rest.Int64()]
	}
	return string(out)
}
