// client.js against a real server: server/client_test.go runs `node client.mjs <scenario>` for each of the scenarios at
// the end. What only the side of the server can do is asked for by a line on stdout, and answered by one on stdin.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Api, ApiError } from "../client.js";

const { TOKENWIRE_URL: url, TOKENWIRE_SESSION: session, TOKENWIRE_PASSWORD: password } = process.env;
const PATIENCE_MS = 20_000; // for what must come: far longer than it ever takes
const [CREATED, DELETED, ENABLED_CHANGED, PERMISSIONS_CHANGED] =
  ["created", "deleted", "enabled-changed", "permissions-changed"].map((what) => `/v1/api-tokens/${what}`);

const input = createInterface({ input: process.stdin });
const answers = input[Symbol.asyncIterator]();

/** Lets the server's side do something. */
async function ask(what) {
  console.log(`ask ${what}`);
  return (await answers.next()).value;
}

const clients = [], timers = [];

function open(options = {}, at = url) {
  const api = new Api(`${at}/api`, { token: session, timeout: PATIENCE_MS, ...options });
  clients.push(api);
  return api;
}

/** Resolves with what a listener is told next, if it passes. */
const told = (api, method, passes = () => true) => new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error(`no ${method} in ${PATIENCE_MS} ms`)), PATIENCE_MS);
  timers.push(late);
  const off = api.on(method, (params) => passes(params) && (off(), clearTimeout(late), resolve(params)));
});

const isState = (api, wanted) => told(api, "state", ({ state }) => state === wanted);

const isError = (code, check = () => {}) => (error) => {
  assert(error instanceof ApiError, String(error));
  assert.equal(error.code, code, error.message);
  check(error);
  return true;
};

const named = async (api, name) => (await api.call("/v1/api-tokens/read", { where: { name } })).tokens;

// ---- scenarios

async function calls() {
  const api = open();
  const ready = await api.connect();
  assert.deepEqual([ready.user.username, ready.reset, api.state], ["admin", false, "live"]);
  const token = await api.call("/v1/api-tokens/create", "ci");
  assert.deepEqual([token.name, token.enabled, token.permissions, token.version], ["ci", true, {}, 1]);
  assert(token.token.startsWith(token.prefix) && token.prefix.startsWith("twt_"));
  const { enabled, version } = await api.call("/v1/api-tokens/set-enabled", token.id, false);
  assert.deepEqual([enabled, version], [false, 2]);
  await api.call("/v1/api-tokens/set-permissions", token.id, { "tokens:verify": true });
  await api.callNamed("/v1/api-tokens/update-permissions", { tokenId: token.id, permissions: { admin: true } });
  const grants = await api.call("/v1/api-tokens/get-permissions", token.id);
  assert.deepEqual(grants.filter((grant) => grant.enabled).map(({ id }) => id), ["admin", "tokens:verify"]);
  const { tokens, next } = await api.callNamed("/v1/api-tokens/read", { options: { id: token.id } });
  assert.deepEqual([tokens.map(({ name }) => name), next], [["ci"], null]);
  assert.equal((await api.call("/v1/api-tokens/delete", token.id)).receipt.verifiers, 0);
  assert.equal((await api.call("rpc.discover")).openrpc.split(".")[0], "1");
  const all = await Promise.all(Array.from({ length: 200 }, () => api.call("/v1/session/read")));
  assert(all.every(({ user }) => user.username === "admin"), "more than may be under way at once");
}

async function tokenCredential() {
  const admin = open();
  const { token, id } = await admin.call("/v1/api-tokens/create", "manager", { permissions: { "tokens:manage": true } });
  const api = open({ token });
  assert.deepEqual((await api.connect()).permissions, { "tokens:manage": true });
  assert.deepEqual((await api.call("/v1/session/read")).credential, { kind: "token", id });
  assert.equal((await api.call("/v1/api-tokens/create", "by a token")).name, "by a token");
  await assert.rejects(api.call("/v1/api-tokens/create", "more", { permissions: { admin: true } }),
    isError(403, ({ data }) => assert(JSON.stringify(data).includes("admin"))));
}

async function errors() {
  const api = open();
  await assert.rejects(api.call("/v1/nothing"), isError(-32601, ({ method }) => assert.equal(method, "/v1/nothing")));
  await assert.rejects(api.call("/v1/api-tokens/create", 7), isError(-32602, ({ data }) => assert.equal(data.param, "name")));
  await assert.rejects(api.call("/v1/api-tokens/delete", "x"), isError(404));
  const { id } = await api.call("/v1/api-tokens/create", "stale");
  await assert.rejects(api.call("/v1/api-tokens/set-enabled", id, false, { version: 9 }),
    isError(409, ({ data }) => assert.equal(data.token.id, id)));
  const stranger = open({ token: "twt_nobody" });
  await assert.rejects(stranger.connect(), isError("ended"));
  assert.equal(stranger.state, "ended");
}

async function notifications() {
  const api = open();
  const order = [];
  api.on("*", (method) => order.push(method));
  const created = told(api, CREATED);
  const { token, ...shown } = await api.call("/v1/api-tokens/create", "watched", { permissions: { "tokens:manage": true } });
  order.push("reply");
  const first = await created;
  assert.deepEqual(first.token, shown);
  assert.equal(api.position, first.position);
  assert.deepEqual(order, ["/v1/session/ready", "reply", CREATED], "the reply to one's own change comes first");

  const own = open({ token });
  assert.equal((await told(own, "/v1/session/ready")).user.username, "admin");
  const changed = [told(api, PERMISSIONS_CHANGED), told(own, "/v1/session/permissions-changed")];
  await api.call("/v1/api-tokens/update-permissions", shown.id, { "tokens:verify": true });
  const both = { "tokens:manage": true, "tokens:verify": true };
  const [{ tokenId, permissions, effectivePermissions, version }, session] = await Promise.all(changed);
  assert.deepEqual([tokenId, permissions, effectivePermissions, version], [shown.id, both, Object.keys(both), 2]);
  assert.deepEqual(session.permissions, both);

  const off = [told(api, ENABLED_CHANGED), told(own, "/v1/session/ended"), isState(own, "ended")];
  await api.call("/v1/api-tokens/set-enabled", shown.id, false);
  const [switched, ended, state] = await Promise.all(off);
  assert.deepEqual([switched.tokenId, switched.enabled, switched.version], [shown.id, false, 3]);
  assert.deepEqual([ended.reason, state.reason], ["token-disabled", "token-disabled"]);
  const deleted = told(api, DELETED);
  await api.call("/v1/api-tokens/delete", shown.id);
  assert.equal((await deleted).tokenId, shown.id);
}

async function heartbeats() { // connections beat in turns: of so many, one is soon to
  const beats = Array.from({ length: 15 }, () => told(open(), "/v1/session/heartbeat"));
  for (const beat of beats) beat.catch(() => {}); // Promise.race hears of the first only
  assert.match((await Promise.race(beats)).position, /^\d+-/);
}

/** A socket that can lose what the server says. */
class Deaf extends WebSocket {
  static isDeaf = false;
  get onmessage() { return super.onmessage; }
  set onmessage(fn) { super.onmessage = (event) => Deaf.isDeaf || fn(event); }
}

async function restart() {
  const api = open({ WebSocket: Deaf });
  const heard = [], readies = [], names = new Map();
  const nameOf = ({ token, tokenId }) => names.get(tokenId) ?? (names.set(token.id, token.name), token.name);
  for (const method of [CREATED, DELETED, ENABLED_CHANGED]) {
    api.on(method, (params) => heard.push(`${method.split("/").pop()} ${nameOf(params)}`));
  }
  api.on("/v1/session/ready", ({ reset }) => readies.push(reset));
  api.on("reset", () => heard.push("reset"));
  await Promise.all([told(api, CREATED), api.call("/v1/api-tokens/create", "before")]);

  const witness = open();
  await witness.connect();
  const done = told(witness, CREATED);
  Deaf.isDeaf = true;
  const underWay = assert.rejects(api.call("/v1/api-tokens/create", "under way"),
    isError("connection-lost", ({ data }) => assert.equal(data.outcome, "unknown")));
  await done; // it took effect, and the answer and the notification are lost
  witness.close();
  const waiting = isState(api, "waiting");
  await ask("stop");
  await Promise.all([waiting, underWay]);
  Deaf.isDeaf = false;

  const queued = api.call("/v1/api-tokens/create", "queued");
  const other = open({}, await ask("elsewhere"));
  const one = await other.call("/v1/api-tokens/create", "one");
  const two = await other.call("/v1/api-tokens/create", "two");
  await other.call("/v1/api-tokens/set-enabled", one.id, false);
  await other.call("/v1/api-tokens/delete", two.id);
  other.close();
  const last = told(api, CREATED, ({ token }) => token.name === "last");
  await ask("start");
  assert.equal((await queued).name, "queued");
  await api.call("/v1/api-tokens/create", "last");
  await last;

  assert.deepEqual(heard, ["created before", "created under way", "created one", "created two", "enabled-changed one",
    "deleted two", "created queued", "created last"], "each once, in order");
  assert.deepEqual(readies, [false, false]);
  for (const name of ["under way", "queued"]) assert.equal((await named(api, name)).length, 1, `${name}: never sent twice`);
}

async function ends() {
  const admin = open();
  const { session: second } = await Api.signIn(`${url}/api`, "admin", password);
  const api = open({ token: second });
  await api.connect();
  const { credential } = await api.call("/v1/session/read");
  const ended = isState(api, "ended");
  await admin.call("/v1/sessions/delete", credential.id);
  assert.equal((await ended).reason, "session-deleted");
  await assert.rejects(api.call("/v1/session/read"), isError("ended", ({ data }) => assert.equal(data.outcome, "not-sent")));
  await assert.rejects(api.connect(), isError("ended"));
  await api.signIn("admin", password);
  assert.equal(api.state, "live");
  assert.notEqual((await api.call("/v1/session/read")).credential.id, credential.id);
}

/** A socket that tells what was sent. */
class Told extends WebSocket {
  static sent = [];
  send(text) {
    Told.sent.push(JSON.parse(text));
    super.send(text);
  }
}

async function abort() {
  const api = open({ WebSocket: Told });
  await api.connect();
  await ask("hold"); // no change can go on in the database
  const giveUp = new AbortController();
  const call = api.with({ signal: giveUp.signal }).call("/v1/api-tokens/create", "given up");
  const kept = api.call("/v1/api-tokens/create", "kept");
  await api.call("/v1/session/read"); // is read after the others and answered at once
  const reason = new Error("enough");
  giveUp.abort(reason);
  await assert.rejects(call, (error) => error === reason);
  await api.call("/v1/session/read");
  const { id } = Told.sent.find(({ params }) => params?.[0] === "given up");
  assert.deepEqual(Told.sent.filter(({ method }) => method === "$/cancelRequest").map(({ params }) => params), [{ id }]);
  await ask("release");
  assert.equal((await kept).name, "kept");
  assert.deepEqual(await named(api, "given up"), [], "the server has stopped working on it");
}

async function signIn() {
  const good = await Api.signIn(`${url.replace("http", "ws")}/api`, "admin", password);
  assert.match(good.session, /^tws_/);
  assert.equal(good.user.username, "admin");
  assert.equal((await open({ token: good.session }).connect()).user.id, good.user.id);
  const wrong = () => Api.signIn(`${url}/api`, "nobody", "wrong");
  for (let i = 0; i < 5; i++) await assert.rejects(wrong(), isError(401));
  await assert.rejects(wrong(), isError(429, ({ data }) => assert(data.retryAfterMs > 0)));
}

const scenarios = { calls, tokenCredential, errors, notifications, heartbeats, restart, ends, abort, signIn };
try {
  await scenarios[process.argv[2]]();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const api of clients) api.close();
  for (const timer of timers) clearTimeout(timer);
  input.close();
}
