package client

import (
	"context"
	"encoding/json"
	"time"
)

// Token is an API token, as its owner sees it.
type Token struct {
	ID                   string          `json:"id"`
	Name                 string          `json:"name"`
	Prefix               string          `json:"prefix"` // the first characters of the secret, to recognise it by
	Enabled              bool            `json:"enabled"`
	Permissions          map[string]bool `json:"permissions"`          // what it was given
	EffectivePermissions []string        `json:"effectivePermissions"` // what of that its owner holds, in order
	Version              int64           `json:"version"`              // grows by 1 with each change
	CreatedAt            time.Time       `json:"createdAt"`
	UpdatedAt            time.Time       `json:"updatedAt"`
	ExpiresAt            *time.Time      `json:"expiresAt"`
	AllowedIPs           []string        `json:"allowedIps"` // nil: anywhere
	RateLimit            *RateLimit      `json:"rateLimit"`  // nil: without a limit
	LastUsedAt           *time.Time      `json:"lastUsedAt"`
	PreviousUntil        *time.Time      `json:"previousUntil"` // until when the secret before the present one is good, or was; nil: it is not
}

// RateLimit is so many requests in so many seconds.
type RateLimit struct {
	Requests int64 `json:"requests"`
	Window   int64 `json:"window"`
}

// Receipt says that no verifier takes the old state of a token any more: each that held it has confirmed the change, or its
// lease has run out.
type Receipt struct {
	Verifiers int           `json:"verifiers"` // that held a fact which the change touched
	Confirmed int           `json:"confirmed"`
	Expired   int           `json:"expired"`
	Elapsed   time.Duration `json:"-"`
}

// UnmarshalJSON reads a receipt of the server.
func (r *Receipt) UnmarshalJSON(text []byte) error {
	type plain Receipt // without this method
	wire := struct {
		*plain
		ElapsedMs float64 `json:"elapsedMs"`
	}{plain: (*plain)(r)}
	err := json.Unmarshal(text, &wire)
	r.Elapsed = time.Duration(wire.ElapsedMs * float64(time.Millisecond))
	return err
}

// Created is a new token with its secret, which is not to be had again.
type Created struct {
	Token
	Secret Secret `json:"token"`
}

// Rotated is a token with its new secret, which is not to be had again.
type Rotated struct {
	Created
	Receipt Receipt `json:"receipt"`
}

// Changed is a token after a change.
type Changed struct {
	Token
	Receipt Receipt `json:"receipt"`
}

// TokenOptions are what a new token may have.
type TokenOptions struct {
	Permissions map[string]bool `json:"permissions,omitempty"`
	ExpiresAt   *time.Time      `json:"expiresAt,omitempty"`
	AllowedIPs  []string        `json:"allowedIps,omitempty"` // addresses and ranges; anywhere by default
	RateLimit   *RateLimit      `json:"rateLimit,omitempty"`
}

// ChangeOptions are the conditions of a change.
type ChangeOptions struct {
	Version int64 `json:"version,omitempty"` // the Version that is to be changed; another one is an *Error 409. 0: any
}

// RotateOptions are how a secret is replaced.
type RotateOptions struct {
	Overlap int64 `json:"overlap,omitempty"` // seconds that the old secret stays good for
	Version int64 `json:"version,omitempty"` // as of ChangeOptions
}

// Optional is a member that may stay as it is (the zero value), be set (Set) or be taken away (Clear).
type Optional[T any] struct {
	given bool
	value *T
}

// Set is v.
func Set[T any](v T) Optional[T] { return Optional[T]{true, &v} }

// Clear takes away what there is.
func Clear[T any]() Optional[T] { return Optional[T]{given: true} }

// IsZero reports whether it stays as it is.
func (o Optional[T]) IsZero() bool { return !o.given }

// MarshalJSON writes what to set, or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.value) }

// TokenChanges are what UpdateToken changes; what is not given stays.
type TokenChanges struct {
	Name       string              `json:"name,omitempty"`
	ExpiresAt  Optional[time.Time] `json:"expiresAt,omitzero"`
	AllowedIPs Optional[[]string]  `json:"allowedIps,omitzero"`
	RateLimit  Optional[RateLimit] `json:"rateLimit,omitzero"`
	Version    int64               `json:"version,omitempty"` // as of ChangeOptions
}

// call makes a call with params by position.
func call[T any](ctx context.Context, c *Client, method string, params ...any) (result T, err error) {
	err = c.Call(ctx, method, params, &result)
	return result, err
}

// CreateToken makes a token of the caller's user.
func (c *Client) CreateToken(ctx context.Context, name string, o TokenOptions) (Created, error) {
	return call[Created](ctx, c, "/v1/api-tokens/create", name, o)
}

// DeleteToken deletes a token. When it returns without an error, no verifier takes it any more.
func (c *Client) DeleteToken(ctx context.Context, tokenID string) (Receipt, error) {
	deleted, err := call[Changed](ctx, c, "/v1/api-tokens/delete", tokenID)
	return deleted.Receipt, err
}

// SetTokenEnabled switches a token on or off. When it returns without an error, no verifier takes the old state any more.
func (c *Client) SetTokenEnabled(ctx context.Context, tokenID string, enabled bool, o ChangeOptions) (Changed, error) {
	return call[Changed](ctx, c, "/v1/api-tokens/set-enabled", tokenID, enabled, o)
}

// SetTokenPermissions replaces what a token was given.
func (c *Client) SetTokenPermissions(ctx context.Context, tokenID string, permissions map[string]bool, o ChangeOptions) (Changed, error) {
	return call[Changed](ctx, c, "/v1/api-tokens/set-permissions", tokenID, orEmpty(permissions), o)
}

// UpdateTokenPermissions gives (true) and takes (false) the permissions named; the others stay.
func (c *Client) UpdateTokenPermissions(ctx context.Context, tokenID string, permissions map[string]bool, o ChangeOptions) (Changed, error) {
	return call[Changed](ctx, c, "/v1/api-tokens/update-permissions", tokenID, orEmpty(permissions), o)
}

// UpdateToken changes a token's name and bounds.
func (c *Client) UpdateToken(ctx context.Context, tokenID string, changes TokenChanges) (Changed, error) {
	return call[Changed](ctx, c, "/v1/api-tokens/update", tokenID, changes)
}

// orEmpty makes no permissions {}, which null is not.
func orEmpty(permissions map[string]bool) map[string]bool {
	if permissions == nil {
		return map[string]bool{}
	}
	return permissions
}

// RotateToken replaces a token's secret.
func (c *Client) RotateToken(ctx context.Context, tokenID string, o RotateOptions) (Rotated, error) {
	return call[Rotated](ctx, c, "/v1/api-tokens/rotate", tokenID, o)
}

// GrantablePermission is a permission that a token's owner holds.
type GrantablePermission struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"` // the token effectively has it
}

// GetTokenPermissions returns every permission that the owner holds, and whether the token has it.
func (c *Client) GetTokenPermissions(ctx context.Context, tokenID string) ([]GrantablePermission, error) {
	return call[[]GrantablePermission](ctx, c, "/v1/api-tokens/get-permissions", tokenID)
}

// TokensQuery says which tokens ReadTokens returns; the zero value is the newest 50.
type TokensQuery struct {
	ID      string      `json:"id,omitempty"` // this one only
	Where   TokensWhere `json:"where,omitzero"`
	OrderBy [][2]string `json:"orderBy,omitempty"` // such as {{"name", "asc"}}
	Limit   int         `json:"limit,omitempty"`   // 1 to 100
	After   string      `json:"after,omitempty"`   // a Next of the same OrderBy
	Offset  int         `json:"offset,omitempty"`
}

// TokensWhere are conditions that all hold.
type TokensWhere struct {
	Name     string // equal
	NameLike string // contained, without regard to case; instead of Name
	Enabled  *bool
	Expired  *bool
}

// MarshalJSON writes the conditions as the server reads them.
func (w TokensWhere) MarshalJSON() ([]byte, error) {
	where := map[string]any{}
	switch {
	case w.NameLike != "":
		where["name"] = [2]string{"like", w.NameLike}
	case w.Name != "":
		where["name"] = w.Name
	}
	if w.Enabled != nil {
		where["enabled"] = *w.Enabled
	}
	if w.Expired != nil {
		where["expired"] = *w.Expired
	}
	return json.Marshal(where)
}

// TokensPage is a page of tokens.
type TokensPage struct {
	Tokens   []Token `json:"tokens"`
	Next     string  `json:"next"`     // TokensQuery.After of the next page; empty on the last
	Position string  `json:"position"` // Options.Since of whoever wants to hear of every change after this
}

// ReadTokens returns a page of the caller's tokens.
func (c *Client) ReadTokens(ctx context.Context, q TokensQuery) (TokensPage, error) {
	return call[TokensPage](ctx, c, "/v1/api-tokens/read", q)
}

// UsageQuery is the time that TokenUsage looks at; the last 7 days by default.
type UsageQuery struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// Usage is how often a token was let in, and how often not.
type Usage struct {
	LastUsedAt *time.Time  `json:"lastUsedAt"`
	Allowed    int64       `json:"allowed"`
	Denied     int64       `json:"denied"`
	Hours      []UsageHour `json:"hours"` // oldest first, those that had any
	From       time.Time   `json:"from"`
	To         time.Time   `json:"to"`
}

// UsageHour is the usage of the hour that begins at From.
type UsageHour struct {
	From    time.Time `json:"from"`
	Allowed int64     `json:"allowed"`
	Denied  int64     `json:"denied"`
}

// TokenUsage returns how a token was used.
func (c *Client) TokenUsage(ctx context.Context, tokenID string, q UsageQuery) (Usage, error) {
	return call[Usage](ctx, c, "/v1/api-tokens/usage", tokenID, q)
}
