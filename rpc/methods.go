package rpc

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tokenwire/tokenwire/models"
)

// table returns every method. It is the one place that names them: calls are dispatched from it and the OpenRPC document
// is made from it.
func (s *Service) table() []*method {
	return append(s.verifierMethods(), []*method{
		define("/v1/api-tokens/count", ownTokens, "Counts the caller's tokens: enabled, disabled and expired ones.", s.countTokens).inTurn(),
		define("/v1/api-tokens/create", ownTokens, "Creates an API token. The answer has its secret, the only time that it is shown.", s.createToken).
			or(CodeConflict, limitReached).or(CodeForbidden, beyondItself),
		define("/v1/api-tokens/delete", ownTokens, "Deletes a token for good.", s.deleteToken),
		define("/v1/api-tokens/get-connections", ownTokens, "Tells how many connections a token holds open on the server process that is asked.", s.getTokenConnections),
		define("/v1/api-tokens/get-permissions", ownTokens, "Lists every permission that the owner holds, and whether the token has it.", s.getTokenPermissions).inTurn(),
		define("/v1/api-tokens/read", ownTokens, "Reads the caller's tokens, a page at a time.", s.readTokens).inTurn().or(CodeNotFound, noSuchRow),
		define("/v1/api-tokens/rotate", ownTokens, "Gives a token a new secret. The answer has it, the only time that it is shown.", s.rotateToken).or(CodeConflict, otherVersion).or(CodeForbidden, beyondItself),
		define("/v1/api-tokens/set-enabled", ownTokens, "Switches a token on or off.", s.setTokenEnabled).or(CodeConflict, otherVersion).or(CodeForbidden, beyondItself),
		define("/v1/api-tokens/set-permissions", ownTokens, "Replaces a token's permissions.", s.setTokenPermissions).or(CodeConflict, otherVersion).or(CodeForbidden, beyondItself),
		define("/v1/api-tokens/update", ownTokens, "Changes a token's name, its end, where it is good from, and its rate limit.", s.updateToken).or(CodeConflict, otherVersion).or(CodeForbidden, beyondItself),
		define("/v1/api-tokens/update-permissions", ownTokens, "Sets the permissions that are given and leaves the rest.", s.updateTokenPermissions).or(CodeConflict, otherVersion).or(CodeForbidden, beyondItself),
		define("/v1/api-tokens/usage", ownTokens, "Tells how often a token was used, by the hour.", s.readUsage).inTurn(),

		define("/v1/events/count", authenticated, "Counts the changes of the caller's own feed by the hour.", s.countEvents).inTurn(),
		define("/v1/events/read", authenticated, "Reads the caller's own feed backwards, as far as it is kept.", s.readEvents).inTurn().or(CodeGone, "events as old as after are no longer kept"),

		define("/v1/leaks/report", anybody, "Ends a token or session that was found where it should not be, and tells the token's owner. The answer is the same for any text.", s.reportLeak).
			byPost().
			or(CodeTooManyRequests, tooManyAttempts),

		define("/v1/permissions/create", administrator, "Adds a permission to the catalogue and gives it to the caller's user.", s.createPermission).
			or(CodeConflict, "it is there already (data.permission), or the catalogue is full"),
		define("/v1/permissions/delete", administrator, "Takes a permission from the catalogue and from everybody who has it.", s.deletePermission).
			or(CodeNotFound, noSuchPermission).
			or(CodeConflict, "it is built in; data.permission names it"),
		define("/v1/permissions/get-holders", administrator, "Lists the users who hold a permission and the tokens that were given it, a page at a time.", s.getHolders).inTurn().or(CodeNotFound, noSuchPermission),
		define("/v1/permissions/read", authenticated, "Reads the permission catalogue.", s.readPermissions).inTurn(),

		defineFast[SessionInfo]("/v1/session/read", authenticated, "Tells who is calling, with which effective permissions.", func(c *Call) []byte { return c.caller.session }),
		define("/v1/session/set-password", ownSession, "Changes one's password and ends one's other sessions.", s.setPassword).
			or(CodeConflict, "the password was changed meanwhile").
			or(CodeForbidden, "it takes a session, or the current password is wrong (data.param)").
			or(CodeTooManyRequests, tooManyAttempts),
		define("/v1/session/sign-in", anybody, "Signs in. Over POST only, where a cookie can be set.", s.signIn).
			byPost().
			or(CodeUnauthorized, "wrong username or password").
			or(CodeTooManyRequests, tooManyAttempts),
		define("/v1/session/sign-out", ownSession, "Ends the session that calls.", s.signOut).or(CodeForbidden, "it takes a session"),
		define("/v1/sessions/delete", sessions, "Ends a session; another user's needs the permission admin.", s.deleteSession),
		define("/v1/sessions/read", sessions, "Reads one's sessions; another user's need the permission admin.", s.readSessions).inTurn(),

		define("/v1/users/create", administrator, "Creates a user.", s.createUser).or(CodeConflict, "the username is taken; data.username names it"),
		define("/v1/users/delete", administrator, "Deletes a user and all that is his.", s.deleteUser).or(CodeConflict, lastAdministrator),
		define("/v1/users/get-permissions", administrator, "Lists the catalogue, and whether the user holds each permission.", s.getUserPermissions).inTurn(),
		define("/v1/users/read", administrator, "Reads users, a page at a time.", s.readUsers).inTurn().or(CodeNotFound, noSuchRow),
		define("/v1/users/set-enabled", administrator, "Switches a user on or off. Off, none of his credentials is good.", s.setUserEnabled).or(CodeConflict, lastAdministrator),
		define("/v1/users/set-password", administrator, "Sets a user's password and ends his sessions.", s.setUserPassword),
		define("/v1/users/set-permissions", administrator, "Replaces a user's permissions.", s.setUserPermissions).or(CodeConflict, lastAdministrator),
		define("/v1/users/update-permissions", administrator, "Sets the permissions that are given and leaves the rest.", s.updateUserPermissions).or(CodeConflict, lastAdministrator),

		defineFast[jsontext.Value]("rpc.discover", anybody, "Returns the OpenRPC document of this service.", func(*Call) []byte { return s.openrpc }),
	}...)
}

// verifierMethods returns those of verifiers.
func (s *Service) verifierMethods() []*method {
	return []*method{
		define("/v1/verifier/beat", verifier, "Renews the lease under which a verifier may answer from what it holds; the first one begins it. On a WebSocket only.", s.beat).
			evenBehind().
			or(CodeForbidden, onlyConnection),
		define("/v1/verifier/confirm", verifier, "Says that the verifier has let go of all that it was told of up to a number.", s.confirmChanged).
			fromMemory().evenBehind().or(CodeForbidden, onlyConnection),
		define("/v1/verifier/release", verifier, "Ends the lease at once: the verifier has let go of everything.", s.releaseLease).fromMemory().evenBehind(),
		define("/v1/verifier/report", verifier, "Counts what a verifier has answered for by itself.", s.reportUses),
		s.defineVerify("/v1/verifier/verify", "Tells whether a token is good, whose it is, and what it may do."),
	}
}

// What several methods may be refused for, in the words of the OpenRPC document.
const (
	limitReached      = "as many as one user may have; data.limit is how many"
	otherVersion      = "the token has another version by now; data.token is the token as it is"
	beyondItself      = "a permission is missing (data.permission), or an API token would give what goes beyond itself (data.param)"
	noSuchRow         = "options.id is not there, or not the caller's"
	noSuchPermission  = "there is no such permission"
	lastAdministrator = "the last enabled administrator stays"
	onlyConnection    = "tokens:verify is missing (data.permission), or it is not called over a WebSocket"
	tooManyAttempts   = "too many attempts; data.retryAfterMs says when to come again"
)

// Empty is the result of a method that has nothing to say: {}.
type Empty struct{}

// Params and results that are not the models' own.
type (
	// UserRef names a user.
	UserRef struct {
		ID       string `json:"id"`
		Username string `json:"username"`
	}
	// SessionInfo is the result of /v1/session/read.
	SessionInfo struct {
		User        UserRef              `json:"user"`
		Credential  models.Credential    `json:"credential"`
		Permissions models.PermissionSet `json:"permissions"`
	}
	// NewToken is a token with its secret.
	NewToken struct {
		*models.Token
		Secret string `json:"token" format:"password" doc:"the secret, twt_…; the only time it is shown"`
	}
	// SetPasswordParams are the params of /v1/session/set-password.
	SetPasswordParams struct {
		Current models.Secret `json:"current" doc:"the password as it is"`
		New     models.Secret `json:"new" doc:"8 to 256 characters"`
	}
	noParams    struct{}
	createToken struct {
		Name    string                    `json:"name" doc:"1 to 100 characters"`
		Options models.CreateTokenOptions `json:"options,omitzero" doc:"what it may do, until when, and from where"`
	}
	tokenID struct {
		TokenID string `json:"tokenId" doc:"the id of one of the caller's tokens"`
	}
	connectionsResult struct {
		Connections int `json:"connections" doc:"that it holds open now, on the server process that is asked"`
	}
	countTokens struct {
		Options models.CountOptions `json:"options,omitzero" doc:"which tokens"`
	}
	readTokens struct {
		Options models.TokensOptions `json:"options,omitzero" doc:"which tokens, in which order, and how many"`
	}
	setTokenEnabled struct {
		TokenID string               `json:"tokenId" doc:"the id of one of the caller's tokens"`
		Enabled bool                 `json:"enabled" doc:"true switches on, false off"`
		Options models.ChangeOptions `json:"options,omitzero" doc:"a condition on the token as it is"`
	}
	setTokenPermissions struct {
		TokenID     string               `json:"tokenId" doc:"the id of one of the caller's tokens"`
		Permissions models.Grants        `json:"permissions" doc:"which are given; the method says what becomes of the others"`
		Options     models.ChangeOptions `json:"options,omitzero" doc:"a condition on the token as it is"`
	}
	rotateToken struct {
		TokenID string               `json:"tokenId" doc:"the id of one of the caller's tokens"`
		Options models.RotateOptions `json:"options,omitzero" doc:"how long the old secret stays good, and a condition on the token as it is"`
	}
	updateToken struct {
		TokenID string              `json:"tokenId" doc:"the id of one of the caller's tokens"`
		Changes models.TokenChanges `json:"changes" doc:"what is to be different; what is left out stays, and null takes away"`
	}
	readEvents struct {
		Options models.EventsOptions `json:"options,omitzero" doc:"how many events, and before which"`
	}
	createPermission struct {
		ID      string                         `json:"id" doc:"1 to 64 of a-z 0-9 : . _ / -, beginning with a letter or digit"`
		Options models.CreatePermissionOptions `json:"options,omitzero" doc:"what people are shown"`
	}
	permissionID struct {
		ID string `json:"id" doc:"the id of a permission"`
	}
	getHolders struct {
		ID      string                `json:"id" doc:"the id of a permission"`
		Options models.HoldersOptions `json:"options,omitzero" doc:"how many holders, and after which"`
	}
	sessionID struct {
		SessionID string `json:"sessionId" doc:"the id of a session"`
	}
	readSessionsOptions struct {
		UserID *string `json:"userId,omitzero" doc:"whose; one's own by default"`
	}
	readSessions struct {
		Options readSessionsOptions `json:"options,omitzero" doc:"whose sessions"`
	}
	sessionsResult struct {
		Sessions []*models.Session `json:"sessions"`
	}
	createUser struct {
		Username string                   `json:"username" doc:"1 to 64 of a-z 0-9 . _ @ + -, beginning with a letter or digit"`
		Options  models.CreateUserOptions `json:"options,omitzero" doc:"how he signs in, and what he may do"`
	}
	userID struct {
		UserID string `json:"userId" doc:"the id of a user"`
	}
	readUsers struct {
		Options models.UsersOptions `json:"options,omitzero" doc:"which users, in which order, and how many"`
	}
	setUserEnabled struct {
		UserID  string `json:"userId" doc:"the id of a user"`
		Enabled bool   `json:"enabled" doc:"true switches on, false off"`
	}
	setUserPassword struct {
		UserID   string        `json:"userId" doc:"the id of a user"`
		Password models.Secret `json:"password" doc:"8 to 256 characters"`
	}
	setUserPermissions struct {
		UserID      string        `json:"userId" doc:"the id of a user"`
		Permissions models.Grants `json:"permissions" doc:"which are given; the method says what becomes of the others"`
	}
)

func (s *Service) countTokens(ctx context.Context, c *Call, p countTokens) (models.TokenCount, error) {
	return s.store.CountTokens(ctx, c.caller.Identity, p.Options)
}

func (s *Service) createToken(ctx context.Context, c *Call, p createToken) (NewToken, error) {
	token, secret, err := s.store.CreateToken(ctx, c.actor(), p.Name, p.Options)
	return NewToken{token, secret.Reveal()}, err
}

func (s *Service) getTokenConnections(ctx context.Context, c *Call, p tokenID) (connectionsResult, error) {
	if err := s.store.CheckToken(ctx, c.caller.Identity, p.TokenID); err != nil {
		return connectionsResult{}, err
	}
	return connectionsResult{s.hub.connections(c.caller.UserID, models.Credential{Kind: models.KindToken, ID: p.TokenID})}, nil
}

func (s *Service) getTokenPermissions(ctx context.Context, c *Call, p tokenID) ([]models.GrantablePermission, error) {
	return s.store.GetTokenPermissions(ctx, c.caller.Identity, p.TokenID)
}

func (s *Service) readTokens(ctx context.Context, c *Call, p readTokens) (models.Tokens, error) {
	return s.store.ReadTokens(ctx, c.caller.Identity, p.Options)
}

func (s *Service) countEvents(ctx context.Context, c *Call, _ noParams) (models.EventCount, error) {
	return s.store.CountEvents(ctx, c.caller.Identity)
}

func (s *Service) readEvents(ctx context.Context, c *Call, p readEvents) (models.Events, error) {
	return s.store.ReadEvents(ctx, c.caller.Identity, p.Options)
}

func (s *Service) createPermission(ctx context.Context, c *Call, p createPermission) (*models.Permission, error) {
	return s.store.CreatePermission(ctx, c.actor(), p.ID, p.Options)
}

func (s *Service) getHolders(ctx context.Context, _ *Call, p getHolders) (models.Holders, error) {
	return s.store.GetHolders(ctx, p.ID, p.Options)
}

func (s *Service) readPermissions(ctx context.Context, _ *Call, _ noParams) ([]models.Permission, error) {
	return s.store.ReadPermissions(ctx)
}

func (s *Service) signOut(ctx context.Context, c *Call, _ noParams) (Empty, error) {
	err := s.store.SignOut(ctx, c.actor())
	if err == nil && c.door.SignedOut != nil {
		c.door.SignedOut()
	}
	return Empty{}, err
}

func (s *Service) deleteSession(ctx context.Context, c *Call, p sessionID) (Empty, error) {
	return Empty{}, s.store.DeleteSession(ctx, c.actor(), p.SessionID)
}

func (s *Service) readSessions(ctx context.Context, c *Call, p readSessions) (sessionsResult, error) {
	userID := c.caller.UserID
	if p.Options.UserID != nil && *p.Options.UserID != userID {
		if err := require(c.caller, models.PermissionAdmin); err != nil {
			return sessionsResult{}, err
		}
		userID = *p.Options.UserID
	}
	sessions, err := s.store.ReadSessions(ctx, c.caller.Identity, userID)
	return sessionsResult{sessions}, err
}

func (s *Service) createUser(ctx context.Context, c *Call, p createUser) (*models.User, error) {
	return s.store.CreateUser(ctx, c.actor(), p.Username, p.Options)
}

func (s *Service) getUserPermissions(ctx context.Context, _ *Call, p userID) ([]models.GrantablePermission, error) {
	return s.store.GetUserPermissions(ctx, p.UserID)
}

func (s *Service) readUsers(ctx context.Context, _ *Call, p readUsers) (models.Users, error) {
	return s.store.ReadUsers(ctx, p.Options)
}

func (s *Service) setUserPassword(ctx context.Context, c *Call, p setUserPassword) (Empty, error) {
	return Empty{}, s.store.SetUserPassword(ctx, c.actor(), p.UserID, p.Password)
}
