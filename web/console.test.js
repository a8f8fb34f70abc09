// What the console knows of methods, frames and JSON. node --test web/console.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameLog, passes, pretty } from "./page/frame-log.js";
import { JsonProblem, parseJson } from "./page/json-text.js";
import { addressOf, groupsOf, isForAnybody, isPostOnly, lacking, methodAt, paramsSchema, toNames, toPositions } from "./page/methods.js";
import { redacted, withoutSecrets } from "./page/redact.js";
import { Seen } from "./page/seen.js";

const param = (name, required = false, schema = { type: "string" }) => ({ name, required, schema });
const SECRET = { type: "string", format: "password", writeOnly: true };
const CREATE = { name: "/v1/api-tokens/create", summary: "Creates an API token.", "x-access": { session: [], token: ["tokens:manage"] }, params: [param("name", true), param("options")] };
const SIGN_IN = { name: "/v1/session/sign-in", summary: "Signs in.", "x-post-only": true, "x-access": { nobody: [], session: [], token: [] }, params: [param("username", true), param("password", true, SECRET)] };
const DISCOVER = { name: "rpc.discover", "x-access": { nobody: [] }, params: [] };
const METHODS = [CREATE, SIGN_IN, DISCOVER];

test("methods in groups, as far as they have what is looked for", () => {
  const found = (search) => [...groupsOf(METHODS, search)].map(([group, methods]) => [group, methods.length]);
  assert.deepEqual(found(""), [["/v1/api-tokens/", 1], ["/v1/session/", 1], ["rpc.", 1]]);
  assert.deepEqual(found("CREATES token"), [["/v1/api-tokens/", 1]]);
  assert.deepEqual(found("password"), [["/v1/session/", 1]]);
  assert.deepEqual(found("nothing"), []);
});

test("each method has an address", () => {
  assert.equal(addressOf(CREATE), "#/console/v1/api-tokens/create");
  for (const method of METHODS) assert.equal(methodAt(METHODS, addressOf(method)), method);
  for (const hash of ["", "#/console", "#/console/", "#/console/v1", "#/console/%"]) assert.equal(methodAt(METHODS, hash), undefined, hash);
  assert.deepEqual(METHODS.map(isPostOnly), [false, true, false]);
  assert.deepEqual(METHODS.map(isForAnybody), [false, true, true]);
  const ADMIN = { ...CREATE, "x-access": { session: ["admin"], token: ["admin"] } };
  assert.deepEqual([lacking(CREATE, () => false), lacking(ADMIN, () => false), lacking(ADMIN, (id) => id === "admin"), lacking({ name: "a", params: [] }, () => false)], [[], ["admin"], [], []]);
});

test("params by name and by position", () => {
  assert.deepEqual(toPositions(CREATE, { name: "a" }), ["a"]);
  assert.deepEqual(toPositions(CREATE, {}), []);
  assert.deepEqual(toPositions(CREATE, { options: {} }), [null, {}]);
  assert.throws(() => toPositions(CREATE, { foo: 1 }), /“foo”/);
  assert.deepEqual(toNames(CREATE, ["a", null]), { name: "a" });
  assert.deepEqual(toNames(CREATE, [null, 1]), { name: null, options: 1 });
  assert.throws(() => toNames(CREATE, [1, 2, 3]), /3 params, of 2/);
  assert.deepEqual(paramsSchema(CREATE).required, ["name"]);
});

test("JSON that is wrong says where", () => {
  for (const [text, line, column, wanted] of [
    ["", 1, 1, "a value"], ["{", 1, 2, "a name in double quotes"], ['{"a":1,}', 1, 8, "a name in double quotes"], ['{"a" 1}', 1, 6, "“:”"], ['{\n  "a": 1\n  "b": 2\n}', 3, 3, "“,” or “}”"],
    ["[1 2]", 1, 4, "“,” or “]”"], ["[1,]", 1, 4, "a value"], ["01", 1, 1, "a value"], ["tru", 1, 1, "a value"], ["{} x", 1, 4, "the end"], ['"a', 1, 3, "a closing “\"”"], ['"\\x"', 1, 2, "a known escape"],
    ["'a'", 1, 1, "a value"], ["[-]", 1, 2, "a value"],
  ]) {
    assert.throws(() => parseJson(text), (error) => {
      assert(error instanceof JsonProblem, text);
      assert.deepEqual([error.line, error.column], [line, column], text);
      assert(error.message.includes(wanted), error.message);
      return true;
    });
  }
  assert.deepEqual(parseJson(' {"a": [1e3, "\\u00fc", null, true], "b": {}} '), { a: [1e3, "ü", null, true], b: {} });
});

const TOKEN = `twt_0VbmsOmWu68ts4BRKkAD_${"a".repeat(43)}_abcDEF`;
const hide = (name, params) => withoutSecrets(params, METHODS.find((method) => method.name === name), {});

test("frames show no secrets", () => {
  assert.equal(redacted(`{"result":{"token":"${TOKEN}"}}`, hide), '{"result":{"token":"twt_0VbmsOmWu68ts4BRKkAD_…"}}');
  assert.equal(redacted(`no JSON ${TOKEN.replace("twt", "tws")}`, hide), "no JSON tws_0VbmsOmWu68ts4BRKkAD_…");
  const request = (params) => JSON.stringify({ jsonrpc: "2.0", id: 1, method: SIGN_IN.name, params });
  assert.equal(redacted(request(["me", "pass"]), hide), request(["me", "…"]));
  assert.equal(redacted(request({ username: "me", password: "pass" }), hide), request({ username: "me", password: "…" }));
  assert.equal(redacted(`[${request(["me", "pass"])}]`, hide), `[${request(["me", "…"])}]`);
  const doc = { components: { schemas: { Options: { type: "object", properties: { key: { allOf: [SECRET], description: "mine" }, name: { type: "string" } } } } } };
  const nested = { name: "a", params: [param("all", true, { type: "array", items: { $ref: "#/components/schemas/Options" } }), param("map", false, { type: "object", additionalProperties: SECRET })] };
  assert.deepEqual(withoutSecrets([[{ key: "x", name: "y", other: 1 }, null], { a: "x", b: null }, "more"], nested, doc), [[{ key: "…", name: "y", other: 1 }, null], { a: "…", b: null }, "more"]);
  assert.deepEqual(withoutSecrets({ all: [{ key: { in: "it" } }], map: "no map" }, nested, doc), { all: [{ key: "…" }], map: "no map" });
  for (const text of ['{ "id":1, "result":{"current":true, "prefix":"twt_0VbmsOmWu68ts4BRKkAD"} }', "{"]) assert.equal(redacted(text, hide), text, "as it was");
});

test("an answer has the method and the time of its request", () => {
  const log = new FrameLog();
  const add = (direction, message, at) => log.add({ direction, text: JSON.stringify(message), time: 0 }, at);
  add("sent", { id: 1, method: "a", params: [] }, 10);
  const pushed = add("received", { method: "b", params: {} }, 11);
  const answer = add("received", { id: 1, result: "ü" }, 12.5);
  assert.deepEqual([pushed.what, answer.what, answer.method, answer.ms, answer.bytes], ["notification", "answer", "a", 2.5, 22]);
  assert.deepEqual([add("received", { id: 1, error: { code: 404 } }, 13).ms, log.entries.at(-1).what], [undefined, "error 404"]);
  assert.equal(log.add({ direction: "received", text: "{", time: 0 }, 0).what, "not JSON");
  assert.equal(add("received", [{}, {}], 0).what, "batch of 2");
  assert(passes(answer, answer.text, "A ü") && passes(answer, answer.text, "") && !passes(answer, answer.text, "sent"));
  assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(pretty("{"), "{");
});

test("the log of frames is bounded", () => {
  const log = new FrameLog();
  for (let i = 0; i < 600; i++) log.add({ direction: "sent", text: `{"id":${i},"method":"a"}`, time: 0 }, i);
  assert.deepEqual([log.entries.length, log.entries[0].number, log.count], [500, 100, 600]);
  assert.equal(log.add({ direction: "received", text: '{"id":0}', time: 0 }, 0).ms, undefined, "so is what is waited for");
  log.clear();
  assert.deepEqual([log.entries, log.count], [[], 601]);
});

test("notifications are counted, for one user", () => {
  const seen = new Seen();
  let hear;
  seen.follow({ on: (_, fn) => (hear = fn) });
  hear("/v1/session/ready", { user: { id: "u1" } });
  hear("a", { n: 1 });
  hear("a", { n: 2 });
  hear("/v1/session/ready", { user: { id: "u1" } });
  assert.deepEqual([seen.byName.get("a").count, seen.byName.get("a").params, seen.byName.get("/v1/session/ready").count], [2, { n: 2 }, 2]);
  hear("/v1/session/ready", { user: { id: "u2" } });
  assert.deepEqual([...seen.byName.keys()], ["/v1/session/ready"]);
});

test("the same call as curl and as JavaScript, with params by position or by name, and no credential of the page's", async () => {
  /** @type {any} */ (globalThis).location = new URL("http://tokenwire.test/#/console");
  const { curlOf, fetchOf, javaScriptOf } = await import("./page/snippets.js");
  assert.equal(curlOf("/v1/a", ["it's"]), `curl -s -H "Authorization: Bearer $TOKENWIRE_TOKEN" -d '["it'\\''s"]' http://tokenwire.test/api/v1/a`);
  assert.equal(curlOf("rpc.discover", {}, null), 'curl -s -d \'{"jsonrpc":"2.0","id":1,"method":"rpc.discover","params":{}}\' http://tokenwire.test/api', "it has no door of its own");
  assert.equal(curlOf("/v1/a", [], "twt_1"), "curl -s -H 'Authorization: Bearer twt_1' -d '' http://tokenwire.test/api/v1/a");
  assert.equal(javaScriptOf("/v1/a", { name: "x" }).split("\n").at(-2), 'console.log(await api.callNamed("/v1/a", {"name":"x"}));');
  assert.equal(javaScriptOf("/v1/a", ["x", 1]).split("\n").at(-2), 'console.log(await api.call("/v1/a", "x", 1));');
  assert(javaScriptOf("/v1/a", []).includes('new Api("ws://tokenwire.test/api", { token: "twt_…" })'));
  assert(fetchOf("/v1/a", ["x"]).includes('fetch("http://tokenwire.test/api/v1/a", {\n  method: "POST", body: JSON.stringify(["x"])'));
  assert(fetchOf("rpc.discover", []).includes('fetch("http://tokenwire.test/api", {'));
});
