package models

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"gorm.io/gorm"
)

// Holder is a user who holds a permission, or a token that was given it, with its owner.
type Holder struct {
	User      HolderUser   `json:"user"`
	Token     *HolderToken `json:"token" doc:"null where it is the user who holds it"`
	Effective bool         `json:"effective" doc:"of a token, whether its owner holds it too; of a user, true"`
}

// HolderUser is what is told of the user of a Holder.
type HolderUser struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Enabled  bool   `json:"enabled"`
}

// HolderToken is what is told of the token of a Holder.
type HolderToken struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Prefix  string `json:"prefix" doc:"the first characters of the secret, to recognise it by"`
	Enabled bool   `json:"enabled"`
}

// HoldersOptions say which part of a permission's holders to read.
type HoldersOptions struct {
	Limit *int   `json:"limit,omitzero" minimum:"1" maximum:"100" doc:"rows at most, 50 by default"`
	After string `json:"after,omitzero" doc:"a next from an earlier answer for the same permission"`
}

// Holders are a page of a permission's holders.
type Holders struct {
	Holders []Holder `json:"holders"`
	Next    *string  `json:"next"`
}

// holderRow is a row of selectHolders. That of a user has the token "", which comes before all others.
type holderRow struct {
	UserID, Username, TokenID, Name      string
	UserEnabled, TokenEnabled, Effective bool
}

// selectHolders reads, in order of username and token, the holders that come after such a pair. A user's own row comes
// after no pair with his name.
const selectHolders = `SELECT u.id AS user_id, u.username AS username, u.enabled AS user_enabled,
		'' AS token_id, '' AS name, 0 AS token_enabled, 1 AS effective
	FROM user_permissions p JOIN users u ON u.id = p.user_id
	WHERE p.permission_id = ? AND u.username > ?
	UNION ALL SELECT u.id, u.username, u.enabled, t.id, t.name, t.enabled, h.user_id IS NOT NULL
	FROM api_token_permissions p JOIN api_tokens t ON t.id = p.token_id JOIN users u ON u.id = t.user_id
	LEFT JOIN user_permissions h ON h.user_id = u.id AND h.permission_id = p.permission_id
	WHERE p.permission_id = ? AND (u.username > ? OR u.username = ? AND t.id > ?)
	ORDER BY username, token_id LIMIT ?`

// GetHolders reads who holds a permission: users, and tokens that were given it. Who may ask is the caller's business.
func (s *Store) GetHolders(ctx context.Context, id string, o HoldersOptions) (Holders, error) {
	out := Holders{Holders: []Holder{}}
	limit, err := pageLimit(o.Limit)
	if err != nil {
		return out, err
	}
	username, token, err := parseHolder(o.After, id)
	if err != nil {
		return out, err
	}
	var rows []holderRow
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := tx.Select("id").Where("id = ?", id).Take(&Permission{}).Error; err != nil {
			return wrap(err, "permission")
		}
		return tx.Raw(selectHolders, id, username, id, username, username, token, limit+1).Scan(&rows).Error
	})
	if len(rows) > limit {
		rows = rows[:limit]
		next := rows[limit-1].cursor(id).encode()
		out.Next = &next
	}
	for _, r := range rows {
		out.Holders = append(out.Holders, r.holder())
	}
	return out, err
}

func (r holderRow) holder() Holder {
	h := Holder{User: HolderUser{r.UserID, r.Username, r.UserEnabled}, Effective: r.Effective}
	if r.TokenID != "" {
		h.Token = &HolderToken{r.TokenID, r.Name, prefixToken + r.TokenID, r.TokenEnabled}
	}
	return h
}

// holdersOrder is the order of a cursor among the holders of a permission.
func holdersOrder(id string) string { return "holders of " + id }

func (r holderRow) cursor(id string) cursor {
	c := cursor{Order: holdersOrder(id)}
	for _, text := range []string{r.Username, r.TokenID} {
		v, _ := json.Marshal(text)
		c.Values = append(c.Values, jsontext.Value(v))
	}
	return c
}

// parseHolder returns the username and token that a page of a permission's holders goes on after. No text at all comes
// before every name.
func parseHolder(after, id string) (username, token string, err error) {
	if after == "" {
		return "", "", nil
	}
	c, ok := decodeCursor(after, holdersOrder(id), 2)
	if !ok || json.Unmarshal(c.Values[0], &username) != nil || json.Unmarshal(c.Values[1], &token) != nil {
		return "", "", invalid("options.after", "after must be a next from an earlier answer for the same permission")
	}
	return username, token, nil
}
