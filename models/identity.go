package models

import (
	"context"
	"crypto/subtle"
	"maps"
	"net/netip"
	"slices"

	"github.com/go-json-experiment/json"
)

// Built-in permissions. They cannot be deleted.
const (
	PermissionAdmin  = "admin"
	PermissionManage = "tokens:manage"
	PermissionVerify = "tokens:verify"
)

// PermissionSet is a set of permission ids: in JSON {"<id>": true, …}. What is not in it is not given.
type PermissionSet map[string]bool

// Sorted returns the ids in order.
func (p PermissionSet) Sorted() []string { return slices.Sorted(maps.Keys(p)) }

// MarshalJSON writes the ids in order, so that equal sets are equal bytes.
func (p PermissionSet) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]bool(p), json.Deterministic(true))
}

// Grants are permissions to give (true) and to take (false), by id.
type Grants map[string]bool

// UnmarshalJSON reads an object of booleans; null is not one.
func (g *Grants) UnmarshalJSON(b []byte) error {
	var values map[string]*bool
	if err := json.Unmarshal(b, &values); err != nil || values == nil {
		return FormatError("permissions are an object of booleans, each id once")
	}
	*g = make(Grants, len(values))
	for id, on := range values {
		if on == nil {
			return FormatError("permissions are an object of booleans, each id once")
		}
		(*g)[id] = *on
	}
	return nil
}

// Schema is the JSON Schema of Grants.
func (Grants) Schema() string {
	return `{"type":"object","additionalProperties":{"type":"boolean"},"propertyNames":` + permissionKey + `,"description":"permissions by id: true gives, false takes"}`
}

// Schema is the JSON Schema of PermissionSet.
func (PermissionSet) Schema() string {
	return `{"type":"object","additionalProperties":{"const":true},"propertyNames":` + permissionKey + `,"description":"a set of permissions by id; what is not in it is not given"}`
}

// permissionKey is the JSON Schema of the names in an object of permissions.
const permissionKey = `{"pattern":"` + permissionForm + `","description":"the id of a permission, as /v1/permissions/read lists them"}`

// and returns what is in both sets.
func (p PermissionSet) and(q PermissionSet) PermissionSet {
	both := PermissionSet{}
	for id := range p {
		if q[id] {
			both[id] = true
		}
	}
	return both
}

// PermissionSetOf returns the set of ids.
func PermissionSetOf(ids []string) PermissionSet {
	set := make(PermissionSet, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// Credential names a session or a token. It is not secret.
type Credential struct {
	Kind string `json:"kind" enum:"session,token"`
	ID   string `json:"id"`
}

// Identity is what is known of a caller: the facts of his credential. An Identity never changes; when the facts do,
// there is a new one.
type Identity struct {
	UserID      string
	Username    string
	Credential  Credential
	Permissions PermissionSet // effective: of a session the user's, of a token those that both have
	ExpiresAt   *Time
	From        netip.Addr // where the caller is; the zero value where that is not known
	// By which of a token's secrets the caller came, and when that one ends where it has been replaced.
	SecretNumber int64
	SecretUntil  *Time
	Position     Position // the facts are at least as new as this position of the user's feed
}

// Has reports whether the caller effectively holds a permission.
func (id *Identity) Has(permission string) bool { return id.Permissions[permission] }

// OnlyToken returns the token that the caller may hear of where he may not hear of all his user's, and "" otherwise.
func (id *Identity) OnlyToken() string {
	if id.Credential.Kind == KindToken && !id.Has(PermissionManage) {
		return id.Credential.ID
	}
	return ""
}

// With returns the identity with other permissions.
func (id *Identity) With(permissions PermissionSet) *Identity {
	changed := *id
	changed.Permissions = permissions
	return &changed
}

// Until returns the identity with another end.
func (id *Identity) Until(expiresAt *Time) *Identity {
	changed := *id
	changed.ExpiresAt = expiresAt
	return &changed
}

// Replaced returns the identity with an end of the secret that it came by.
func (id *Identity) Replaced(until *Time) *Identity {
	changed := *id
	changed.SecretUntil = until
	return &changed
}

// End returns when the credential ends by itself, nil for never, and why.
func (id *Identity) End() (at *Time, reason string) {
	if id.SecretUntil != nil && (id.ExpiresAt == nil || *id.SecretUntil < *id.ExpiresAt) {
		return id.SecretUntil, ReasonTokenRotated
	}
	return id.ExpiresAt, ReasonExpired
}

// credentialRow is what Authenticate and Facts read of a session or token, its user and his feed, in one statement.
type credentialRow struct {
	ID, UserID, Username string
	Hash                 []byte
	Enabled              bool
	ExpiresAt            *Time
	AllowedIPs           *Addresses `gorm:"column:allowed_ips"`
	SecretNumber         int64
	PreviousHash         []byte
	PreviousUntil        *Time
	RateRequests         *int64
	RateWindow           *int64
	Number               int64
	ChangeID             string
	PermissionID         *string // of Facts, which reads a row for each
}

const (
	selectToken = `SELECT c.id, c.user_id, u.username, c.hash, c.enabled AND u.enabled AS enabled, c.expires_at, c.allowed_ips,
			c.secret_number, c.previous_hash, c.previous_until, f.position AS number, f.change_id
		FROM api_tokens c JOIN users u ON u.id = c.user_id JOIN feeds f ON f.user_id = u.id WHERE c.id = ?`
	selectSession = `SELECT c.id, c.user_id, u.username, c.hash, u.enabled, c.expires_at, f.position AS number, f.change_id
		FROM sessions c JOIN users u ON u.id = c.user_id JOIN feeds f ON f.user_id = u.id WHERE c.id = ?`
)

// shown reports whether a hash is that of the credential's secret, or of the one that it replaced if that is still good:
// which one, and when it ends if it is the latter.
func (r *credentialRow) shown(hash []byte, now Time) (number int64, until *Time, same bool) {
	if subtle.ConstantTimeCompare(r.Hash, hash) == 1 {
		return r.SecretNumber, nil, true
	}
	if r.PreviousUntil != nil && *r.PreviousUntil > now && subtle.ConstantTimeCompare(r.PreviousHash, hash) == 1 {
		return r.SecretNumber - 1, r.PreviousUntil, true
	}
	return 0, nil, false
}

// Authenticate returns the identity of whoever shows the credential at an address ("" where that is not known, which no
// token with allowed addresses is good from), or ErrUnauthorized for every kind of bad one. The position is read before
// the permissions: what changes in between is also an event after the position.
func (s *Store) Authenticate(ctx context.Context, credential Secret, address string) (*Identity, error) {
	kind, id, ok := parseCredential(credential.Reveal())
	if !ok {
		return nil, ErrUnauthorized
	}
	if !s.lookups.begin() {
		return nil, ErrUnavailable
	}
	defer s.lookups.done()
	row, err := s.credential(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	now := s.now()
	number, until, same := row.shown(s.key.mac(credential), now)
	if !same {
		return nil, ErrUnauthorized
	}
	from, _ := netip.ParseAddr(address)
	identity, err := s.identity(ctx, row, Identity{Credential: Credential{kind, id}, From: from, SecretNumber: number, SecretUntil: until}, now)
	if identity == nil && err == nil {
		if kind == KindToken {
			s.Used(id, 0, 1)
		}
		return nil, ErrUnauthorized
	}
	if err != nil {
		return nil, err
	}
	if kind == KindToken {
		s.Used(id, 1, 0)
	} else {
		s.Seen(identity.Credential)
	}
	return identity, nil
}

// Identify reads anew who a caller is whom Authenticate has told of, or returns ErrUnauthorized if his credential, or the secret
// that he came by, is no good any more. It does not count as a use.
func (s *Store) Identify(ctx context.Context, caller *Identity) (*Identity, error) {
	if !s.lookups.begin() {
		return nil, ErrUnavailable
	}
	defer s.lookups.done()
	row, err := s.credential(ctx, caller.Credential.Kind, caller.Credential.ID)
	if err != nil {
		return nil, err
	}
	as := Identity{Credential: caller.Credential, From: caller.From, SecretNumber: caller.SecretNumber}
	switch {
	case row.UserID != caller.UserID:
		return nil, ErrUnauthorized
	case as.Credential.Kind == KindSession || as.SecretNumber == row.SecretNumber:
	case as.SecretNumber == row.SecretNumber-1 && row.PreviousUntil != nil:
		as.SecretUntil = row.PreviousUntil
	default:
		return nil, ErrUnauthorized
	}
	identity, err := s.identity(ctx, row, as, s.now())
	if identity == nil && err == nil {
		err = ErrUnauthorized
	}
	return identity, err
}

// credential reads a session or token. The row of one that is not there is empty.
func (s *Store) credential(ctx context.Context, kind, id string) (row credentialRow, err error) {
	query := selectToken
	if kind == KindSession {
		query = selectSession
	}
	err = s.read.WithContext(ctx).Raw(query, id).Scan(&row).Error
	return row, err
}

// identity completes an identity by the row of its credential, or returns nil if that is no good, by now or from there.
func (s *Store) identity(ctx context.Context, row credentialRow, as Identity, now Time) (_ *Identity, err error) {
	as.UserID, as.Username, as.ExpiresAt, as.Position = row.UserID, row.Username, row.ExpiresAt, Position{row.Number, row.ChangeID}
	if end, _ := as.End(); !row.Enabled || end != nil && *end <= now || !row.AllowedIPs.Contain(as.From) {
		return nil, nil
	}
	if as.Permissions, err = effective(s.read.WithContext(ctx), row.UserID, as.Credential); err != nil {
		return nil, err
	}
	return &as, nil
}
