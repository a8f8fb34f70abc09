package rpc

import (
	"context"
	"reflect"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
)

// Call is one call under way: who makes it, and through which door.
type Call struct {
	caller   *caller // nil for nobody
	changeID string
	door     Door
}

// Door is what a method may know of, and do to, the transport that a call came in by.
type Door struct {
	Address string // of the client
	Agent   string // User-Agent of the client
	// SignedIn and SignedOut let the transport keep the session for the client (a cookie). A door without SignedIn
	// does not sign in.
	SignedIn  func(session models.Secret, expires models.Time)
	SignedOut func()
}

// caller is an identity and what is made of it once, for the method that is asked most.
type caller struct {
	*models.Identity
	session []byte // the answer of /v1/session/read
}

func newCaller(id *models.Identity) *caller {
	if id == nil {
		return nil
	}
	session, _ := json.Marshal(SessionInfo{
		User: UserRef{id.UserID, id.Username}, Credential: id.Credential, Permissions: id.Permissions,
	})
	return &caller{id, session}
}

func (c *Call) actor() models.Actor {
	return models.Actor{Identity: c.caller.Identity, ChangeID: c.changeID}
}

// access says who may call a method.
type access string

const (
	anybody       access = "anybody"
	authenticated access = "any session or token"
	ownTokens     access = "a session, or a token that holds tokens:manage"
	ownSession    access = "a session"
	sessions      access = "a session, or a token that holds admin"
	administrator access = "a session or token that holds admin"
)

// allow refuses a caller who may not call a method. Methods that grant or administer decide again inside their transaction.
func (a access) allow(c *caller) error {
	switch {
	case a == anybody:
		return nil
	case c == nil:
		return models.ErrUnauthorized
	case a == authenticated:
		return nil
	case a == administrator:
		return require(c, models.PermissionAdmin)
	case c.Credential.Kind == models.KindSession:
		return nil
	case a == ownTokens:
		return require(c, models.PermissionManage)
	case a == sessions:
		return require(c, models.PermissionAdmin)
	}
	return &models.Error{Code: models.Forbidden, Message: "only a session can do this, not an API token"}
}

func require(c *caller, permission string) error {
	if !c.Has(permission) {
		return models.MissingPermission(permission)
	}
	return nil
}

// method is an entry of the method table, from which calls are dispatched and the OpenRPC document is made.
type method struct {
	name    string
	summary string
	access  access
	fast    bool // answers from memory at once: may run on the goroutine that reads the connection
	params  []param
	result  reflect.Type
	call    func(ctx context.Context, c *Call, params []byte) ([]byte, error)
	metrics methodMetrics
}

// define makes a method of a function from a struct of params to a result.
func define[P, R any](name string, who access, summary string, f func(ctx context.Context, c *Call, p P) (R, error)) *method {
	m := &method{name: name, summary: summary, access: who, params: paramsOf(reflect.TypeFor[P]()), result: reflect.TypeFor[R]()}
	m.call = func(ctx context.Context, c *Call, raw []byte) ([]byte, error) {
		var p P
		if err := decodeParams(raw, m.params, reflect.ValueOf(&p)); err != nil {
			return nil, err
		}
		result, err := f(ctx, c, p)
		if err != nil {
			return nil, err
		}
		return json.Marshal(result)
	}
	return m
}

// defineFast makes a method without params that answers from memory with what f returns, the JSON of an R.
func defineFast[R any](name string, who access, summary string, f func(c *Call) []byte) *method {
	m := &method{name: name, summary: summary, access: who, result: reflect.TypeFor[R](), fast: true}
	m.call = func(_ context.Context, c *Call, raw []byte) ([]byte, error) {
		if raw != nil {
			if err := decodeParams(raw, nil, reflect.Value{}); err != nil {
				return nil, err
			}
		}
		return f(c), nil
	}
	return m
}
