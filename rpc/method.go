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
	needs    string          // the permission that the method takes of this caller
	patient  context.Context // ends with the caller; nil where the call's own does
}

// patience returns a context for waiting for others when the call's own work is done: it ends with the caller, and not
// when a call should be over.
func (c *Call) patience(ctx context.Context) context.Context {
	if c.patient != nil {
		return c.patient
	}
	return ctx
}

// Door is what a method may know of, and do to, the transport that a call came in by.
type Door struct {
	Address string // of the client
	Agent   string // User-Agent of the client
	// SignedIn and SignedOut let the transport keep the session for the client (a cookie). A door without SignedIn
	// does not sign in.
	SignedIn  func(session models.Secret, expires models.Time)
	SignedOut func()
	// Refused is why nobody is behind the call, where the transport knows more than that there is no good credential.
	Refused error
	// Identify says who calls now, for the later calls of a batch. A connection has its own way.
	Identify func(ctx context.Context) (*models.Identity, error)

	conn *Conn // nil for a door without connections
}

// caller is an identity and what is made of it once, for the method that is asked most and for every event.
type caller struct {
	*models.Identity
	session []byte // the answer of /v1/session/read
	only    string // the token that it may hear of where it may not hear of all its user's
	quick   bool   // it may ask about tokens, as it holds tokens:verify
}

func newCaller(id *models.Identity) *caller {
	if id == nil {
		return nil
	}
	session, _ := json.Marshal(SessionInfo{
		User: UserRef{id.UserID, id.Username}, Credential: id.Credential, Permissions: id.Permissions,
	})
	return &caller{id, session, id.OnlyToken(), id.Has(models.PermissionVerify)}
}

func (c *Call) actor() models.Actor {
	return models.Actor{Identity: c.caller.Identity, ChangeID: c.changeID, Needs: c.needs}
}

// access says who may call a method.
type access string

const (
	anybody       access = "anybody"
	authenticated access = "any session or token"
	ownTokens     access = "a session, or a token that holds tokens:manage"
	ownSession    access = "a session"
	sessions      access = "a session, or a token that holds admin"
	verifier      access = "a session or token that holds tokens:verify"
	administrator access = "a session or token that holds admin"
)

// needs returns the permission that a caller must hold, or "".
func (a access) needs(c *caller) string {
	token := c != nil && c.Credential.Kind == models.KindToken
	switch {
	case a == administrator, a == sessions && token:
		return models.PermissionAdmin
	case a == verifier:
		return models.PermissionVerify
	case a == ownTokens && token:
		return models.PermissionManage
	}
	return ""
}

// allow refuses a caller who may not call a method. What changes something decides again inside its transaction.
func (a access) allow(c *caller, needs string) error {
	switch {
	case a == anybody:
		return nil
	case c == nil:
		return models.ErrUnauthorized
	case a == ownSession && c.Credential.Kind != models.KindSession:
		return &models.Error{Code: models.Forbidden, Message: "only a session can do this, not an API token"}
	case needs != "":
		return require(c, needs)
	}
	return nil
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
	fast    bool                                                                // answers from memory at once: may run on the goroutine that reads the connection
	quick   func(c *caller, door *Door, params []byte) (result []byte, ok bool) // answers from memory if it can; nil where it never can
	scans   bool                                                                // goes through many rows: a user has few of these under way
	anyway  bool                                                                // see always
	post    bool                                                                // is called by POST only: a connection has no way to set the cookie
	params  []param
	result  reflect.Type
	call    func(ctx context.Context, c *Call, params []byte) ([]byte, error)
	errors  map[int64]string // what it may be refused for beside what follows from access and params
	metrics methodMetrics
}

// or adds an error that the method may answer with, for the OpenRPC document.
func (m *method) or(code int64, meaning string) *method {
	if m.errors == nil {
		m.errors = map[int64]string{}
	}
	m.errors[code] = meaning
	return m
}

// fromMemory makes it a method that never waits, so that it may run on the goroutine that reads the connection.
func (m *method) fromMemory() *method {
	m.fast = true
	return m
}

// evenBehind makes it a method that works on a connection also where this node cannot tell what has become of the caller: it gives
// nothing away.
func (m *method) evenBehind() *method {
	m.anyway = true
	return m
}

// always reports whether it does not matter what has become of the caller since this node last knew.
func (m *method) always() bool { return m.anyway || m.access == anybody }

// inTurn makes it a method that goes through many rows of the database.
func (m *method) inTurn() *method {
	m.scans = true
	return m
}

// byPost makes it a method that only the doors which take a POST have.
func (m *method) byPost() *method {
	m.post = true
	return m.or(CodeForbidden, "it takes a POST")
}

// callers returns who may call: of each kind of caller ("nobody" is one without a credential) the permissions that he must
// effectively hold, for the OpenRPC document. It asks the functions that decide.
func (a access) callers() map[string][]string {
	out := map[string][]string{}
	for kind, c := range map[string]*caller{
		"nobody":           nil,
		models.KindSession: {Identity: &models.Identity{Credential: models.Credential{Kind: models.KindSession}}},
		models.KindToken:   {Identity: &models.Identity{Credential: models.Credential{Kind: models.KindToken}}},
	} {
		if a.allow(c, "") != nil {
			continue
		}
		out[kind] = []string{}
		if permission := a.needs(c); permission != "" {
			out[kind] = []string{permission}
		}
	}
	return out
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
