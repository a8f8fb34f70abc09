package models

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"gorm.io/gorm"
)

// User owns tokens and holds permissions.
type User struct {
	ID           string        `gorm:"primaryKey" json:"id"`
	Username     string        `json:"username"`
	PasswordHash string        `json:"-"`
	Enabled      bool          `json:"enabled"`
	Permissions  PermissionSet `gorm:"-" json:"permissions"`
	CreatedAt    Time          `gorm:"autoCreateTime:false" json:"createdAt"`
}

var usernameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// The reasons that /v1/session/ended gives.
const (
	ReasonSignedOut         = "signed-out"
	ReasonPasswordChanged   = "password-changed"
	ReasonSessionDeleted    = "session-deleted"
	ReasonTokenDeleted      = "token-deleted"
	ReasonTokenDisabled     = "token-disabled"
	ReasonAddressNotAllowed = "address-not-allowed"
	ReasonTokenRotated      = "token-rotated"
	ReasonUserDeleted       = "user-deleted"
	ReasonUserDisabled      = "user-disabled"
	ReasonExpired           = "expired"
)

// CreateUserOptions are the optional params of CreateUser.
type CreateUserOptions struct {
	Password    Secret `json:"password,omitzero" doc:"without one the user cannot sign in until one is set"`
	Permissions Grants `json:"permissions,omitzero" doc:"none by default"`
}

// CreateUser makes a user. The first one, by nobody, is the administrator of a new database.
func (s *Store) CreateUser(ctx context.Context, by Actor, username string, o CreateUserOptions) (*User, error) {
	if !usernameForm.MatchString(username) {
		return nil, invalid("username", "a username is 1 to 64 of a-z 0-9 . _ @ + - and begins with a letter or digit")
	}
	hash := ""
	if !o.Password.IsZero() {
		var err error
		if hash, err = hashPassword(ctx, "options.password", o.Password); err != nil {
			return nil, err
		}
	}
	var user *User
	err := s.change(ctx, by, func(c *change) error {
		if _, err := c.administer(); err != nil {
			return err
		}
		if err := c.checkGrant("options.permissions", o.Permissions); err != nil {
			return err
		}
		user = &User{ID: newID(c.now.Std()), Username: username, PasswordHash: hash, Enabled: true, CreatedAt: c.now}
		if err := c.Create(user).Error; err != nil {
			if errors.Is(err, gorm.ErrDuplicatedKey) {
				return &Error{Conflict, "user " + username + " exists already", map[string]any{"username": username}}
			}
			return err
		}
		if err := c.Create(&feed{UserID: user.ID, ChangeID: by.ChangeID}).Error; err != nil {
			return err
		}
		if err := c.record(user.ID, UserCreated, "", struct {
			UserID string `json:"userId"`
		}{user.ID}); err != nil {
			return err
		}
		if err := c.insertUserPermissions(user.ID, trues(o.Permissions)); err != nil {
			return err
		}
		return completeUsers(c.DB, user)
	})
	return user, err
}

// Bootstrap makes the administrator "admin" of a database without users, and reports whether it did.
func (s *Store) Bootstrap(ctx context.Context, password Secret) (bool, error) {
	if empty, err := s.Empty(ctx); err != nil || !empty {
		return false, err
	}
	permissions := Grants{}
	for _, p := range builtins {
		permissions[p.ID] = true
	}
	_, err := s.CreateUser(ctx, Actor{ChangeID: NewChangeID()}, "admin", CreateUserOptions{password, permissions})
	var refused *Error
	if errors.As(err, &refused) && refused.Code == Conflict { // another node was faster
		return false, nil
	}
	return err == nil, err
}

// Empty reports whether the database has no users.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	var count int64
	err := s.read.WithContext(ctx).Model(&User{}).Count(&count).Error
	return count == 0, err
}

// DeleteUser deletes a user and all that is his.
func (s *Store) DeleteUser(ctx context.Context, by Actor, userID string) error {
	return s.change(ctx, by, func(c *change) error {
		user, err := c.administerUser(userID)
		if err != nil {
			return err
		}
		if err := c.notLastAdministrator(user); err != nil {
			return err
		}
		if err := c.ends(userID); err != nil {
			return err
		}
		tokens := c.Session(&gorm.Session{NewDB: true}).Model(&Token{}).Select("id").Where("user_id = ?", userID)
		for _, rows := range []struct {
			where   string
			of, all any
		}{
			{"token_id IN (?)", tokens, &tokenPermission{}}, {"user_id = ?", userID, &Token{}}, {"user_id = ?", userID, &Session{}},
			{"user_id = ?", userID, &userPermission{}}, {"id = ?", userID, &User{}},
		} {
			// Not one after that fails: it may have ended the transaction, and the next would be one by itself.
			if err := c.Where(rows.where, rows.of).Delete(rows.all).Error; err != nil {
				return err
			}
		}
		return c.record(userID, UserEnded, "", UserEndedParams{ReasonUserDeleted})
	})
}

// SetUserEnabled switches a user on or off. Off, none of his credentials is good.
func (s *Store) SetUserEnabled(ctx context.Context, by Actor, userID string, enabled bool) (*User, error) {
	var user *User
	err := s.change(ctx, by, func(c *change) (err error) {
		if user, err = c.administerUser(userID); err != nil {
			return err
		}
		if err := completeUsers(c.DB, user); err != nil || user.Enabled == enabled {
			return err
		}
		if !enabled {
			if err := c.notLastAdministrator(user); err != nil {
				return err
			}
			if err := c.ends(userID); err != nil {
				return err
			}
		}
		user.Enabled = enabled
		if err := c.Model(&User{}).Where("id = ?", userID).Update("enabled", enabled).Error; err != nil || enabled {
			return err
		}
		return c.record(userID, UserEnded, "", UserEndedParams{ReasonUserDisabled})
	})
	return user, err
}

// SetUserPassword sets a user's password and ends his sessions.
func (s *Store) SetUserPassword(ctx context.Context, by Actor, userID string, password Secret) error {
	hash, err := hashPassword(ctx, "password", password)
	if err != nil {
		return err
	}
	return s.change(ctx, by, func(c *change) error {
		if _, err := c.administerUser(userID); err != nil {
			return err
		}
		return c.setPassword(userID, hash, "")
	})
}

// setPassword writes a password's hash and ends the user's sessions but one.
func (c *change) setPassword(userID, hash, keep string) error {
	if err := c.Model(&User{}).Where("id = ?", userID).Update("password_hash", hash).Error; err != nil {
		return err
	}
	var sessions []string
	if err := c.Model(&Session{}).Where("user_id = ? AND id <> ?", userID, keep).Order("id").Pluck("id", &sessions).Error; err != nil {
		return err
	}
	for _, id := range sessions {
		if err := c.endSession(userID, id, ReasonPasswordChanged); err != nil {
			return err
		}
	}
	return nil
}

// SetUserPermissions replaces a user's permissions.
func (s *Store) SetUserPermissions(ctx context.Context, by Actor, userID string, permissions Grants) (*User, error) {
	return s.changeUserPermissions(ctx, by, userID, permissions, true)
}

// UpdateUserPermissions sets the permissions that are given and leaves the rest.
func (s *Store) UpdateUserPermissions(ctx context.Context, by Actor, userID string, permissions Grants) (*User, error) {
	return s.changeUserPermissions(ctx, by, userID, permissions, false)
}

func (s *Store) changeUserPermissions(ctx context.Context, by Actor, userID string, permissions Grants, replace bool) (*User, error) {
	var user *User
	err := s.change(ctx, by, func(c *change) (err error) {
		if user, err = c.administerUser(userID); err != nil {
			return err
		}
		if err := c.checkGrant("permissions", permissions); err != nil {
			return err
		}
		if err := completeUsers(c.DB, user); err != nil {
			return err
		}
		add, take := difference(user.Permissions, permissions, replace)
		if slices.Contains(take, PermissionAdmin) {
			if err := c.notLastAdministrator(user); err != nil {
				return err
			}
		}
		if err := c.setUserPermissions(userID, PermissionSetOf(add), take); err != nil {
			return err
		}
		return completeUsers(c.DB, user)
	})
	return user, err
}

// setUserPermissions changes the permissions of a user who is locked, and tells his connections and those of his tokens
// whose effective permissions change with it.
func (c *change) setUserPermissions(userID string, add PermissionSet, take []string) error {
	before, err := userPermissions(c.DB, userID)
	if err != nil {
		return err
	}
	take = slices.DeleteFunc(slices.Clone(take), func(id string) bool { return !before[id] })
	if len(add)+len(take) == 0 {
		return nil
	}
	if err := c.takes(userID, take); err != nil {
		return err
	}
	if err := c.insertUserPermissions(userID, add.Sorted()); err != nil {
		return err
	}
	if len(take) > 0 {
		if err := c.Where("user_id = ? AND permission_id IN ?", userID, take).Delete(&userPermission{}).Error; err != nil {
			return err
		}
	}
	after, err := userPermissions(c.DB, userID)
	if err != nil {
		return err
	}
	if err := c.record(userID, SessionPermissionsChanged, "", SessionPermissionsChangedParams{after}); err != nil {
		return err
	}
	return c.recordAffectedTokens(userID, before)
}

// recordAffectedTokens tells of the tokens whose effective permissions are not what they were.
func (c *change) recordAffectedTokens(userID string, before PermissionSet) error {
	tokens, err := c.lockTokens(userID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if !slices.Equal(t.EffectivePermissions, t.Permissions.and(before).Sorted()) {
			if err := c.recordPermissions(t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *change) insertUserPermissions(userID string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows := make([]userPermission, len(ids))
	for i, id := range ids {
		rows[i] = userPermission{userID, id}
	}
	return c.CreateInBatches(&rows, rowsPerInsert).Error
}

// notLastAdministrator refuses to take away the last enabled user who holds admin.
func (c *change) notLastAdministrator(user *User) error {
	var administrators []string
	err := c.Table("users u").Joins("JOIN user_permissions p ON p.user_id = u.id AND p.permission_id = ?", PermissionAdmin).
		Where("u.enabled = ?", true).Pluck("u.id", &administrators).Error
	if err == nil && slices.Equal(administrators, []string{user.ID}) {
		return &Error{Code: Conflict, Message: fmt.Sprintf("%s is the last enabled administrator; make another one first", user.Username)}
	}
	return err
}

// GetUserPermissions returns the catalogue, and of each permission whether the user holds it.
func (s *Store) GetUserPermissions(ctx context.Context, userID string) ([]GrantablePermission, error) {
	db := s.read.WithContext(ctx)
	if err := db.Select("id").Where("id = ?", userID).Take(&User{}).Error; err != nil {
		return nil, wrap(err, "user")
	}
	permissions := []GrantablePermission{}
	err := db.Table("permissions p").Select("p.id, p.name, p.description, u.user_id IS NOT NULL AS enabled").
		Joins("LEFT JOIN user_permissions u ON u.permission_id = p.id AND u.user_id = ?", userID).Order("p.id").Scan(&permissions).Error
	return permissions, err
}

// completeUsers fills in users' permissions.
func completeUsers(db *gorm.DB, users ...*User) error {
	byID := make(map[string]*User, len(users))
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i], byID[u.ID] = u.ID, u
		u.Permissions = PermissionSet{}
	}
	var rows []userPermission
	err := db.Where("user_id IN ?", ids).Find(&rows).Error
	for _, r := range rows {
		byID[r.UserID].Permissions[r.PermissionID] = true
	}
	return err
}
