// The client's promises, each in a test that fails without it. Timing is tested with mock timers and a socket class
// for tests (Wire); what a real WebSocket and fetch do, against a small server on node:http (Door).
// node --experimental-websocket --test web/client.test.js

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { test as nodeTest } from "node:test";
import { inspect } from "node:util";
import { Api, ApiError } from "./client.js";
import { Wire, outcome, turn } from "./testdata/wire.js";

const URL_WS = "ws://tokenwire.test/api";
const TOKEN = "twt_public_secret_sum";
const UPDATED = "/v1/api-tokens/updated";

const test = (name, fn) => nodeTest(name, { timeout: 5_000 }, fn);

/** A client that is closed with its test, however that ends. */
function make(t, url, options) {
  const api = new Api(url, options);
  t.after(() => api.close());
  return api;
}

// ---- a client on a Wire

/** @param {import("node:test").TestContext} t */
function start(t, options = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  Wire.all = [];
  const api = make(t, URL_WS, { token: TOKEN, WebSocket: Wire, ...options });
  const states = [];
  api.on("state", (change) => states.push(change));
  return { api, states };
}

async function startLive(t, options) {
  const all = start(t, options);
  await Wire.last.open();
  return { ...all, wire: Wire.last };
}

const rejection = (code, data) => (error) => {
  assert(error instanceof ApiError, String(error));
  assert.equal(error.code, code);
  if (data) assert.deepEqual(error.data, data);
  return true;
};

// ---- calls

test("call sends params by position, callNamed by name, and both resolve with the result", async (t) => {
  const { api, wire } = await startLive(t);
  const byPosition = api.call("/v1/api-tokens/create", "name", { by: "x" });
  const single = api.call("m", { by: "name" });
  const bare = api.call("/v1/session/read", undefined);
  const named = api.callNamed("/v1/api-tokens/create", { name: "n" });
  assert.deepEqual(wire.sent.map(({ method, params }) => [method, params]), [
    ["/v1/api-tokens/create", ["name", { by: "x" }]], ["m", [{ by: "name" }]], ["/v1/session/read", []],
    ["/v1/api-tokens/create", { name: "n" }],
  ]);
  assert.equal(new Set(wire.sent.map(({ id }) => id)).size, 4);
  assert(wire.sent.every(({ jsonrpc }) => jsonrpc === "2.0"));
  for (const request of wire.sent.toReversed()) await wire.answer(request, `r${request.id}`);
  assert.deepEqual(await Promise.all([byPosition, single, bare, named]), wire.sent.map(({ id }) => `r${id}`));
});

test("an error answer is an ApiError with code, data and method", async (t) => {
  const { api, wire } = await startLive(t);
  const call = api.call("/v1/api-tokens/delete", "t1");
  call.catch(() => {});
  await wire.say({ id: wire.sent[0].id, error: { code: 409, message: "stale", data: { token: { id: "t1" } } } });
  await assert.rejects(call, (error) => rejection(409, { token: { id: "t1" } })(error)
    && error.message === "stale" && error.method === "/v1/api-tokens/delete" && error.name === "ApiError");
});

test("an answer by batch array reaches its calls; foreign, repeated and senseless messages do no harm", async (t) => {
  const { api, wire } = await startLive(t);
  const calls = Promise.all([api.call("a"), api.call("b")]);
  for (const data of ["null", "1", "{}", '{"id":99,"result":1}', '{"id":null,"error":{"code":-32700,"message":"?"}}']) {
    wire.onmessage({ data });
  }
  wire.onmessage({ data: JSON.stringify(wire.sent.map(({ id }) => ({ id, result: id }))) });
  assert.deepEqual(await calls, wire.sent.map(({ id }) => id));
  await wire.answer(wire.sent[0], "again");
  assert.equal(api.state, "live");
});

test("calls made before the connection is live wait, and go out in order", async (t) => {
  const { api } = start(t);
  for (const method of ["a", "b", "c"]) outcome(api.call(method));
  await Wire.last.open(null);
  outcome(api.call("d"));
  assert.deepEqual(Wire.last.sent, [], "not before ready");
  await Wire.last.open();
  assert.deepEqual(Wire.last.sent.map(({ method }) => method), ["a", "b", "c", "d"]);
});

test("params are taken as they were when the call was made", async (t) => {
  const { api } = start(t);
  const permissions = { a: true };
  outcome(api.call("m", permissions));
  permissions.a = false;
  await Wire.last.open();
  assert.deepEqual(Wire.last.sent[0].params, [{ a: true }]);
});

test("at most 32 requests are under way; an answer, an abort or a timeout makes room", async (t) => {
  const { api, wire } = await startLive(t);
  const controller = new AbortController();
  api.with({ signal: controller.signal }).call("m0").catch(() => {});
  api.with({ timeout: 1_000 }).call("m1").catch(() => {});
  for (let i = 2; i < 40; i++) outcome(api.call(`m${i}`));
  const requests = () => wire.sent.filter(({ id }) => id !== undefined).map(({ method }) => method);
  assert.equal(requests().length, 32);
  await wire.answer(wire.sent[5], null);
  assert.equal(requests().length, 33);
  controller.abort();
  assert.equal(requests().length, 34);
  t.mock.timers.tick(1_000);
  assert.deepEqual(requests(), Array.from({ length: 35 }, (_, i) => `m${i}`));
});

test("the queue is bounded at 1,000", async (t) => {
  const { api } = start(t);
  for (let i = 0; i < 1_000; i++) api.call("m").catch(() => {});
  await assert.rejects(api.call("one more"), rejection("queue-full", { outcome: "not-sent" }));
});

test("a call over 64 KiB is refused here, for the server would close the connection on it", async (t) => {
  const { api, wire } = await startLive(t);
  await assert.rejects(api.call("m", "€".repeat(22_000)), rejection("too-large", { outcome: "not-sent" }));
  outcome(api.call("m", "x".repeat(60_000)));
  assert.equal(wire.sent.length, 1);
  await assert.rejects(api.call("m", 1n), TypeError);
});

test("notify sends without an id, past the calls that wait, and not at all while the connection is not live", async (t) => {
  const { api, wire } = await startLive(t);
  for (let i = 0; i < 33; i++) outcome(api.call("m"));
  api.notify("n", 1, undefined);
  assert.deepEqual(wire.sent.at(-1), { jsonrpc: "2.0", method: "n", params: [1] });
  assert.equal(wire.sent.length, 33);
  assert.throws(() => api.notify("n", "\ud800"), TypeError);
  assert.throws(() => api.notify("n", "x".repeat(70_000)), rejection("too-large", { outcome: "not-sent" }));
  wire.readyState = 2;
  api.notify("n", 2);
  await wire.break();
  api.notify("n", 3);
  api.reconnect();
  await Wire.last.open(null);
  api.notify("n", 4);
  await Wire.last.open();
  assert(Wire.all.every(({ sent }) => sent.every(({ method, params }) => method === "m" || params[0] === 1)));
});

// ---- abort and timeout

test("an abort rejects at once with the signal's reason, cancels, and drops the late answer", async (t) => {
  const { api, wire } = await startLive(t);
  const controller = new AbortController();
  const call = outcome(api.with({ signal: controller.signal }).call("slow"));
  const named = outcome(api.callNamed("slow", {}, { signal: controller.signal }));
  const reason = new Error("enough");
  controller.abort(reason);
  await null; await null;
  assert.equal(call.error, reason);
  assert.equal(named.error, reason);
  const [slow, slowNamed, ...cancels] = wire.sent;
  assert.deepEqual(cancels, [slow, slowNamed].map(({ id }) => ({ jsonrpc: "2.0", method: "$/cancelRequest", params: { id } })));
  await wire.answer(slow, "late");
  assert.equal(call.is, "rejected");
});

test("an abort before sending sends nothing; an aborted signal does not even queue", async (t) => {
  const { api } = start(t);
  const controller = new AbortController();
  const call = outcome(api.with({ signal: controller.signal }).call("m"));
  controller.abort("no");
  await assert.rejects(api.with({ signal: AbortSignal.abort("never") }).call("m"), (reason) => reason === "never");
  await Wire.last.open();
  assert.deepEqual(Wire.last.sent, []);
  assert.equal(call.error, "no");
});

test("an answered call lets go of its signal and its timer", async (t) => {
  const { api, wire } = await startLive(t);
  const controller = new AbortController();
  const call = api.with({ signal: controller.signal }).call("m");
  await wire.answer(wire.sent[0], 1);
  await call;
  controller.abort();
  t.mock.timers.tick(30_000);
  assert.equal(wire.sent.length, 1, "no cancel for what is answered");
});

test("the timeout is 30 s by default, the call's or the client's own where given, and 0 is none", async (t) => {
  const { api, wire } = await startLive(t);
  const beat = async (ms) => { // the connection lives on
    for (; ms > 0; ms -= 10_000) {
      t.mock.timers.tick(Math.min(ms, 10_000));
      await wire.notify("/v1/session/heartbeat", { position: "1" });
    }
  };
  const usual = outcome(api.call("m"));
  const short = outcome(api.with({ timeout: 500 }).call("m"));
  const none = outcome(api.callNamed("m", {}, { timeout: 0 }));
  const ever = outcome(api.callNamed("m", {}, { timeout: Infinity }));
  await beat(499);
  assert.equal(short.is, "pending");
  await beat(1);
  rejection("timeout", { outcome: "unknown" })(short.error);
  await beat(29_499);
  assert.equal(usual.is, "pending");
  await beat(1);
  rejection("timeout", { outcome: "unknown" })(usual.error);
  assert.deepEqual(wire.sent.slice(4).map(({ params }) => params.id), [wire.sent[1].id, wire.sent[0].id]);
  await beat(3_600_000);
  assert.equal(none.is, "pending");
  assert.equal(ever.is, "pending");
});

test("a call that waits for a connection waits no longer than its timeout", async (t) => {
  const { api } = start(t, { timeout: 5_000 });
  const call = outcome(api.call("m"));
  t.mock.timers.tick(5_000);
  await turn();
  rejection("timeout", { outcome: "not-sent" })(call.error);
  await Wire.last.open();
  assert.deepEqual(Wire.last.sent, []);
});

// ---- when the connection breaks

test("what was sent is rejected and never repeated; what was not sent goes out on the next connection", async (t) => {
  const { api, wire } = await startLive(t);
  const calls = Array.from({ length: 34 }, (_, i) => outcome(api.call(`m${i}`)));
  await wire.break();
  for (const call of calls.slice(0, 32)) rejection("connection-lost", { outcome: "unknown" })(call.error);
  assert.deepEqual(calls.slice(32).map(({ is }) => is), ["pending", "pending"]);
  api.reconnect();
  await Wire.last.open();
  assert.notEqual(Wire.last, wire);
  assert.deepEqual(Wire.last.sent.map(({ method }) => method), ["m32", "m33"]);
});

test("nothing is sent into a socket that is closing", async (t) => {
  const { api, wire } = await startLive(t);
  wire.readyState = 2;
  const call = outcome(api.call("m"));
  await wire.break();
  assert.equal(call.is, "pending");
  api.reconnect();
  await Wire.last.open();
  assert.equal(Wire.last.sent.length, 1);
});

test("it resumes after the last position seen: ready's, a notification's, a heartbeat's", async (t) => {
  const { api, wire } = await startLive(t);
  assert.equal(wire.url.searchParams.has("since"), false);
  const again = async () => {
    await Wire.last.break();
    api.reconnect();
    const since = Wire.last.url.searchParams.get("since");
    await Wire.last.open(null);
    return since;
  };
  assert.equal(await again(), "1");
  await Wire.last.open({ position: "5+/=" });
  assert.equal(await again(), "5+/=");
  await Wire.last.notify(UPDATED, { position: "6", token: {} });
  assert.equal(await again(), "6");
  await Wire.last.notify("/v1/session/heartbeat", { position: "9" });
  assert.equal(await again(), "9");
  assert.equal(await again(), "9");
  assert.equal(api.position, "9");
});

test("the option since is where a client starts", (t) => {
  start(t, { since: "41" });
  assert.equal(Wire.last.url.searchParams.get("since"), "41");
});

test("the position moves only after the listeners of its notification", async (t) => {
  const { api, wire } = await startLive(t);
  const seen = [];
  api.on(UPDATED, () => seen.push(api.position));
  api.on("*", () => seen.push(api.position));
  await wire.notify(UPDATED, { position: "2" });
  assert.deepEqual(seen, ["1", "1"]);
  assert.equal(api.position, "2");
});

test("two notifications with one position are both delivered", async (t) => {
  const { api, wire } = await startLive(t);
  const seen = [];
  api.on("*", (method) => seen.push(method));
  await wire.notify("/v1/api-tokens/permissions-changed", { position: "7" });
  await wire.notify("/v1/session/permissions-changed", { position: "7" });
  assert.deepEqual(seen, ["/v1/api-tokens/permissions-changed", "/v1/session/permissions-changed"]);
});

test("what a dropped connection still says is not heard", async (t) => {
  const { api, wire } = await startLive(t);
  const seen = [];
  api.on(UPDATED, () => seen.push(1));
  wire.onmessage({ data: "{" });
  wire.onmessage({ data: JSON.stringify({ method: UPDATED, params: { position: "3" } }) });
  await turn();
  assert.equal(api.state, "waiting", "not JSON: starts again from the last position");
  assert.deepEqual(seen, []);
  assert.equal(api.position, "1");
  assert(wire.closed);
});

// ---- order

test("what awaits a reply runs before the listeners of a notification right behind it", async (t) => {
  const { api, wire } = await startLive(t);
  const order = [];
  api.on(UPDATED, () => order.push("notification"));
  const caller = (async () => order.push(await api.call("m")))();
  wire.say({ id: wire.sent[0].id, result: "reply" }); // in one go, as Node.js does with what comes in one packet
  wire.notify(UPDATED, { position: "2" });
  await caller;
  await turn();
  assert.deepEqual(order, ["reply", "notification"]);
});

test("what came before the close is handled before it", async (t) => {
  const { api, wire } = await startLive(t);
  const call = outcome(api.call("m"));
  wire.say({ id: wire.sent[0].id, result: "in time" });
  wire.notify(UPDATED, { position: "2" });
  await wire.break();
  assert.equal(call.value, "in time");
  assert.equal(api.position, "2");
});

test("ready, then reset, then later notifications; calls of the reset's listener go out", async (t) => {
  const { api } = start(t);
  const order = [];
  api.on("/v1/session/ready", () => order.push("ready"));
  api.on("reset", ({ position }) => { order.push(`reset ${position}`); outcome(api.call("read anew")); });
  api.on(UPDATED, () => order.push("updated"));
  Wire.last.open({ reset: true, position: "8" });
  Wire.last.notify(UPDATED, { position: "9" });
  await turn();
  assert.deepEqual(order, ["ready", "reset 8", "updated"]);
  assert.equal(Wire.last.sent[0].method, "read anew");
  await Wire.last.break();
  api.reconnect();
  await Wire.last.open({ position: "9" });
  assert.deepEqual(order, ["ready", "reset 8", "updated", "ready"], "no reset without need");
});

test("another user is a reset, too", async (t) => {
  const { api, wire } = await startLive(t);
  let resets = 0;
  api.on("reset", () => resets++);
  await wire.break();
  api.reconnect();
  await Wire.last.open({ user: { id: "u2" } });
  assert.equal(resets, 1);
});

// ---- listeners

test("frame: what is sent and received, as it is and before it is handled, while somebody listens", async (t) => {
  const { api, wire } = await startLive(t);
  const seen = [];
  api.call("a").catch(() => {});
  t.mock.timers.setTime(1_234);
  const leave = api.on("frame", (frame) => seen.push(frame));
  const controller = new AbortController();
  const [b, c] = [api.call("b", "ü"), api.with({ signal: controller.signal }).call("c")];
  const result = b.then((value) => seen.push(value));
  const given = assert.rejects(c, /enough/);
  controller.abort(new Error("enough"));
  await wire.answer({ id: 2 }, 42);
  await Promise.all([result, given]);
  leave();
  await wire.notify("/v1/session/heartbeat", { position: "2" });
  const frame = (direction, text) => ({ direction, text, time: 1_234 });
  assert.deepEqual(seen, [
    frame("sent", '{"jsonrpc":"2.0","id":2,"method":"b","params":["ü"]}'),
    frame("sent", '{"jsonrpc":"2.0","id":3,"method":"c","params":[]}'),
    frame("sent", '{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":3}}'),
    frame("received", '{"jsonrpc":"2.0","id":2,"result":42}'),
    42,
  ]);
});

test("frame: of a received one that is not JSON, too; never the credential; a listener may close", async (t) => {
  const { api } = start(t);
  const seen = [];
  api.on("frame", ({ text }) => seen.push(text));
  await Wire.last.open(null);
  Wire.last.onmessage({ data: "{" });
  await turn();
  assert.deepEqual(seen, ["{"]);
  assert.equal(api.state, "waiting");
  t.mock.timers.tick(31_000);
  api.on("frame", () => api.close());
  await Wire.last.open();
  assert.equal(api.state, "closed", "what the frame said is not heard any more");
  assert(!seen.join().includes(TOKEN));
});

test("a listener that throws or rejects does not break the others, and is reported", async (t) => {
  const { api, wire } = await startLive(t);
  const reported = t.mock.method(console, "error", () => {});
  const seen = [];
  api.on(UPDATED, () => { throw new Error("sync"); });
  api.on(UPDATED, async () => { throw new Error("async"); });
  api.on(UPDATED, () => seen.push(1));
  api.on("*", () => seen.push("*"));
  await wire.notify(UPDATED, { position: "2" });
  assert.deepEqual(seen, [1, "*"]);
  assert.deepEqual(reported.mock.calls.map(({ arguments: [error] }) => error.message), ["sync", "async"]);
  assert.equal(api.position, "2");
});

test("on returns what unsubscribes: this subscription alone, also from within a listener", async (t) => {
  const { api, wire } = await startLive(t);
  const seen = [];
  const fn = ({ position }) => seen.push(position);
  const offs = [api.on(UPDATED, fn)];
  api.on(UPDATED, fn);
  api.on("/v1/api-tokens/created", () => offs[1]());
  offs.push(api.on("/v1/api-tokens/created", () => seen.push("unsubscribed")));
  await wire.notify(UPDATED, { position: "2" });
  offs[0]();
  await wire.notify(UPDATED, { position: "3" });
  await wire.notify("/v1/api-tokens/created", { position: "4" });
  assert.deepEqual(seen, ["2", "2", "3"]);
  assert.throws(() => api.on(UPDATED), TypeError);
});

// ---- states, back-off, liveness

test("the first call, on or connect connects, and nothing before; ready resolves with ready's params", async (t) => {
  for (const begin of [(api) => api.call("m").catch(() => {}), (api) => api.on(UPDATED, () => {}), (api) => api.connect()]) {
    Wire.all = [];
    const api = make(t, URL_WS, { WebSocket: Wire });
    assert.equal(Wire.all.length, 0);
    assert.equal(api.state, "idle");
    begin(api);
    assert.equal(Wire.all.length, 1);
    assert.deepEqual(Wire.last.protocols, ["tokenwire.v1"]);
    const ready = api.ready;
    await Wire.last.open({ connectionId: "c1" });
    assert.equal((await ready).connectionId, "c1");
    assert.equal((await api.connect()).connectionId, "c1");
    api.close();
  }
});

test("states: connecting, live, waiting with inMs and retryAt, and so on, closed", async (t) => {
  const { api, states } = start(t);
  t.mock.method(Math, "random", () => 0.5);
  await Wire.last.open();
  await Wire.last.break(1012);
  t.mock.timers.tick(125);
  await Wire.last.open();
  api.close();
  assert.deepEqual(states, [
    { state: "connecting" }, { state: "live" }, { state: "waiting", inMs: 125, retryAt: 125, code: 1012 },
    { state: "connecting" }, { state: "live" }, { state: "closed", reason: "by close()" },
  ]);
});

test("back-off: full jitter, doubling from 250 ms to 30 s, and from the start after 10 s live", async (t) => {
  const { states } = start(t);
  let random = 1;
  t.mock.method(Math, "random", () => random);
  const pause = async (code = 1006) => {
    await Wire.last.open();
    await Wire.last.break(code);
    const { state, inMs } = states.at(-1);
    assert.equal(state, "waiting");
    const before = Wire.all.length;
    if (inMs > 0) t.mock.timers.tick(inMs - 1);
    assert.equal(Wire.all.length, before, "not sooner than said");
    t.mock.timers.tick(1);
    assert.equal(Wire.all.length, before + 1, "and not later");
    return inMs;
  };
  for (const expected of [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) assert.equal(await pause(), expected);
  random = 0;
  assert.equal(await pause(), 0, "full jitter reaches down to nothing");
  for (const code of [1003, 1007, 1008, 1009]) assert(await pause(code) >= 1_000, "but not after the protocol was broken");
  random = 1;
  await Wire.last.open();
  t.mock.timers.tick(9_999);
  assert.equal(await pause(), 30_000);
  await Wire.last.open();
  t.mock.timers.tick(10_000);
  await Wire.last.break();
  assert.equal(states.at(-1).inMs, 250);
});

test("4008, 1001, 1012, 1000 and the protocol's own codes reconnect with since", async (t) => {
  start(t);
  for (const code of [4008, 1001, 1012, 1000, 1003, 1007, 1008, 1009, 4400]) {
    await Wire.last.open({ position: String(code) });
    await Wire.last.break(code);
    t.mock.timers.tick(30_000);
    assert.equal(Wire.last.url.searchParams.get("since"), String(code));
  }
});

test("4401 ends it: no reconnect, the reason told, calls refused; reconnect() begins anew", async (t) => {
  const { api, states, wire } = await startLive(t);
  const sent = outcome(api.call("m"));
  const heard = [];
  api.on("/v1/session/ended", ({ reason }) => heard.push(reason));
  wire.notify("/v1/session/ended", { reason: "disabled" });
  await wire.break(4401, "x");
  assert.deepEqual(states.at(-1), { state: "ended", reason: "disabled" });
  assert.deepEqual(heard, ["disabled"]);
  rejection("connection-lost", { outcome: "unknown" })(sent.error);
  t.mock.timers.tick(3_600_000);
  assert.equal(Wire.all.length, 1);
  await assert.rejects(api.call("m"), rejection("ended", { outcome: "not-sent" }));
  await assert.rejects(api.connect(), rejection("ended"));
  api.reconnect();
  const again = outcome(api.call("m"));
  await Wire.last.open();
  assert.equal(api.state, "live");
  await Wire.last.answer(Wire.last.sent[0], "ok");
  assert.equal(again.value, "ok");
  await Wire.last.break(4401, "bare");
  assert.deepEqual(states.at(-1), { state: "ended", reason: "bare" });
});

test("reconnect({ anew: true }) takes the place of a connection that may be dead", async (t) => {
  const { api, wire, states } = await startLive(t);
  const sent = outcome(api.call("m"));
  api.reconnect();
  assert.equal(Wire.all.length, 1, "there is one already");
  api.reconnect({ anew: true });
  await turn();
  rejection("connection-lost", { outcome: "unknown" })(sent.error);
  assert.equal(Wire.all.length, 2);
  await Wire.last.open();
  assert.deepEqual([api.state, states.at(-1).state], ["live", "live"]);
  await wire.break(4401);
  assert.equal(api.state, "live", "what comes of the old one is not heard");
});

test("half a surrogate pair is refused; a backslash before ud8 is not one", async (t) => {
  const { api, wire } = await startLive(t);
  for (const text of ["x\ud800", "\udfff", "\\\ud83d"]) await assert.rejects(api.call("m", { text }), TypeError);
  for (const text of ["🔑", "\\ud800", "\\\\ud8ff"]) outcome(api.call("m", text));
  await turn();
  assert.equal(wire.sent.length, 3);
});

test("at 4401 what waits in the queue is rejected as well", async (t) => {
  const { api, wire } = await startLive(t);
  const calls = Array.from({ length: 33 }, () => outcome(api.call("m")));
  await wire.break(4401);
  rejection("ended", { outcome: "not-sent" })(calls[32].error);
});

test("40 s without a word: lost and reconnected; any word puts that off", async (t) => {
  const { api, wire } = await startLive(t);
  const call = outcome(api.with({ timeout: 0 }).call("m"));
  t.mock.timers.tick(39_999);
  await wire.notify("/v1/session/heartbeat", { position: "2" });
  t.mock.timers.tick(39_999);
  assert.equal(api.state, "live");
  t.mock.timers.tick(1);
  await turn();
  assert.equal(api.state, "waiting");
  assert(wire.closed);
  rejection("connection-lost")(call.error);
  t.mock.timers.tick(250);
  assert.equal(Wire.last.url.searchParams.get("since"), "2");
});

test("the page's online event and its becoming visible try now; nothing does after close()", async (t) => {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  const signals = [];
  for (const target of [window, document]) {
    const add = target.addEventListener.bind(target);
    target.addEventListener = (...all) => { signals.push(all[2].signal); add(...all); };
  }
  const globals = { document, addEventListener: window.addEventListener };
  Object.assign(globalThis, globals);
  t.after(() => { for (const name in globals) delete globalThis[name]; });
  const { api, wire } = await startLive(t);
  window.dispatchEvent(new Event("online"));
  assert.equal(Wire.all.length, 1, "live as it is");
  await wire.break();
  window.dispatchEvent(new Event("online"));
  assert.equal(Wire.all.length, 2);
  await Wire.last.open();
  await Wire.last.break();
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(Wire.all.length, 2, "hidden");
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(Wire.all.length, 3);
  await Wire.last.open();
  await Wire.last.break(4401);
  window.dispatchEvent(new Event("online"));
  assert.equal(Wire.all.length, 3, "ended");
  api.close();
  assert.deepEqual(signals.map(({ aborted }) => aborted), [true, true], "the page keeps no listener");
});

test("close() rejects what is under way, stops everything and stays closed", async (t) => {
  const { api, wire } = await startLive(t);
  const calls = Array.from({ length: 33 }, () => outcome(api.call("m")));
  api.close();
  await turn();
  rejection("closed", { outcome: "unknown" })(calls[0].error);
  rejection("closed", { outcome: "not-sent" })(calls[32].error);
  assert(wire.closed);
  t.mock.timers.tick(3_600_000);
  api.reconnect();
  api.on("x", () => {})();
  assert.equal(Wire.all.length, 1);
  assert.equal(api.state, "closed");
  await assert.rejects(api.call("m"), rejection("closed"));
  await assert.rejects(api.ready, rejection("closed"));
  const other = make(t, URL_WS, { WebSocket: Wire });
  const ready = other.connect(); // not awaited before the close: no unhandled rejection
  other[Symbol.dispose]();
  await assert.rejects(ready, rejection("closed"));
});

test("close() within any listener is heeded", async (t) => {
  for (const event of ["/v1/session/ready", "*", "reset", "state"]) {
    Wire.all = [];
    const api = make(t, URL_WS, { WebSocket: Wire });
    const call = outcome(api.call("m"));
    api.on(event, (change) => event === "state" && change.state !== "live" || api.close());
    await Wire.last.open({ reset: true });
    assert.equal(api.state, "closed", event);
    assert.deepEqual(Wire.last.sent, [], event);
    rejection("closed", { outcome: "not-sent" })(call.error);
  }
});

// ---- secrets and addresses

test("the token is in no URL and in nothing that prints", async (t) => {
  const { api, wire } = await startLive(t);
  assert.deepEqual(wire.protocols, ["tokenwire.v1", `bearer.${TOKEN}`]);
  assert(!wire.url.href.includes(TOKEN));
  for (const text of [inspect(api, { depth: 9, showHidden: true, getters: true }), JSON.stringify(api), String(api)]) {
    assert(!text.includes(TOKEN), text);
  }
  assert.throws(() => new Api(URL_WS, { token: "twt_ä secret", WebSocket: Wire }), (error) => !inspect(error).includes("secret"));
});

test("addresses: ws, wss, http, https, URL, relative to the page; others are refused", (t) => {
  const address = (url) => {
    const api = make(t, url, { WebSocket: Wire });
    api.connect();
    api.close();
    return Wire.last.url.href;
  };
  assert.equal(address("ws://h:1/api"), "ws://h:1/api");
  assert.equal(address("wss://h/api#x"), "wss://h/api");
  assert.equal(address("http://h/api?node=2"), "ws://h/api?node=2");
  assert.equal(address(new URL("https://h/api")), "wss://h/api");
  assert.throws(() => address("file:///api"), TypeError);
  assert.throws(() => address(), TypeError, "a module from a file has no origin");
  globalThis.location = { href: "https://page.test/dir/index.html" };
  t.after(() => delete globalThis.location);
  assert.equal(address("/api"), "wss://page.test/api");
});

test("a WebSocket that cannot even be made ends it, with the reason", async (t) => {
  class Impossible { constructor() { throw new Error("SecurityError: mixed content"); } }
  const api = make(t, URL_WS, { WebSocket: Impossible });
  await assert.rejects(api.call("m"), (error) => rejection("ended", { outcome: "not-sent" })(error) && /mixed/.test(error.message));
  assert.equal(api.state, "ended");
  assert.throws(() => new Api(URL_WS, { WebSocket: null }), /--experimental-websocket/);
});

// ---- the probe

/** Answers fetch with what is given, by turns; the last for ever. */
function mockFetch(t, ...answers) {
  return t.mock.method(globalThis, "fetch", async (url, { signal }) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === "never") return new Promise((_, no) => signal.addEventListener("abort", () => no(signal.reason)));
    if (answer === "network") throw new TypeError("fetch failed");
    const [status, after] = [answer].flat();
    const headers = after === undefined ? {} : { "Retry-After": String(after) };
    return new Response(JSON.stringify({ error: { code: status, message: "?" } }), { status, headers });
  });
}

test("an attempt that never opened asks by POST: 401 ends it", async (t) => {
  const fetched = mockFetch(t, 401);
  const { api, states } = start(t);
  const ready = outcome(api.ready);
  await Wire.last.break();
  const [url, { method, headers, credentials }] = fetched.mock.calls[0].arguments;
  assert.deepEqual([url.href, method, headers.Authorization, credentials],
    ["http://tokenwire.test/api/v1/session/read", "POST", `Bearer ${TOKEN}`, "same-origin"]);
  assert.deepEqual(states.at(-1), { state: "ended", reason: "unauthorized" });
  rejection("ended")(ready.error);
  t.mock.timers.tick(3_600_000);
  assert.equal(Wire.all.length, 1);
});

test("where a failed handshake is an error without a close (Node.js 20), it asks as well, once", async (t) => {
  const fetched = mockFetch(t, 401);
  const { states } = start(t);
  Wire.last.onerror({});
  await Wire.last.break();
  assert.equal(fetched.mock.callCount(), 1);
  assert.deepEqual(states.at(-1), { state: "ended", reason: "unauthorized" });
});

test("an error of an open connection leaves the word to its close", async (t) => {
  const { states, wire } = await startLive(t);
  wire.onerror({});
  await wire.break(4401, "disabled");
  assert.deepEqual(states.at(-1), { state: "ended", reason: "disabled" });
});

test("any other answer, or none, keeps it trying, and what waits keeps waiting", async (t) => {
  mockFetch(t, 503, "network", 200, "never");
  const { api } = start(t);
  const call = outcome(api.with({ timeout: 0 }).call("m"));
  for (let attempt = 1; attempt <= 4; attempt++) {
    assert.equal(Wire.all.length, attempt);
    await Wire.last.break();
    if (attempt === 4) {
      assert.equal(api.state, "connecting");
      t.mock.timers.tick(15_000);
      await turn();
    }
    assert.equal(api.state, "waiting");
    t.mock.timers.tick(30_000);
  }
  await Wire.last.open();
  await Wire.last.answer(Wire.last.sent[0], "at last");
  assert.equal(call.value, "at last");
});

test("Retry-After is honoured, with jitter, and not for ever; what is no number of seconds does not count", async (t) => {
  mockFetch(t, [503, 4], [503, 4], [503, 86_400], [503, "Mon, 23 Nov 2026 18:57:56 GMT"], [503, -1]);
  const { states } = start(t);
  let random = 0;
  t.mock.method(Math, "random", () => random);
  const pause = async () => {
    await Wire.last.break();
    const { inMs } = states.at(-1);
    t.mock.timers.tick(inMs);
    return inMs;
  };
  assert.equal(await pause(), 4_000);
  random = 1;
  assert.equal(await pause(), 8_000);
  random = 0;
  for (const expected of [30_000, 0, 0]) assert.equal(await pause(), expected);
});

test("a connection that had opened is not asked about", async (t) => {
  const fetched = mockFetch(t, 401);
  const { api, wire } = await startLive(t);
  await wire.break();
  assert.equal(fetched.mock.callCount(), 0);
  assert.equal(api.state, "waiting");
});

test("an attempt that neither opens nor fails is given up after 15 s", async (t) => {
  mockFetch(t, 503);
  const { api } = start(t);
  t.mock.timers.tick(15_000);
  await turn();
  assert.equal(api.state, "waiting");
  assert(Wire.last.closed);
});

test("reconnect() and close() overtake a question under way", async (t) => {
  const fetched = mockFetch(t, "never");
  const { api, states } = start(t);
  await Wire.last.break();
  api.reconnect();
  await turn();
  assert(fetched.mock.calls[0].arguments[1].signal.aborted);
  assert.equal(Wire.all.length, 2);
  assert.deepEqual(states.map(({ state }) => state), ["connecting", "connecting"]);
  assert(!Wire.last.closed);
  await Wire.last.break();
  api.close();
  await turn();
  assert.equal(api.state, "closed");
});

// ---- Door: a real WebSocket and a real fetch

/** A server that shakes hands and speaks in text frames under 64 KiB. */
async function openDoor(t, { isKnown = () => true } = {}) {
  const door = { requests: [], posts: [], sockets: new Set(), onRequest: (request, say) => say({ id: request.id, result: request.params }) };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    door.posts.push({ url: request.url, headers: request.headers, body: JSON.parse(body) });
    const [status, answer] = door.onPost?.(request, JSON.parse(body)) ?? [401, { error: { code: 401, message: "sign in" } }];
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
  });
  server.on("upgrade", (request, socket) => {
    door.requests.push(request);
    if (!isKnown(request)) return socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
      + `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: tokenwire.v1\r\n\r\n`);
    door.sockets.add(socket);
    socket.on("error", () => {});
    socket.say = (...messages) => socket.write(Buffer.concat(messages.map((m) => frame(1, JSON.stringify(m)))));
    socket.end4 = (code) => socket.end(frame(8, Buffer.from([code >> 8, code & 255])));
    readFrames(socket, (opcode, payload) => {
      if (opcode === 8) socket.end(frame(8, payload));
      else door.onRequest(JSON.parse(payload), socket.say, socket);
    });
    socket.say({ method: "/v1/session/ready", params: { connectionId: "c", user: { id: "u" }, permissions: {}, position: "10", reset: false } });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => { for (const socket of door.sockets) socket.destroy(); server.closeAllConnections(); server.close(); });
  door.url = `ws://127.0.0.1:${server.address().port}/api`;
  return door;
}

function frame(opcode, payload) {
  const data = Buffer.from(payload);
  const head = data.length < 126 ? [data.length] : [126, data.length >> 8, data.length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...head]), data]);
}

function readFrames(socket, take) {
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const short = rest[1] & 127;
      const at = short === 126 ? 4 : 2;
      const length = short === 126 && rest.length >= 4 ? rest.readUInt16BE(2) : short;
      if (rest.length < at + 4 + length) return;
      const mask = rest.subarray(at, at + 4);
      const payload = Buffer.from(rest.subarray(at + 4, at + 4 + length)).map((byte, i) => byte ^ mask[i % 4]);
      take(rest[0] & 15, payload);
      rest = rest.subarray(at + 4 + length);
    }
  });
}

const isState = (api, wanted) => new Promise((resolve) => {
  const off = api.on("state", (change) => change.state === wanted && (off(), resolve(change)));
});

test("over a real socket: handshake, calls, a push, a break, the resume", async (t) => {
  const door = await openDoor(t);
  const api = make(t, door.url.replace("ws", "http"), { token: TOKEN });
  t.mock.method(Math, "random", () => 0);
  const ready = await api.connect();
  assert.equal(ready.connectionId, "c");
  assert.equal(door.requests[0].headers["sec-websocket-protocol"].replace(/\s/g, ""), `tokenwire.v1,bearer.${TOKEN}`);
  assert.equal(door.requests[0].url, "/api");
  assert.deepEqual(await Promise.all([api.call("m", "ü€😀"), api.call("m", 2)]), [["ü€😀"], [2]]);

  const order = [];
  api.on(UPDATED, () => order.push("notification"));
  door.onRequest = (request, say) => say({ id: request.id, result: "reply" }, { method: UPDATED, params: { position: "11" } });
  order.push(await api.call("m"));
  while (order.length < 2) await turn();
  assert.deepEqual(order, ["reply", "notification"], "both in one packet");

  door.onRequest = (request, say, socket) => socket.destroy();
  const live = isState(api, "live");
  await assert.rejects(api.call("m"), rejection("connection-lost"));
  await live;
  assert.equal(door.requests[1].url, "/api?since=11");
});

test("over a real socket: 4401 ends; 401 before the upgrade ends by the probe", async (t) => {
  const door = await openDoor(t, { isKnown: ({ headers }) => headers["sec-websocket-protocol"].includes("bearer") });
  const api = make(t, door.url, { token: TOKEN });
  await api.connect();
  const ended = isState(api, "ended");
  for (const socket of door.sockets) socket.end4(4401);
  assert.equal((await ended).reason, "ended");
  const stranger = make(t, door.url);
  await assert.rejects(stranger.connect(), rejection("ended"));
  assert.deepEqual(door.posts.map(({ url, body }) => [url, body]), [["/api/v1/session/read", []]]);
});

test("signIn: params as an array, the session or an ApiError; as a method it connects as that user", async (t) => {
  const door = await openDoor(t);
  const answer = { session: "tws_1", expiresAt: "2030-01-01T00:00:00.000Z", user: { id: "u", username: "admin" } };
  door.onPost = (_, [, password]) => password === "right" ? [200, answer]
    : [429, { error: { code: 429, message: "slow down", data: { retryAfterMs: 5 } } }];
  assert.deepEqual(await Api.signIn(door.url, "admin", "right"), answer);
  assert.deepEqual([door.posts[0].url, door.posts[0].body], ["/api/v1/session/sign-in", ["admin", "right"]]);
  await assert.rejects(Api.signIn(door.url, "admin", "wrong"), rejection(429, { retryAfterMs: 5 }));
  await assert.rejects(Api.signIn("http://127.0.0.1:1/api", "a", "b"), rejection("connection-lost", { outcome: "unknown" }));

  const api = make(t, door.url, { token: TOKEN });
  await api.connect();
  door.onRequest = () => {};
  const underWay = outcome(api.call("m"));
  assert.deepEqual(await api.signIn("admin", "right"), answer);
  assert.equal(api.state, "live");
  assert.match(door.requests.at(-1).headers["sec-websocket-protocol"], /bearer\.tws_1$/);
  rejection("connection-lost", { outcome: "unknown" })(underWay.error);
});

test("a closed client keeps no process alive, wherever it was closed", async (t) => {
  const door = await openDoor(t);
  const script = `
    import { Api } from ${JSON.stringify(new URL("./client.js", import.meta.url))};
    const lives = new Api("${door.url}"), connects = new Api("${door.url}"), waits = new Api("ws://127.0.0.1:1/api");
    await lives.connect(); connects.connect();
    await new Promise((go) => waits.on("state", ({ state }) => state === "waiting" && go()));
    const call = lives.with({ timeout: 600_000 }).call("$/never").catch(() => {});
    for (const api of [lives, connects, waits]) api.close();
    await call; console.log("closed");`;
  door.onRequest = () => {};
  const flags = [...process.execArgv.filter((flag) => flag === "--experimental-websocket"), "--no-warnings", "--input-type=module", "-e", script];
  const { stdout, error } = await new Promise((resolve) =>
    execFile(process.execPath, flags, { timeout: 5_000 }, (error, stdout, stderr) => resolve({ error: error && stderr + error, stdout })));
  assert.equal(error, null);
  assert.equal(stdout, "closed\n");
});
