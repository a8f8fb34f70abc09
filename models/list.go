package models

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"gorm.io/gorm"
)

// Bounds of a page.
const (
	defaultLimit = 50
	maxLimit     = 100
	maxOffset    = 100_000 // rows that a database may be asked to skip
	maxOrderBy   = 4       // as many as there are columns to order by
)

func pageLimit(limit *int) (int, error) {
	switch {
	case limit == nil:
		return defaultLimit, nil
	case *limit < 1 || *limit > maxLimit:
		return 0, invalid("options.limit", fmt.Sprintf("limit is 1 to %d", maxLimit))
	}
	return *limit, nil
}

// Order is one column of an order, and its direction.
type Order struct {
	Column string
	Desc   bool
}

// OrderBy is an order of rows: in JSON a column's name, or [["name","asc"|"desc"], …].
type OrderBy []Order

// UnmarshalJSON reads either form.
func (o *OrderBy) UnmarshalJSON(b []byte) error {
	var column string
	if json.Unmarshal(b, &column) == nil {
		*o = OrderBy{{Column: column}}
		return nil
	}
	var pairs [][2]string
	if err := json.Unmarshal(b, &pairs); err != nil || len(pairs) == 0 || len(pairs) > maxOrderBy {
		return FormatError(`orderBy is a column's name or [["name","asc"|"desc"], …], each column once`)
	}
	for _, p := range pairs {
		if p[1] != "asc" && p[1] != "desc" {
			return FormatError(`a direction is "asc" or "desc"`)
		}
		*o = append(*o, Order{p[0], p[1] == "desc"})
	}
	return nil
}

// Schema is the JSON Schema of OrderBy.
func (OrderBy) Schema() string {
	return `{"description":"a column, or up to 4 columns with directions: createdAt, enabled; name, lastUsedAt of tokens; username of users. Newest first by default","oneOf":[{"type":"string"},{"type":"array","minItems":1,"maxItems":4,"items":{"type":"array","items":[{"type":"string"},{"enum":["asc","desc"]}],"minItems":2,"maxItems":2}}]}`
}

// Match is a condition on a text: in JSON "x" for equal, or ["like", "x"] for contains, without regard to case.
type Match struct {
	Text string
	Like bool
}

// UnmarshalJSON reads either form.
func (m *Match) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &m.Text) == nil {
		return nil
	}
	var pair [2]string
	if err := json.Unmarshal(b, &pair); err != nil || pair[0] != "like" {
		return FormatError(`a condition is "x" for equal or ["like","x"] for contains`)
	}
	m.Text, m.Like = pair[1], true
	return nil
}

// Schema is the JSON Schema of Match.
func (Match) Schema() string {
	return `{"description":"equal to the text, or [\"like\", text]: contains it, without regard to case","oneOf":[{"type":"string"},{"type":"array","items":[{"const":"like"},{"type":"string"}],"minItems":2,"maxItems":2}]}`
}

// ListOptions are the options of a read that are the same for every kind of row.
type ListOptions struct {
	ID      *string `json:"id,omitzero" doc:"this one only; 404 if it is not there"`
	OrderBy OrderBy `json:"orderBy,omitzero"`
	Limit   *int    `json:"limit,omitzero" minimum:"1" maximum:"100" doc:"rows at most, 50 by default"`
	After   string  `json:"after,omitzero" doc:"a next from an earlier answer with the same order"`
	Offset  int     `json:"offset,omitzero" minimum:"0" maximum:"100000" doc:"rows to skip"`
}

// A column that rows can be ordered by: what SQL sorts on, and the same of a row in Go. NULL counts as 0.
type column[T any] struct {
	sql   string
	value func(*T) any
}

// list reads a page of q in the order that o asks for. The order is made total by the id, and a page goes on strictly
// after the row where the last one ended, so that rows that come or go in between neither repeat nor hide others.
func list[T any](q *gorm.DB, o ListOptions, columns map[string]column[T]) (rows []*T, next *string, err error) {
	limit, err := pageLimit(o.Limit)
	if err != nil {
		return nil, nil, err
	}
	if o.Offset < 0 || o.Offset > maxOffset {
		return nil, nil, invalid("options.offset", fmt.Sprintf("offset is 0 to %d", maxOffset))
	}
	order, err := totalOrder(o.OrderBy, columns)
	if err != nil {
		return nil, nil, err
	}
	if o.ID != nil {
		q = q.Where("id = ?", *o.ID)
	}
	if o.After != "" {
		values, err := parseCursor(o.After, order)
		if err != nil {
			return nil, nil, err
		}
		condition, args := after(order, columns, values)
		q = q.Where(condition, args...)
	}
	for _, by := range order {
		direction := " ASC"
		if by.Desc {
			direction = " DESC"
		}
		q = q.Order(columns[by.Column].sql + direction)
	}
	rows = []*T{}
	if err := q.Offset(o.Offset).Limit(limit + 1).Find(&rows).Error; err != nil {
		return nil, nil, err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		cursor := makeCursor(order, columns, rows[limit-1])
		next = &cursor
	}
	return rows, next, nil
}

// totalOrder checks an order's columns and adds the id, in the direction of the last column.
func totalOrder[T any](asked OrderBy, columns map[string]column[T]) (OrderBy, error) {
	order := slices.Clone(asked)
	if len(order) == 0 {
		order = OrderBy{{"createdAt", true}}
	}
	for i, by := range order {
		_, known := columns[by.Column]
		if !known || by.Column == "id" || slices.ContainsFunc(order[:i], func(o Order) bool { return o.Column == by.Column }) {
			return nil, invalid("options.orderBy", "orderBy names a column that is not there, or one twice")
		}
	}
	return append(order, Order{"id", order[len(order)-1].Desc}), nil
}

// after returns the condition "comes after the row with these values": for columns a, b the alternatives a beyond its
// value, or a equal and b beyond its value.
func after[T any](order OrderBy, columns map[string]column[T], values []any) (string, []any) {
	var alternatives []string
	var args []any
	for i, by := range order {
		var terms []string
		for j := range i {
			terms = append(terms, columns[order[j].Column].sql+" = ?")
			args = append(args, values[j])
		}
		operator := " > ?"
		if by.Desc {
			operator = " < ?"
		}
		terms = append(terms, columns[by.Column].sql+operator)
		args = append(args, values[i])
		alternatives = append(alternatives, "("+strings.Join(terms, " AND ")+")")
	}
	return strings.Join(alternatives, " OR "), args
}

// cursor is where a page ended: the order, and the last row's values in it. Clients treat it as opaque; whatever they
// send is checked, bound as values, and can only lead to rows that the query's own conditions allow.
type cursor struct {
	Order  string           `json:"o"`
	Values []jsontext.Value `json:"v"`
}

func (o OrderBy) key() string { return fmt.Sprint([]Order(o)) }

func makeCursor[T any](order OrderBy, columns map[string]column[T], last *T) string {
	c := cursor{Order: order.key()}
	for _, by := range order {
		v, _ := json.Marshal(columns[by.Column].value(last))
		c.Values = append(c.Values, v)
	}
	return c.encode()
}

func (c cursor) encode() string {
	b, _ := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads a cursor of n values in an order, and reports whether s is one.
func decodeCursor(s, order string, n int) (c cursor, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	ok = err == nil && json.Unmarshal(b, &c) == nil && c.Order == order && len(c.Values) == n
	return c, ok
}

func parseCursor(s string, order OrderBy) ([]any, error) {
	wrong := invalid("options.after", "after must be a next from an earlier answer with the same orderBy")
	c, ok := decodeCursor(s, order.key(), len(order))
	if !ok {
		return nil, wrong
	}
	values := make([]any, len(c.Values))
	for i, v := range c.Values {
		var text string
		var number int64
		switch {
		case json.Unmarshal(v, &text) == nil:
			values[i] = text
		case json.Unmarshal(v, &number) == nil:
			values[i] = number
		default:
			return nil, wrong
		}
	}
	return values, nil
}

// TokenWhere are conditions on tokens.
type TokenWhere struct {
	Name    *Match `json:"name,omitzero"`
	Enabled *bool  `json:"enabled,omitzero" doc:"switched on, or off"`
	Expired *bool  `json:"expired,omitzero" doc:"past expiresAt, or not"`
}

// on adds the conditions to a query of tokens.
func (w TokenWhere) on(q *gorm.DB, now Time) *gorm.DB {
	if w.Enabled != nil {
		q = q.Where("enabled = ?", *w.Enabled)
	}
	switch {
	case w.Expired == nil:
	case *w.Expired:
		q = q.Where("expires_at <= ?", now)
	default:
		q = q.Where("(expires_at IS NULL OR expires_at > ?)", now)
	}
	return w.Name.where(q, "name", "name_folded")
}

// TokensOptions are the options of ReadTokens.
type TokensOptions struct {
	ListOptions
	Where TokenWhere `json:"where,omitzero" doc:"conditions, all of which must hold"`
}

// Tokens are a page of tokens, and the position of the feed at which they were so.
type Tokens struct {
	Tokens   []*Token `json:"tokens"`
	Next     *string  `json:"next"`
	Position Position `json:"position"`
}

var tokenColumns = map[string]column[Token]{
	"id":         {"id", func(t *Token) any { return t.ID }},
	"name":       {"name_folded", func(t *Token) any { return t.NameFolded }},
	"createdAt":  {"created_at", func(t *Token) any { return int64(t.CreatedAt) }},
	"lastUsedAt": {"COALESCE(last_used_at, 0)", func(t *Token) any { return milliseconds(t.LastUsedAt) }},
	"enabled":    {"enabled", func(t *Token) any { return truth(t.Enabled) }},
}

func milliseconds(t *Time) int64 {
	if t == nil {
		return 0
	}
	return int64(*t)
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ReadTokens reads tokens of the caller's user.
func (s *Store) ReadTokens(ctx context.Context, caller *Identity, o TokensOptions) (Tokens, error) {
	var out Tokens
	err := s.snapshot(ctx, func(tx *gorm.DB) (err error) {
		if out.Position, err = position(tx, caller.UserID); err != nil {
			return err
		}
		q := o.Where.on(tx.Where("user_id = ?", caller.UserID), s.now())
		if out.Tokens, out.Next, err = list(q, o.ListOptions, tokenColumns); err != nil {
			return err
		}
		if o.ID != nil && len(out.Tokens) == 0 {
			return notFound("token")
		}
		return complete(tx, caller.UserID, out.Tokens...)
	})
	return out, err
}

// where adds the condition to q. INSTR compares bytes in both databases, so that % and _ are themselves.
func (m *Match) where(q *gorm.DB, exact, folded string) *gorm.DB {
	switch {
	case m == nil:
		return q
	case m.Like:
		return q.Where("INSTR("+folded+", ?) > 0", fold(m.Text))
	}
	return q.Where(exact+" = ?", m.Text)
}

// CheckToken returns nil for a token of the caller's user.
func (s *Store) CheckToken(ctx context.Context, caller *Identity, tokenID string) error {
	return owns(s.read.WithContext(ctx), caller, tokenID)
}

func owns(db *gorm.DB, caller *Identity, tokenID string) error {
	return wrap(db.Select("id").Where("id = ? AND user_id = ?", tokenID, caller.UserID).Take(&Token{}).Error, "token")
}

// GetTokenPermissions returns every permission that the owner holds, and whether the token has it.
func (s *Store) GetTokenPermissions(ctx context.Context, caller *Identity, tokenID string) ([]GrantablePermission, error) {
	permissions := []GrantablePermission{}
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := owns(tx, caller, tokenID); err != nil {
			return err
		}
		return tx.Table("permissions p").Select("p.id, p.name, p.description, t.token_id IS NOT NULL AS enabled").
			Joins("JOIN user_permissions u ON u.permission_id = p.id AND u.user_id = ?", caller.UserID).
			Joins("LEFT JOIN api_token_permissions t ON t.permission_id = p.id AND t.token_id = ?", tokenID).
			Order("p.id").Scan(&permissions).Error
	})
	return permissions, err
}

// UserWhere are conditions on users.
type UserWhere struct {
	Username *Match `json:"username,omitzero"`
	Enabled  *bool  `json:"enabled,omitzero" doc:"switched on, or off"`
}

// UsersOptions are the options of ReadUsers.
type UsersOptions struct {
	ListOptions
	Where UserWhere `json:"where,omitzero" doc:"conditions, all of which must hold"`
}

// Users are a page of users.
type Users struct {
	Users []*User `json:"users"`
	Next  *string `json:"next"`
}

var userColumns = map[string]column[User]{
	"id":        {"id", func(u *User) any { return u.ID }},
	"username":  {"username", func(u *User) any { return u.Username }},
	"createdAt": {"created_at", func(u *User) any { return int64(u.CreatedAt) }},
	"enabled":   {"enabled", func(u *User) any { return truth(u.Enabled) }},
}

// ReadUsers reads users. Who may ask is the caller's business.
func (s *Store) ReadUsers(ctx context.Context, o UsersOptions) (Users, error) {
	var out Users
	err := s.snapshot(ctx, func(tx *gorm.DB) (err error) {
		q := tx
		if o.Where.Enabled != nil {
			q = q.Where("enabled = ?", *o.Where.Enabled)
		}
		q = o.Where.Username.where(q, "username", "username") // usernames have no upper case
		if out.Users, out.Next, err = list(q, o.ListOptions, userColumns); err != nil {
			return err
		}
		if o.ID != nil && len(out.Users) == 0 {
			return notFound("user")
		}
		if len(out.Users) == 0 {
			return nil
		}
		return completeUsers(tx, out.Users...)
	})
	return out, err
}
