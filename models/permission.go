package models

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Permission is an entry of the catalogue: something that a user can be allowed to do, and can allow a token to do.
type Permission struct {
	ID          string `gorm:"primaryKey" json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedAt   Time   `gorm:"autoCreateTime:false" json:"-"`
}

// GrantablePermission is a permission and whether a user or token has it.
type GrantablePermission struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
}

type userPermission struct {
	UserID       string `gorm:"primaryKey"`
	PermissionID string `gorm:"primaryKey"`
}

type tokenPermission struct {
	TokenID      string `gorm:"primaryKey"`
	PermissionID string `gorm:"primaryKey"`
}

// TableName is the table's name.
func (tokenPermission) TableName() string { return "api_token_permissions" }

var builtins = []Permission{
	{ID: PermissionAdmin, Name: "Administration", Description: "Manage users, their permissions and sessions, and the permission catalogue."},
	{ID: PermissionManage, Name: "Manage API tokens", Description: "Lets an API token manage the API tokens of its owner."},
	{ID: PermissionVerify, Name: "Verify API tokens", Description: "Ask whether an API token of any user is good."},
}

// createBuiltins puts the built-in permissions and the rows of table meta into a new database.
func (s *Store) createBuiltins(ctx context.Context) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		rows := slices.Clone(builtins)
		for i := range rows {
			rows[i].CreatedAt = s.now()
		}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&rows).Error; err != nil {
			return err
		}
		return tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]meta{{pingName, ""}, {administratorsName, ""}}).Error
	})
}

const permissionForm = `^[a-z0-9][a-z0-9:._/-]{0,63}$`

var permissionID = regexp.MustCompile(permissionForm)

// Texts of the catalogue are for people and short.
const (
	maxPermissionName        = 100
	maxPermissionDescription = 1000
)

// CreatePermissionOptions are the optional params of CreatePermission.
type CreatePermissionOptions struct {
	Name        string `json:"name,omitzero" doc:"for people; the id by default"`
	Description string `json:"description,omitzero" doc:"for people; none by default"`
}

// CreatePermission adds a permission to the catalogue and gives it to the caller's user: nobody can grant what nobody
// holds.
func (s *Store) CreatePermission(ctx context.Context, by Actor, id string, o CreatePermissionOptions) (*Permission, error) {
	p := &Permission{ID: id, Name: strings.TrimSpace(o.Name), Description: strings.TrimSpace(o.Description)}
	switch {
	case !permissionID.MatchString(id):
		return nil, invalid("id", "a permission is 1 to 64 of a-z 0-9 : . _ / - and begins with a letter or digit")
	case !printable(p.Name, maxPermissionName):
		return nil, invalid("options.name", fmt.Sprintf("a name has at most %d characters and no control characters", maxPermissionName))
	case utf8.RuneCountInString(p.Description) > maxPermissionDescription:
		return nil, invalid("options.description", fmt.Sprintf("a description has at most %d characters", maxPermissionDescription))
	case p.Name == "":
		p.Name = id
	}
	err := s.change(ctx, by, func(c *change) error {
		if _, err := c.administer(); err != nil {
			return err
		}
		var count int64
		if err := c.Model(&Permission{}).Count(&count).Error; err != nil {
			return err
		}
		if count >= MaxPermissions {
			return &Error{Code: Conflict, Message: fmt.Sprintf("the catalogue is full at %d permissions; delete one first", MaxPermissions)}
		}
		p.CreatedAt = c.now
		if err := c.Create(p).Error; err != nil {
			if errors.Is(err, gorm.ErrDuplicatedKey) {
				return &Error{Conflict, "permission " + id + " exists already", map[string]any{"permission": id}}
			}
			return err
		}
		return c.setUserPermissions(by.UserID, PermissionSet{id: true}, nil)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ReadPermissions returns the catalogue.
func (s *Store) ReadPermissions(ctx context.Context) ([]Permission, error) {
	permissions := []Permission{}
	err := s.read.WithContext(ctx).Order("id").Find(&permissions).Error
	return permissions, err
}

// DeletePermission takes a permission from the catalogue, and from every user and token that has it, in one change.
func (s *Store) DeletePermission(ctx context.Context, by Actor, id string) error {
	if slices.ContainsFunc(builtins, func(p Permission) bool { return p.ID == id }) {
		return &Error{Conflict, id + " is built in and cannot be deleted", map[string]any{"permission": id}}
	}
	return s.change(ctx, by, func(c *change) error {
		if _, err := c.administer(); err != nil {
			return err
		}
		var userIDs []string
		const holders = `SELECT user_id FROM user_permissions WHERE permission_id = ?
			UNION SELECT t.user_id FROM api_tokens t JOIN api_token_permissions p ON p.token_id = t.id WHERE p.permission_id = ? ORDER BY user_id`
		if err := c.Raw(holders, id, id).Scan(&userIDs).Error; err != nil {
			return err
		}
		for _, userID := range userIDs {
			if _, err := c.lockUser(userID); err != nil {
				return err
			}
			if err := c.stripPermission(userID, id); err != nil {
				return err
			}
		}
		result := c.Where("id = ?", id).Delete(&Permission{})
		if result.Error == nil && result.RowsAffected == 0 {
			return notFound("permission")
		}
		return result.Error
	})
}

// stripPermission takes a permission from a user and from his tokens.
func (c *change) stripPermission(userID, id string) error {
	tokens, err := c.lockTokens(userID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Permissions[id] {
			if err := c.setTokenPermissions(t, nil, []string{id}); err != nil {
				return err
			}
		}
	}
	return c.setUserPermissions(userID, nil, []string{id})
}

// effective returns the effective permissions of a user's credential.
func effective(db *gorm.DB, userID string, c Credential) (PermissionSet, error) {
	var ids []string
	q := db.Table("user_permissions u").Where("u.user_id = ?", userID)
	if c.Kind == KindToken {
		q = q.Joins("JOIN api_token_permissions t ON t.permission_id = u.permission_id AND t.token_id = ?", c.ID)
	}
	err := q.Pluck("u.permission_id", &ids).Error
	return PermissionSetOf(ids), err
}

func userPermissions(db *gorm.DB, userID string) (PermissionSet, error) {
	return effective(db, userID, Credential{Kind: KindSession})
}

// administer refuses callers who do not effectively hold admin, as the transaction sees it, and locks the users that the
// change is about. It also makes changes of who is an administrator wait for each other: it writes the row that stands
// for all of them, since a mere lock would not hold between the hosts of a cluster. It comes first in its transaction.
func (c *change) administer(userIDs ...string) (map[string]*User, error) {
	err := c.Exec("UPDATE meta SET value = ? WHERE name = ?", c.by.ChangeID, administratorsName).Error
	if err != nil || c.by.Identity == nil {
		return nil, err
	}
	users, err := c.lockUsers(append(userIDs, c.by.UserID)...)
	if err != nil {
		return nil, err
	}
	if me := users[c.by.UserID]; me == nil || !me.Enabled { // who was switched off does not switch himself on
		return nil, ErrUnauthorized
	}
	return users, c.require(PermissionAdmin)
}

// administerUser is administer for a change of one user, who must exist.
func (c *change) administerUser(userID string) (*User, error) {
	users, err := c.administer(userID)
	if err == nil && users[userID] == nil {
		err = notFound("user")
	}
	return users[userID], err
}

// administratorsName is the row of table meta that stands for the set of administrators.
const administratorsName = "administrators"

// require refuses callers who do not effectively hold every one of the permissions, as the transaction sees it.
func (c *change) require(permissions ...string) error {
	if len(permissions) == 0 {
		return nil
	}
	held, err := effective(c.DB, c.by.UserID, c.by.Credential)
	if err != nil {
		return err
	}
	for _, id := range permissions {
		if !held[id] {
			return MissingPermission(id)
		}
	}
	return nil
}

// MissingPermission is the refusal of a caller who does not hold a permission.
func MissingPermission(id string) *Error {
	return &Error{Forbidden, "you do not hold the permission " + id, map[string]any{"permission": id}}
}

// checkGrant refuses a set of permissions that names an unknown one, or gives what the caller does not hold.
func (c *change) checkGrant(param string, permissions Grants) error {
	var given, all []string
	for id, on := range permissions {
		all = append(all, id)
		if on {
			given = append(given, id)
		}
	}
	slices.Sort(all)
	slices.Sort(given)
	var known []string
	if err := c.Model(&Permission{}).Where("id IN ?", all).Pluck("id", &known).Error; err != nil {
		return err
	}
	for _, id := range all {
		if !slices.Contains(known, id) {
			return &Error{Invalid, fmt.Sprintf("no such permission: %.64q", id), map[string]any{"param": param, "permission": truncate(id, maxPermissionName)}}
		}
	}
	if c.by.Identity == nil { // the first administrator's
		return nil
	}
	return c.require(given...)
}

func truncate(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes])
	}
	return s
}
