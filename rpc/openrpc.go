package rpc

import (
	"maps"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
)

// notification describes what is pushed.
type notification struct {
	name, summary string
	params        reflect.Type // of an event its own ones
}

// eventParams are what the params of every event have beside their own.
type eventParams struct {
	Position models.Position `json:"position"`
	Time     models.Time     `json:"time"`
	By       *models.By      `json:"by" doc:"who made the change, or null where it was nobody"`
}

// notifications lists what is pushed, for the OpenRPC document (as x-notifications, for which OpenRPC 1.3 has no place).
var notifications = []notification{
	{models.TokenCreated, "A token of one's own was created.", reflect.TypeFor[models.TokenCreatedParams]()},
	{models.TokenUpdated, "A token of one's own was changed in what the others do not tell of: its name, its end, where it is good from, its rate limit, its secret.", reflect.TypeFor[models.TokenUpdatedParams]()},
	{models.TokenDeleted, "A token of one's own was deleted.", reflect.TypeFor[models.TokenDeletedParams]()},
	{models.TokenEnabledChanged, "A token of one's own was switched on or off.", reflect.TypeFor[models.TokenEnabledChangedParams]()},
	{models.TokenPermissionsChanged, "What a token of one's own was given, or effectively has, changed.", reflect.TypeFor[models.TokenPermissionsChangedParams]()},
	{models.TokenExpiring, "A token of one's own will expire: 30, 7 and 1 days before it does, and of those that are past at once only the last.", reflect.TypeFor[models.TokenExpiringParams]()},
	{models.TokenExpired, "A token of one's own has expired.", reflect.TypeFor[models.TokenExpiredParams]()},
	{models.TokenLeaked, "Somebody has found a token of one's own where it should not be, and reported it. It is switched off.", reflect.TypeFor[models.TokenLeakedParams]()},
	{models.SessionPermissionsChanged, "The effective permissions of this connection changed.", reflect.TypeFor[models.SessionPermissionsChangedParams]()},
	{methodChanged, "Of these tokens nothing that the verifier holds is sure to be so any more: let go of it, then confirm. Told to the connections that hold it.", reflect.TypeFor[changedParams]()},
	{methodEnded, "The credential has ended; the connection is about to be closed with 4401.", reflect.TypeFor[endedParams]()},
	{methodReady, "The connection is ready: always the first message.", reflect.TypeFor[readyParams]()},
	{methodHeartbeat, "The connection lives; every 15 s.", reflect.TypeFor[heartbeatParams]()},
}

// openRPC makes the OpenRPC 1.3 document (spec.open-rpc.org) from the method table.
func openRPC(table []*method, version string) []byte {
	s := schemas{}
	var methods, pushed []any
	for _, m := range table {
		params := []any{}
		for _, p := range m.params {
			descriptor := map[string]any{"name": p.name, "required": p.required, "schema": s.of(p.typ)}
			if p.doc != "" {
				descriptor["description"] = p.doc
			}
			params = append(params, descriptor)
		}
		described := map[string]any{
			"name": m.name, "summary": m.summary, "description": "Callable by " + string(m.access) + ".", "x-access": m.access.callers(),
			"paramStructure": "either", "params": params, "errors": errorsOf(m),
			"result": map[string]any{"name": "result", "schema": s.ofResult(m.result)},
		}
		if m.post {
			described["x-post-only"] = true
		}
		methods = append(methods, described)
	}
	for _, n := range notifications {
		pushed = append(pushed, map[string]any{"name": n.name, "summary": n.summary, "params": s.ofParams(n)})
	}
	document, err := json.Marshal(map[string]any{
		"openrpc": "1.3.2",
		"info": map[string]any{
			"title": "Tokenwire", "version": version,
			"description": "Users' API tokens over JSON-RPC 2.0: on a WebSocket at /api, by POST to /api, and by POST of the params alone to /api<method>.",
		},
		"methods": methods, "x-notifications": pushed, "components": map[string]any{"schemas": s},
	}, json.Deterministic(true))
	if err != nil {
		panic(err) // the table is made at start and known to every test
	}
	return document
}

// ofParams adds to the own params of an event what all events have. The other notifications name their
// position themselves.
func (s schemas) ofParams(n notification) any {
	own := s.describe(n.params)
	properties := own["properties"].(map[string]any)
	if properties["position"] == nil && n.name != methodChanged {
		common := s.describe(reflect.TypeFor[eventParams]())
		maps.Copy(properties, common["properties"].(map[string]any))
		own["required"] = slices.Concat(common["required"].([]string), own["required"].([]string))
	}
	return own
}

func (s schemas) ofResult(t reflect.Type) any {
	if t == reflect.TypeFor[jsontext.Value]() {
		return map[string]any{"type": "object"}
	}
	return s.of(t)
}

// errorsOf lists the errors that a method can answer with, beside those of the envelope.
func errorsOf(m *method) []any {
	codes := map[int64]string{
		CodeUnavailable:            "the database is not available",
		jsonrpc2.CodeInternalError: "internal error; data.requestId is in the log",
		jsonrpc2.CodeInvalidParams: "a param is unknown, missing or wrong; data.param names it",
	}
	if !m.fast {
		codes[CodeCancelled] = "cancelled by $/cancelRequest; what was committed stands"
	}
	if m.access != anybody {
		codes[CodeUnauthorized] = "no valid credential"
	}
	if m.access != anybody && m.access != authenticated {
		codes[CodeForbidden] = "a permission is missing; data.permission names it"
	}
	for _, p := range m.params {
		if slices.Contains([]string{"tokenId", "userId", "sessionId"}, p.name) {
			codes[CodeNotFound] = "not there, or not the caller's"
		}
	}
	maps.Copy(codes, m.errors)
	out := []any{}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		out = append(out, map[string]any{"code": code, "message": codes[code]})
	}
	return out
}
