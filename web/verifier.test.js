// The verifier's promises, each in a test that fails without it: what it holds, for how long, and in which order what comes
// over the wire takes effect. The server is a Wire, and both clocks are the test's.
// node --experimental-websocket --test web/verifier.test.js

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test as nodeTest } from "node:test";
import { inspect } from "node:util";
import { RateLimited, Unavailable, Verifier } from "./verifier.js";
import { Wire, mint, outcome, turn } from "./testdata/wire.js";

const OWN = "twt_own_secret_sum";
const [A, B, C] = ["A", "B", "C"].map((letter) => mint(letter.repeat(20)));
const idOf = (token) => token.slice(4, 24);
const digest = (token) => createHash("sha256").update(token).digest("hex");
const nameOf = (method) => method.split("/").pop();

const test = (name, fn) => nodeTest(name, { timeout: 20_000 }, fn);

/** The server's end of a connection, as far as verifiers go. Beats are answered by itself, unless they are told not to be. */
class Desk extends Wire {
  static get last() { return Wire.all.at(-1); }
  static beats = true;
  seq = 0;
  send(text) {
    super.send(text);
    const request = this.sent.at(-1);
    if (nameOf(request.method) === "beat" && Desk.beats) queueMicrotask(() => this.readyState === 1 && this.beat(request));
    if (["report", "release"].includes(nameOf(request.method)) && Desk.beats) queueMicrotask(() => this.answer(request, {}));
  }
  beat(request = this.all("beat").at(-1), answer = {}) { return this.answer(request, { lease: request.params[0].lease, seq: this.seq, ...answer }); }
  all(name) { return this.sent.filter(({ method }) => nameOf(method) === name); }
  get asked() { return this.all("verify"); }
  get names() { return this.sent.map(({ method }) => nameOf(method)); }
  /** Answers a question, by default the last one, about the token that it must be of. */
  tell(token, more = {}, request = this.asked.at(-1)) {
    assert.equal(request.params.digest, digest(token));
    const facts = { tokenId: idOf(token), userId: "u7", username: "ada", permissions: ["repo:read"], expiresAt: null, position: "1-x" };
    return this.answer(request, { active: true, ...facts, allowedIps: null, expiresInMs: null, held: true, seq: this.seq, ...more });
  }
  bad(request = this.asked.at(-1)) { return this.answer(request, { active: false }); }
  fail(code, data, request = this.asked.at(-1)) { return this.say({ id: request.id, error: { code, message: "no", data } }); }
  change(...tokens) { return this.notify("/v1/verifier/changed", { seq: ++this.seq, tokenIds: tokens.map(idOf) }); }
}

/** Both clocks, and the timers. */
function clocks(t) {
  const time = { steady: 1_000, wall: 1e12 };
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  t.mock.method(performance, "now", () => time.steady);
  t.mock.method(Date, "now", () => time.wall);
  t.mock.method(Math, "random", () => 0); // no pause before the next attempt
  /** Goes on by small steps, and lets all happen that comes of each. */
  time.pass = async (ms) => {
    for (; ms > 0; ms -= 10) {
      const step = Math.min(ms, 10);
      time.steady += step;
      time.wall += step;
      t.mock.timers.tick(step);
      await turn();
    }
  };
  return time;
}

function start(t, options = {}) {
  const time = clocks(t);
  Wire.all = [];
  Desk.beats = true;
  const verifier = new Verifier("ws://tokenwire.test/api", { token: OWN, WebSocket: Desk, ...options });
  t.after(() => { Desk.beats = true; return verifier.close(); });
  return { verifier, time };
}

async function startLive(t, options) {
  const all = start(t, options);
  await Desk.last.open();
  await turn();
  return { ...all, desk: Desk.last };
}

/** Before another one in the same test. */
async function end(t, verifier) {
  Desk.beats = true;
  await verifier.close();
  t.mock.reset();
  t.mock.timers.reset();
}

/** The verifier has been told of a token, and holds it. */
async function startHolding(t, token, options, facts) {
  const all = await startLive(t, options);
  const first = all.verifier.verify(token);
  await turn();
  await all.desk.tell(token, facts);
  await first;
  return all;
}

/** A question, and what became of it after all that can happen has. */
async function ask(verifier, token, question) {
  const seen = outcome(verifier.verify(token, question));
  await turn();
  return seen;
}

const isHeld = async (verifier, token) => {
  const before = verifier.counts.asked;
  const { is, value } = await ask(verifier, token);
  return is === "resolved" && value.active && !value.stale && verifier.counts.asked === before;
};

// ---- its beginning and its end

test("it is ready with its first lease, and not with the connection", async (t) => {
  const { verifier } = start(t);
  const [ready, ended] = [outcome(verifier.ready), outcome(verifier.ended)];
  Desk.beats = false;
  await Desk.last.open();
  await Desk.last.fail(503, undefined, Desk.last.all("beat")[0]);
  assert.equal(ready.is, "pending", "a server that cannot lease yet is waited for");
  t.mock.timers.tick(2_000);
  await Desk.last.beat();
  assert.equal(ready.is, "resolved");
  await Desk.last.break(4401, "token-disabled");
  assert.equal(ended.is, "resolved");
  assert.match(ended.value.message, /no good \(token-disabled\): start it again with one that holds tokens:verify/);
});

/** What a verifier's start comes to where its first WebSocket cannot be opened and a POST is answered so. */
async function startRefused(t, status, body = {}) {
  const { verifier } = start(t);
  t.mock.method(globalThis, "fetch", async () => new Response(JSON.stringify(body), { status }));
  const [ready, ended] = [outcome(verifier.ready), outcome(verifier.ended)];
  await Desk.last.break();
  for (let i = 0; i < 5; i++) await turn();
  return { verifier, ready, ended };
}

test("a wrong token is said at the start: what is wrong, and what to do", async (t) => {
  const { verifier, ready, ended } = await startRefused(t, 401, { error: { code: 401, message: "no" } });
  assert.match(ready.error.message, /token is no good \(unauthorized\): start it again with one that holds tokens:verify/);
  assert.equal(ended.value, ready.error);
  assert.equal(verifier.state, "ended");
  await end(t, verifier);
  const { verifier: may, time } = start(t, { lease: 3 });
  const seen = outcome(may.ready);
  Desk.beats = false;
  await Desk.last.open();
  await Desk.last.fail(403, undefined, Desk.last.all("beat")[0]);
  assert.match(seen.error.message, /may not verify: give it one that holds tokens:verify/);
  assert.equal(seen.error.cause.code, 403);
  await time.pass(1_000);
  await Desk.last.beat();
  assert.equal((await ask(may, A)).is, "pending", "it goes on, and may be given the permission");
});

test("a wrong path is said at the start; a server that is away or busy is waited for", async (t) => {
  for (const [status, body] of [[404], [403], [405], [404, { error: { code: -32601 } }]]) {
    const { verifier, ready, ended } = await startRefused(t, status, body);
    assert.match(ready.error?.message ?? "", /at \/api, which should be \/api/, String(status));
    assert.equal(ended.is, "pending");
    await end(t, verifier);
  }
  for (const status of [200, 408, 425, 429, 500, 502, 503]) {
    const { verifier, ready } = await startRefused(t, status);
    assert.equal(ready.is, "pending", String(status));
    t.mock.timers.tick(1);
    await Desk.last.open();
    await turn();
    assert.equal(ready.is, "resolved");
    await end(t, verifier);
  }
});

test("without a token there is no verifier, but for a page's; one that is closed before it is ready says so", async (t) => {
  for (const token of [undefined, null, ""]) assert.throws(() => new Verifier("ws://tokenwire.test/api", { token, WebSocket: Desk }), /there is no token: give it one that holds/);
  const { verifier } = start(t);
  const [ready, ended] = [outcome(verifier.ready), outcome(verifier.ended)];
  await verifier.close();
  assert.match(ready.error.message, /was closed/);
  assert.equal(ended.is, "pending");
});

// ---- asking

test("a good token is asked about once, by its hash; then it is answered from what is held", async (t) => {
  const { verifier, desk } = await startLive(t);
  const first = await ask(verifier, A);
  assert.deepEqual(desk.asked.map(({ params }) => params), [{ digest: digest(A), options: { hold: true } }]);
  await desk.tell(A, { permissions: ["repo:read", "repo:write"], allowedIps: ["192.0.2.0/24"], expiresAt: "2030-01-01T00:00:00.000Z" });
  for (const { value } of [first, await ask(verifier, A)]) {
    assert.deepEqual({ ...value }, { tokenId: idOf(A), userId: "u7", username: "ada", permissions: ["repo:read", "repo:write"],
      expiresAt: "2030-01-01T00:00:00.000Z", active: true, stale: false, allowed: true });
    assert.deepEqual(["repo:read", "repo", "", "has"].map((id) => value.has(id)), [true, false, false, false]);
    assert.deepEqual(["192.0.2.9", "::ffff:192.0.2.9", "192.0.3.9", ""].map((ip) => value.from(ip)), [true, true, false, false]);
    assert.throws(() => value.permissions.push("admin"), TypeError);
  }
  for (const [question, allowed] of [[{ permissions: [] }, true], [{ permissions: ["repo:read", "repo:write"] }, true],
    [{ permissions: ["repo:read", "admin"] }, false], [{ ip: "192.0.2.1" }, true], [{ ip: "" }, false],
    [{ permissions: ["repo:read"], ip: "192.0.3.1" }, false]]) {
    assert.equal((await ask(verifier, A, question)).value.allowed, allowed, inspect(question));
  }
  assert.equal(desk.asked.length, 1);
  assert.deepEqual(verifier.counts, { hits: 7, asked: 1, stale: 0, unavailable: 0, held: 1 });
});

test("no token is sent, printed or thrown", async (t) => {
  const { verifier, desk } = await startHolding(t, A);
  const failing = await ask(verifier, B);
  await desk.fail(503);
  const texts = [...Wire.all.flatMap(({ sent, url }) => [JSON.stringify(sent), url.href]), inspect(failing.error, { depth: 9 }),
    inspect(verifier, { depth: 9, showHidden: true }), inspect(await verifier.verify(A), { depth: 9, showHidden: true }), JSON.stringify(verifier)];
  for (const text of texts) for (const secret of [A, B, OWN]) assert(!text.includes(secret.slice(-20)), text);
});

test("a bad token is bad, without a reason, and is never held", async (t) => {
  const { verifier, desk } = await startLive(t);
  for (let n = 1; n <= 3; n++) {
    const asked = await ask(verifier, A, { permissions: [], ip: "192.0.2.1" });
    assert.equal(desk.asked.length, n);
    await desk.bad();
    assert.deepEqual({ ...asked.value }, { active: false, stale: false, allowed: false });
    assert.deepEqual([asked.value.has("repo:read"), asked.value.from("192.0.2.1")], [false, false]);
  }
  assert.equal(verifier.counts.held, 0);
});

test("what cannot be a token is bad without a request, with or without a connection", async (t) => {
  const { verifier } = start(t);
  const rubbish = [A.slice(0, -1), `${A.slice(0, -1)}x`, A.replace("twt", "tws"), "", "x".repeat(100_000), undefined, null, {}];
  for (const text of rubbish) assert.equal((await ask(verifier, text)).value.active, false);
  await Desk.last.open();
  for (const text of rubbish) assert.equal((await ask(verifier, text)).value.active, false);
  assert.equal(Desk.last.asked.length, 0);
});

test("errors make no token good or bad: Unavailable with the cause, nothing held; 429 is RateLimited", async (t) => {
  const { verifier, desk, time } = await startLive(t);
  for (const [fail, cause] of [
    [() => desk.fail(503), 503], [() => desk.fail(500), 500], [() => desk.fail(403), 403], [() => desk.fail(-32603), -32603], [() => desk.fail(429, {}), 429],
    [() => desk.answer(desk.asked.at(-1), {}), undefined], [() => desk.answer(desk.asked.at(-1), null), undefined],
    [() => desk.tell(A, { active: "yes" }), undefined], [() => desk.tell(A, { allowedIps: undefined }), undefined],
    [() => desk.tell(A, { permissions: null }), undefined], [() => desk.tell(A, { expiresInMs: "1" }), undefined],
    [() => time.pass(5_000), "timeout"], [() => desk.break(), "connection-lost"],
  ]) {
    const asked = await ask(verifier, A);
    await fail();
    assert(asked.error instanceof Unavailable, `${cause}: ${inspect(asked)}`);
    assert.deepEqual([asked.error.name, asked.error.cause.code], ["Unavailable", cause]);
    assert.equal(verifier.counts.held, 0);
  }
  assert.equal(verifier.counts.unavailable, 13);
  t.mock.timers.tick(1);
  await Desk.last.open();
  const limited = await ask(verifier, A);
  await Desk.last.fail(429, { retryAfterMs: 1_234 });
  assert(limited.error instanceof RateLimited);
  assert.deepEqual([limited.error.name, limited.error.retryAfterMs], ["RateLimited", 1_234]);
});

test("held: false is for one question", async (t) => {
  const { verifier, desk } = await startHolding(t, A, {}, { held: false });
  const again = await ask(verifier, A);
  assert.equal(again.is, "pending");
  await desk.tell(A);
  assert(await isHeld(verifier, A));
});

test("what was held makes way for an answer that is not to be held", async (t) => {
  for (const answer of [(desk) => desk.bad(), (desk) => desk.tell(A, { held: false })]) {
    const { verifier, desk, time } = await startHolding(t, A, { grace: 60 }, { expiresInMs: 1_000 });
    await time.pass(1_000);
    const again = await ask(verifier, A);
    await answer(desk);
    assert.equal(again.is, "resolved");
    assert.equal(verifier.counts.held, 0);
    await end(t, verifier);
  }
});

// ---- the lease

test("the lease is counted from when the beat was sent, not from when it was answered", async (t) => {
  const { verifier, time } = start(t, { lease: 6 });
  Desk.beats = false;
  await Desk.last.open();
  const desk = Desk.last;
  await time.pass(1_900);
  assert.deepEqual(desk.names, ["beat"], "one at a time, before all questions");
  assert.deepEqual(desk.sent[0].params, [{ lease: 6, confirmed: 0 }]);
  await desk.beat();
  await ask(verifier, A);
  await desk.tell(A);
  await time.pass(4_090);
  assert(await isHeld(verifier, A));
  await time.pass(10);
  assert(!await isHeld(verifier, A), "6 s after it was sent");
});

test("beats go out every third of the lease, and each that is answered makes it longer", async (t) => {
  const { verifier, time, desk } = await startHolding(t, A, { lease: 3 });
  await time.pass(60_000);
  assert.equal(desk.all("beat").length, 61);
  assert(await isHeld(verifier, A));
  assert.equal(desk.asked.length, 1);
  Desk.beats = false;
  await time.pass(2_990);
  assert(await isHeld(verifier, A));
  assert.equal(desk.all("beat").length, 62, "one at a time");
  await time.pass(10);
  assert(!await isHeld(verifier, A));
});

test("a beat that is refused does not prolong it, and the next one may", async (t) => {
  const { verifier, time, desk } = await startHolding(t, A, { lease: 3 });
  Desk.beats = false;
  await time.pass(1_000);
  await desk.fail(503, undefined, desk.all("beat").at(-1));
  await time.pass(1_000);
  assert.equal(desk.all("beat").length, 3);
  await time.pass(980);
  await desk.beat();
  await time.pass(1_000);
  assert(await isHeld(verifier, A), "by the third beat, from 2 s on");
  await time.pass(1_020);
  assert(!await isHeld(verifier, A));
});

test("a lease that had run out is another one: what was held under it is not answered any more", async (t) => {
  for (const grace of [0, 60]) {
    const { verifier, time, desk } = await startHolding(t, A, { lease: 3, grace });
    Desk.beats = false;
    await time.pass(3_500);
    await desk.beat();
    await time.pass(500);
    await desk.beat();
    assert(!await isHeld(verifier, A));
    await desk.tell(A);
    assert(await isHeld(verifier, A));
    await end(t, verifier);
  }
});

test("the server's lease counts where it is shorter", async (t) => {
  const { verifier, time } = start(t, { lease: 6 });
  Desk.beats = false;
  await Desk.last.open();
  await Desk.last.beat(undefined, { lease: 1 });
  await ask(verifier, A);
  await Desk.last.tell(A);
  await time.pass(990);
  assert(await isHeld(verifier, A));
  await time.pass(10);
  assert(!await isHeld(verifier, A));
});

test("a process that was stopped, and a machine that slept, find the lease over; a clock that was set back makes it no longer", async (t) => {
  for (const jump of [{ steady: 10_000, wall: 10_000 }, { steady: 0, wall: 10_000 }, { steady: 5_000, wall: -3_600_000 }]) {
    const { verifier, time } = await startHolding(t, A);
    assert(await isHeld(verifier, A));
    time.steady += jump.steady;
    time.wall += jump.wall;
    assert(!await isHeld(verifier, A), "before anything else has run");
    await end(t, verifier);
  }
});

const MINUTES_10 = 600_000;

test("a lease ends by the clock that says more, and not before", async (t) => {
  for (const [steady, wall, isLeft] of [[0, 4_999, true], [0, 5_000, false], [0, MINUTES_10, false],
    [4_999, -MINUTES_10, true], [5_000, -MINUTES_10, false], [4_999, 4_999, true], [4_000, 5_000, false], [5_000, 4_000, false]]) {
    const { verifier, time } = await startHolding(t, A);
    time.steady += steady;
    time.wall += wall;
    assert.equal(await isHeld(verifier, A), isLeft, `${steady} and ${wall} ms later`);
    await end(t, verifier);
  }
});

test("a lease is renewed by what the clock says then: a machine that sleeps after its clock was set back finds it over", async (t) => {
  const { verifier, time } = await startHolding(t, A);
  time.wall -= MINUTES_10;
  await time.pass(6_000);
  assert(await isHeld(verifier, A), "it was renewed");
  time.wall += 5_000;
  assert(!await isHeld(verifier, A));
});

test("a lease that was found to be over stays so until a beat is answered, whatever becomes of the clock", async (t) => {
  const { verifier, time, desk } = await startHolding(t, A);
  time.wall += MINUTES_10;
  assert(!await isHeld(verifier, A));
  await desk.tell(A);
  time.wall -= MINUTES_10;
  assert(!await isHeld(verifier, A));
  await desk.tell(A);
  await time.pass(2_000);
  await ask(verifier, A);
  await desk.tell(A);
  assert(await isHeld(verifier, A), "under the next one");
});

test("by either clock a lease that had run out is not renewed, but another one", async (t) => {
  for (const [wall, ms] of [[5_000, 2_000], [-MINUTES_10, 5_500]]) {
    const { verifier, time, desk } = await startHolding(t, A);
    Desk.beats = false;
    time.wall += wall;
    await time.pass(ms);
    await desk.beat();
    assert.equal(verifier.counts.held, 0);
    assert(!await isHeld(verifier, A));
    await end(t, verifier);
  }
});

test("a beat that was under way while the machine slept gives no lease, and the next one follows at once", async (t) => {
  const { verifier, time, desk } = await startHolding(t, A);
  Desk.beats = false;
  await time.pass(2_000);
  const before = desk.all("beat").length;
  time.wall += 5_000;
  await desk.beat();
  assert(!await isHeld(verifier, A));
  await time.pass(10);
  assert.equal(desk.all("beat").length, before + 1);
});

test("facts end with the token by the clock that says more, and not before", async (t) => {
  for (const [steady, wall, isLeft] of [[0, 999, true], [0, 1_000, false], [0, MINUTES_10, false],
    [999, -MINUTES_10, true], [1_000, -MINUTES_10, false], [999, 999, true]]) {
    const { verifier, time } = await startHolding(t, A, { lease: 60 }, { expiresInMs: 1_000 });
    time.steady += steady;
    time.wall += wall;
    assert.equal(await isHeld(verifier, A), isLeft, `${steady} and ${wall} ms later`);
    await end(t, verifier);
  }
});

test("facts end with the token, counted from when they were asked for", async (t) => {
  const { verifier, time, desk } = await startLive(t);
  await ask(verifier, A);
  await time.pass(400);
  await desk.tell(A, { expiresInMs: 1_000 });
  await time.pass(590);
  assert(await isHeld(verifier, A));
  await time.pass(10);
  assert(!await isHeld(verifier, A));
  await desk.tell(A, { expiresInMs: 0 });
  assert(!await isHeld(verifier, A));
});

test("facts that came under no lease are not held", async (t) => {
  const { verifier } = start(t);
  Desk.beats = false;
  await Desk.last.open();
  const asked = await ask(verifier, A);
  assert.equal(Desk.last.asked.length, 0, "the beat comes first, or nothing could be held");
  await Desk.last.fail(503, undefined, Desk.last.all("beat")[0]);
  await Desk.last.tell(A);
  assert.equal(asked.value.active, true);
  assert.equal((await ask(verifier, A)).is, "pending");
});

// ---- the connection

test("a connection that is lost ends the lease at once; the next one begins with nothing held", async (t) => {
  const { verifier, desk } = await startHolding(t, A);
  await desk.break();
  assert.equal(verifier.counts.held, 0);
  t.mock.timers.tick(1);
  assert.notEqual(Desk.last, desk);
  await Desk.last.open();
  const asked = await ask(verifier, A);
  assert.deepEqual(Desk.last.names, ["beat", "report", "verify"]);
  assert.equal(Desk.last.sent[0].params[0].confirmed, 0);
  await Desk.last.tell(A);
  assert.equal(asked.value.active, true);
});

test("what came before a close in one packet is not held after it", async (t) => {
  const { verifier, desk } = await startLive(t);
  const asked = await ask(verifier, A);
  desk.tell(A);
  await desk.break();
  assert.equal(asked.value.active, true);
  assert.equal(verifier.counts.held, 0);
});

test("a connection that is known to be down is not waited for: Unavailable at once, until it is back", async (t) => {
  const { verifier, desk } = await startLive(t);
  for (let i = 0; i < 28; i++) outcome(verifier.verify(mint(String(i).padStart(20, "0"))));
  const behind = await ask(verifier, A);
  assert.equal(behind.is, "pending");
  const refused = async () => assert((await ask(verifier, A)).error instanceof Unavailable, verifier.state);
  await desk.break();
  assert(behind.error instanceof Unavailable);
  assert.equal(verifier.state, "waiting");
  await refused();
  t.mock.timers.tick(1);
  assert.equal(verifier.state, "connecting");
  await refused();
  await Desk.last.open();
  const asked = await ask(verifier, A);
  await Desk.last.tell(A);
  assert.equal(asked.value.active, true);
});

test("it is back within 5 s, however long the server was away, and later where that says so", async (t) => {
  await startLive(t);
  let [random, headers] = [1, {}];
  t.mock.method(Math, "random", () => random);
  t.mock.method(globalThis, "fetch", async () => new Response("{}", { status: 503, headers }));
  const pause = async () => {
    const attempts = Wire.all.length;
    await Desk.last.break();
    for (let i = 0; i < 5; i++) await turn();
    for (let ms = 0; ; ms += 250, t.mock.timers.tick(250)) if (Wire.all.length > attempts) return ms;
  };
  for (const expected of [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]) assert.equal(await pause(), expected);
  [random, headers] = [0, { "Retry-After": "20" }];
  assert.equal(await pause(), 20_000);
  random = 1;
  assert.equal(await pause(), 40_000, "so that those who are told the same do not come as one");
});

test("at the start, too, once the first attempt has failed", async (t) => {
  const { verifier } = start(t);
  t.mock.method(globalThis, "fetch", async () => { throw new TypeError("refused"); });
  const waiting = await ask(verifier, A);
  assert.equal(waiting.is, "pending");
  await Desk.last.break();
  await turn();
  assert(waiting.error instanceof Unavailable);
  assert((await ask(verifier, A)).error instanceof Unavailable);
});

test("a question waits for the first connection as long as it may, and no longer", async (t) => {
  const { verifier, time } = start(t, { timeout: 700 });
  const early = await ask(verifier, A);
  await time.pass(400);
  const late = await ask(verifier, B);
  await time.pass(300);
  assert(early.error instanceof Unavailable);
  await Desk.last.open();
  assert.deepEqual(Desk.last.names, ["beat", "verify"]);
  await time.pass(390);
  assert.equal(late.is, "pending");
  await time.pass(10);
  assert(late.error instanceof Unavailable, "its whole time, waiting included");
});

test("when the verifier's own credential ends nothing is good for answers any more, with grace or without", async (t) => {
  const { verifier, desk } = await startHolding(t, A, { grace: 60 });
  const asked = await ask(verifier, B);
  await desk.break(4401, "disabled");
  assert.equal(verifier.state, "ended");
  for (const { error } of [asked, await ask(verifier, A), await ask(verifier, B)]) assert(error instanceof Unavailable);
  assert.equal(verifier.counts.held, 0);
});

test("questions that wait are refused when the credential ends", async (t) => {
  const { verifier, desk } = await startLive(t);
  for (let i = 0; i < 28; i++) outcome(verifier.verify(mint(String(i).padStart(20, "0"))));
  const waiting = await ask(verifier, A);
  await desk.break(4401, "disabled");
  assert(waiting.error instanceof Unavailable);
});

test("a beat that is never answered means another connection", async (t) => {
  const { time, desk } = await startLive(t);
  Desk.beats = false;
  await time.pass(11_660);
  assert.equal(Wire.all.length, 1);
  await time.pass(20);
  assert.equal(Wire.all.length, 2);
  assert(desk.closed);
});

// ---- changes

test("a change drops the token and is then confirmed; others stay", async (t) => {
  const { verifier, desk } = await startHolding(t, A);
  await ask(verifier, B);
  await desk.tell(B);
  const heldWhenConfirmed = [];
  desk.send = (text) => { heldWhenConfirmed.push(verifier.counts.held); Desk.prototype.send.call(desk, text); };
  await desk.change(A, C);
  assert.deepEqual(desk.sent.at(-1), { jsonrpc: "2.0", method: "/v1/verifier/confirm", params: [1] });
  assert.deepEqual(heldWhenConfirmed, [1], "dropped before it was confirmed");
  assert(await isHeld(verifier, B));
  const again = await ask(verifier, A);
  await desk.bad();
  assert.equal(again.value.active, false);
  await desk.change(B);
  assert.deepEqual(desk.sent.at(-1).params, [2]);
});

test("both secrets of a token that is being rotated are dropped", async (t) => {
  const { verifier, desk } = await startHolding(t, A);
  await ask(verifier, B);
  await desk.tell(B, { tokenId: idOf(A) });
  await desk.change(A);
  assert.equal(verifier.counts.held, 0);
});

test("a beat confirms what was dropped", async (t) => {
  const { time, desk } = await startHolding(t, A);
  await desk.change(A);
  await time.pass(2_000);
  assert.equal(desk.all("beat").at(-1).params[0].confirmed, 1);
});

test("an answer that a change has overtaken is not used: it is asked again", async (t) => {
  const { verifier, desk } = await startLive(t);
  const asked = await ask(verifier, A);
  const joined = await ask(verifier, A);
  await desk.change(B);
  await desk.change(A);
  await desk.tell(A, { seq: 1 });
  assert.deepEqual([asked.is, joined.is, desk.asked.length, verifier.counts.held], ["pending", "pending", 2, 0]);
  await desk.bad();
  assert.equal(asked.value.active, false);
  assert.equal(desk.asked.length, 3, "who came later asks again");
  await desk.tell(A, { seq: 2 });
  assert.equal(joined.value.active, true);
  assert(await isHeld(verifier, A));
});

test("in one packet, too: the change first, then the answer; or the answer first, then the change", async (t) => {
  const { verifier, desk } = await startLive(t);
  const first = await ask(verifier, A);
  desk.change(A);
  await desk.tell(A, { seq: 0 });
  assert.deepEqual([first.is, desk.asked.length], ["pending", 2]);
  desk.tell(A);
  await desk.change(A);
  assert.equal(first.value.active, true);
  assert.equal(verifier.counts.held, 0);
});

test("a change that the answer knows of, or of another token, does not make it out of date", async (t) => {
  const { verifier, desk } = await startLive(t);
  const asked = await ask(verifier, A);
  await desk.change(A);
  await desk.change(B);
  await desk.tell(A, { seq: 1 });
  assert.equal(asked.value.active, true);
  assert(await isHeld(verifier, A));
});

test("an answer that is overtaken again and again is Unavailable", async (t) => {
  const { verifier, desk } = await startLive(t);
  const asked = await ask(verifier, A);
  for (let n = 0; n < 3; n++) {
    assert.equal(asked.is, "pending");
    await desk.change(A);
    await desk.tell(A, { seq: n });
  }
  assert(asked.error instanceof Unavailable);
  assert.equal(desk.asked.length, 3);
});

test("a change that is missing, and a beat that knows of more, mean another connection", async (t) => {
  for (const lose of [(desk) => desk.change(B), (desk) => desk.beat()]) {
    const { verifier, desk, time } = await startLive(t);
    Desk.beats = false;
    await time.pass(2_000);
    desk.seq++;
    await lose(desk);
    assert.equal(Wire.all.length, 2, lose.toString());
    assert.equal(desk.all("confirm").length, 0);
    await end(t, verifier);
  }
});

test("a question is not held under a lease that began after it was sent", async (t) => {
  const { verifier, time, desk } = await startLive(t, { lease: 3 });
  Desk.beats = false;
  await time.pass(2_000);
  await ask(verifier, A);
  await time.pass(1_500);
  await desk.beat();
  await desk.tell(A);
  await time.pass(10);
  await desk.beat();
  assert(!await isHeld(verifier, A));
});

// ---- many at once

test("those who ask before the request is sent share it; the facts are held for the rest", async (t) => {
  const { verifier } = start(t);
  const asked = Array.from({ length: 100 }, () => outcome(verifier.verify(A)));
  await Desk.last.open();
  await turn();
  assert.equal(Desk.last.asked.length, 1);
  const later = Array.from({ length: 100 }, () => outcome(verifier.verify(A)));
  await turn();
  assert.equal(Desk.last.asked.length, 1);
  await Desk.last.tell(A);
  assert([...asked, ...later].every(({ value }) => value.active));
  assert.equal(Desk.last.asked.length, 1);
});

test("of an answer that is not held those who came after its request ask again, once", async (t) => {
  const { verifier, desk } = await startLive(t);
  const first = await ask(verifier, A);
  const later = Array.from({ length: 50 }, () => outcome(verifier.verify(A)));
  await turn();
  await desk.bad();
  assert.equal(first.value.active, false);
  assert.equal(desk.asked.length, 2);
  const last = await ask(verifier, A);
  assert(later.every(({ is }) => is === "pending"));
  await desk.tell(A);
  assert([...later, last].every(({ value }) => value.active));
  assert.equal(desk.asked.length, 2);
});

test("what fails, fails for those who share it; those who came later ask again", async (t) => {
  const { verifier, desk } = await startLive(t);
  const first = await ask(verifier, A);
  const later = [await ask(verifier, A), await ask(verifier, A)];
  await desk.fail(503);
  assert(first.error instanceof Unavailable);
  assert.equal(desk.asked.length, 2);
  await desk.fail(503);
  assert(later.every(({ error }) => error instanceof Unavailable));
});

test("a token with a rate limit is asked about for each use, however many there are at once", async (t) => {
  const { verifier, desk } = await startLive(t);
  const asked = Array.from({ length: 10 }, () => outcome(verifier.verify(A)));
  await turn();
  for (let n = 0; n < desk.asked.length; n++) await desk.tell(A, { held: false }, desk.asked[n]);
  assert(asked.every(({ value }) => value.active));
  assert.equal(desk.asked.length, 10);
});

test("who has to ask by himself in the end has no more time than others", async (t) => {
  const { verifier, desk, time } = await startLive(t, { timeout: 1_000 });
  const asked = [await ask(verifier, A), await ask(verifier, A), await ask(verifier, A)];
  await time.pass(600);
  await desk.bad();
  await desk.tell(A, { held: false });
  assert.deepEqual([asked[0].value.active, asked[1].value.active, asked[2].is, desk.asked.length], [false, true, "pending", 3]);
  await time.pass(390);
  assert.equal(asked[2].is, "pending");
  await time.pass(10);
  assert(asked[2].error instanceof Unavailable);
});

test("two tokens are never one question, though all but the last characters be the same", async (t) => {
  const { verifier, desk } = await startLive(t);
  const body = A.slice(0, 67);
  const [one, two] = ["x", "y"].map((last) => mint("", body + last));
  await ask(verifier, one);
  await ask(verifier, two);
  assert.deepEqual(desk.asked.map(({ params }) => params.digest), [digest(one), digest(two)]);
});

test("28 questions are under way at most, so that beats get through; 1,000 more may wait", async (t) => {
  const { verifier, desk, time } = await startLive(t, { timeout: 60_000 });
  const tokens = Array.from({ length: 1_029 }, (_, i) => mint(String(i).padStart(20, "0")));
  const asked = tokens.map((token) => outcome(verifier.verify(token)));
  await turn();
  assert.equal(desk.asked.length, 28);
  assert(asked.at(-1).error instanceof Unavailable, "one too many");
  await time.pass(2_000);
  assert.equal(desk.all("beat").length, 2);
  for (let n = 0; n < 1_028; n++) await desk.tell(tokens[n], {}, desk.asked[n]);
  assert(asked.slice(0, -1).every(({ value }) => value?.active));
});

test("as many are held as may be, and those used longest ago make way", async (t) => {
  const { verifier, desk } = await startHolding(t, A, { size: 2 });
  await ask(verifier, B);
  await desk.tell(B);
  assert(await isHeld(verifier, A));
  await ask(verifier, C);
  await desk.tell(C);
  assert.equal(verifier.counts.held, 2);
  assert(await isHeld(verifier, A) && await isHeld(verifier, C));
  assert(!await isHeld(verifier, B));
});

// ---- grace

test("with grace what was held is answered while the server is away, stale and counted, so long after the lease", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A, { lease: 5, grace: 10 });
  await time.pass(1_000);
  await desk.break();
  const { value } = await ask(verifier, A, { permissions: ["repo:read"] });
  assert.deepEqual([value.active, value.allowed, value.stale], [true, true, true]);
  assert((await ask(verifier, B)).error instanceof Unavailable, "what was not held is not made up");
  await time.pass(13_990);
  assert.equal((await ask(verifier, A)).value.stale, true);
  assert.equal(verifier.counts.stale, 2);
  await time.pass(10);
  assert((await ask(verifier, A)).error instanceof Unavailable, "5 s and 10 s after the last beat");
});

test("grace ends by the clock that says more, and what is stale with its token", async (t) => {
  for (const [steady, wall, isLeft, expiresInMs] of [[0, 14_999, true], [0, 15_000, false], [0, MINUTES_10, false],
    [14_999, -MINUTES_10, true], [15_000, -MINUTES_10, false], [0, 9_999, true, 10_000], [0, 10_000, false, 10_000],
    [9_999, -MINUTES_10, true, 10_000], [10_000, -MINUTES_10, false, 10_000]]) {
    const { verifier, desk, time } = await startHolding(t, A, { grace: 10 }, { expiresInMs: expiresInMs ?? null });
    await desk.break();
    time.steady += steady;
    time.wall += wall;
    const { value, error } = await ask(verifier, A);
    assert.equal(value?.stale ?? false, isLeft, `${steady} and ${wall} ms later`);
    assert.equal(error instanceof Unavailable, !isLeft);
    await end(t, verifier);
  }
});

test("grace does not outlive the token, is not for what is refused, and ends when the server answers again", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A, { grace: 60 }, { expiresInMs: 20_000 });
  await ask(verifier, B);
  await desk.tell(B);
  await ask(verifier, C);
  await desk.tell(C);
  await desk.break();
  Desk.beats = false;
  t.mock.timers.tick(1);
  const back = Desk.last;
  await back.open();
  await back.fail(503, undefined, back.all("beat")[0]);
  const refused = await ask(verifier, B);
  await back.fail(403);
  assert(refused.error instanceof Unavailable);
  const limited = await ask(verifier, B);
  await back.fail(429, { retryAfterMs: 1 });
  assert(limited.error instanceof RateLimited);
  const away = await ask(verifier, B);
  await back.fail(503);
  assert.equal(away.value.stale, true, "its database is away");
  const answered = await ask(verifier, B);
  await back.bad();
  assert.equal(answered.value.active, false);
  await back.change(C);
  for (const token of [B, C]) {
    const dropped = await ask(verifier, token);
    await back.fail(503);
    assert(dropped.error instanceof Unavailable, "it is known to have changed");
  }
  await back.break();
  await time.pass(19_000);
  assert.equal((await ask(verifier, A)).value.stale, true);
  await time.pass(1_000);
  assert((await ask(verifier, A)).error instanceof Unavailable);
});

test("nothing stale is answered while there is a lease, however slow the server is or what it fails with", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A, { grace: 60 });
  await desk.break();
  t.mock.timers.tick(1);
  const back = Desk.last;
  await back.open();
  const failing = await ask(verifier, A);
  await back.fail(503);
  assert(failing.error instanceof Unavailable, "what was held before may have changed unheard, and here is the server to ask");
  const slow = await ask(verifier, A);
  await time.pass(4_990);
  assert.equal(slow.is, "pending");
  await time.pass(10);
  assert(slow.error instanceof Unavailable);
  await back.break();
  assert((await ask(verifier, A)).error instanceof Unavailable, "nor after it");
  assert.equal(verifier.counts.stale, 0);
});

test("nor what was asked for under the lease before it", async (t) => {
  const { verifier, desk, time } = await startLive(t, { grace: 60 });
  Desk.beats = false;
  await time.pass(3_000);
  const early = await ask(verifier, A);
  await time.pass(2_500);
  await desk.beat();
  await desk.tell(A);
  assert.equal(early.value.active, true);
  const slow = await ask(verifier, A);
  await time.pass(600);
  assert.equal(slow.is, "pending");
});

test("where a stale answer is there, an answer is waited for half a second", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A, { lease: 2, grace: 60 });
  Desk.beats = false;
  await time.pass(2_000);
  const [known, unknown] = [await ask(verifier, A), await ask(verifier, B)];
  await time.pass(490);
  assert.equal(known.is, "pending");
  await time.pass(10);
  assert.equal(known.value.stale, true);
  assert.equal(unknown.is, "pending");
  const inTime = await ask(verifier, A);
  await desk.tell(A, {}, desk.asked.findLast(({ params }) => params.digest === digest(A)));
  await turn();
  assert.equal(inTime.is, "pending", "that was the first one's");
  await desk.bad();
  assert.equal(inTime.value.active, false);
});

// ---- uses

test("uses are reported every 10 s, and what was not counted is told again", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A);
  for (const permissions of [["repo:read"], ["admin"], ["repo:read"]]) await ask(verifier, A, { permissions });
  await ask(verifier, B);
  await desk.bad();
  await time.pass(9_900);
  assert.deepEqual(desk.all("report"), []);
  await time.pass(100);
  assert.deepEqual(desk.all("report").map(({ params }) => params), [[[{ tokenId: idOf(A), allowed: 3, denied: 1 }]]]);
  await time.pass(10_000);
  assert.equal(desk.all("report").length, 1, "nothing to tell");
  await ask(verifier, A);
  Desk.beats = false;
  await time.pass(1_600);
  await desk.beat();
  await time.pass(8_400);
  await desk.fail(503, undefined, desk.all("report")[1]);
  await ask(verifier, A, { ip: "192.0.2.1", permissions: ["admin"] }); // of what is asked, for the lease is over
  await desk.tell(A);
  await desk.break();
  Desk.beats = true;
  t.mock.timers.tick(1);
  await Desk.last.open();
  await turn();
  assert.deepEqual(Desk.last.all("report").map(({ params }) => params), [[[{ tokenId: idOf(A), allowed: 1, denied: 1 }]]]);
});

test("what may have been counted is not told again", async (t) => {
  const { desk, time } = await startHolding(t, A);
  await time.pass(9_990);
  Desk.beats = false;
  await time.pass(10);
  assert.equal(desk.all("report").length, 1);
  await desk.break();
  Desk.beats = true;
  t.mock.timers.tick(1);
  await Desk.last.open();
  await time.pass(10_000);
  assert.deepEqual(Desk.last.all("report"), []);
});

test("a report has 500 tokens at most", async (t) => {
  const { verifier, desk, time } = await startLive(t);
  for (let i = 0; i < 501; i++) {
    const token = mint(String(i).padStart(20, "0"));
    await ask(verifier, token);
    await desk.tell(token);
  }
  await time.pass(10_000);
  assert.deepEqual(desk.all("report").map(({ params }) => params[0].length), [500, 1]);
  assert(JSON.stringify(desk.all("report")[0]).length < 65_536);
});

test("close() reports, gives the lease back and disconnects; after it all is Unavailable", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A);
  const under = await ask(verifier, B);
  const behind = await ask(verifier, B);
  await verifier.close();
  assert.deepEqual(desk.names.slice(-2), ["report", "release"]);
  assert(desk.closed);
  for (const { error } of [under, await ask(verifier, A), behind, await ask(verifier, C)]) assert(error instanceof Unavailable);
  const sent = desk.sent.length;
  await time.pass(60_000);
  assert.deepEqual([desk.sent.length, Wire.all.length, verifier.counts.held, verifier.state], [sent, 1, 0, "closed"]);
  assert.equal((await ask(verifier, "rubbish")).value.active, false);
  await verifier.close();
  const idle = new Verifier("ws://tokenwire.test/api", { token: OWN, WebSocket: Desk });
  const waiting = await ask(idle, A);
  await idle[Symbol.asyncDispose]();
  await turn();
  assert(waiting.error instanceof Unavailable);
});

test("close() does not wait for a server that says nothing, and nothing is answered meanwhile", async (t) => {
  const { verifier, desk, time } = await startHolding(t, A, { grace: 60 });
  Desk.beats = false;
  const closed = outcome(verifier.close());
  for (const { error } of [await ask(verifier, A), await ask(verifier, B)]) assert(error instanceof Unavailable);
  await time.pass(1_990);
  assert.equal(closed.is, "pending");
  assert.deepEqual(desk.names.slice(-2), ["report", "release"], "and no beat after it");
  await time.pass(10);
  assert.equal(closed.is, "resolved");
  assert(desk.closed);
});

test("options are checked", () => {
  for (const options of [{ lease: 0.9 }, { lease: 61 }, { lease: NaN }, { lease: "x" }, { size: -1 }, { grace: -1 }, { grace: NaN }, { timeout: 0 }]) {
    assert.throws(() => new Verifier("ws://tokenwire.test/api", { token: OWN, WebSocket: Desk, ...options }), RangeError, inspect(options));
  }
});

// ---- the middleware

/** What a middleware does with a request: what it answers, or the Decision that it passes on. */
async function pass(middleware, headers, more = { socket: { remoteAddress: "192.0.2.7" } }) {
  const req = { headers, ...more };
  const res = { headers: {}, setHeader(name, value) { this.headers[name.toLowerCase()] = value; }, end(body) { this.body = JSON.parse(body).error; } };
  let passed;
  const done = middleware(req, res, (...args) => { passed = args; });
  await turn();
  return { ...res, passed, req, done };
}

test("require: RFC 6750's answers", async (t) => {
  const { verifier, desk } = await startHolding(t, A, {}, { allowedIps: ["192.0.2.0/24"] });
  const read = verifier.require("repo:read"), both = verifier.require("repo:read", "repo:write");
  const bearer = (token) => ({ authorization: `Bearer ${token}` });
  const answer = ({ passed, statusCode, body, headers }) => passed ?? [statusCode, body, headers["www-authenticate"] ?? headers["retry-after"]];

  for (const headers of [{}, { authorization: "Basic YTpi" }, { authorization: `bearertoken ${A}` }, { authorization: A }]) {
    assert.deepEqual(answer(await pass(read, headers)), [401, "unauthorized", 'Bearer realm="tokenwire"'], "no error code where there was no token");
  }
  for (const token of ["", ` `, `${A} ${A}`, `${A}, Bearer ${A}`, `${A},x`]) {
    assert.deepEqual(answer(await pass(read, bearer(token))), [400, "invalid_request", 'Bearer realm="tokenwire", error="invalid_request"']);
  }
  assert.deepEqual(answer(await pass(read, { authorization: "Bearer" })).slice(0, 2), [400, "invalid_request"]);
  assert.deepEqual(answer(await pass(read, bearer("x"))), [401, "invalid_token", 'Bearer realm="tokenwire", error="invalid_token"']);

  const good = await pass(read, { authorization: `bEARER  ${A}` });
  assert.deepEqual(good.passed, []);
  assert.equal(good.req.auth.username, "ada");
  assert.equal(good.statusCode, undefined);
  assert.deepEqual(answer(await pass(both, bearer(A))), [403, "insufficient_scope", 'Bearer realm="tokenwire", error="insufficient_scope", scope="repo:read repo:write"']);
  assert.equal((await pass(verifier.require(), bearer(A))).passed.length, 0);

  for (const from of [{ socket: { remoteAddress: "192.0.3.7" } }, { socket: {} }, {}, { ip: "198.51.100.1", socket: { remoteAddress: "192.0.2.7" } }]) {
    assert.deepEqual(answer(await pass(read, bearer(A), from)), [403, "address_refused", undefined], inspect(from));
  }
  assert.deepEqual((await pass(read, bearer(A), { ip: "::ffff:192.0.2.9" })).passed, []);

  const failing = await pass(read, bearer(B));
  await desk.fail(503);
  await failing.done;
  const limited = await pass(read, bearer(B));
  await desk.fail(429, { retryAfterMs: 1_001 });
  await limited.done;
  const bad = await pass(read, bearer(B));
  await desk.bad();
  await bad.done;
  assert.deepEqual([failing, limited, bad].map(({ passed }) => passed), [undefined, undefined, undefined]);
});

test("require: 503, 429 and 401 by what the question comes to; the address is where the option says", async (t) => {
  const { verifier, desk } = await startLive(t, { address: (req) => req.headers["x-real-ip"] });
  const read = verifier.require("repo:read");
  const results = [];
  const run = async (settle, headers = {}) => {
    const res = { setHeader: (name, value) => results.push([name, value]), end: (body) => results.push(body) };
    const done = read({ headers: { authorization: `Bearer ${A}`, ...headers } }, res, (...args) => results.push(args));
    await turn();
    await settle();
    await done;
    results.push(res.statusCode);
    return results.splice(0);
  };
  const always = [["Content-Type", "application/json"], ["Cache-Control", "no-store"]];
  assert.deepEqual(await run(() => desk.fail(503)), [...always, ["Retry-After", 1], '{"error":"unavailable"}', 503]);
  assert.deepEqual(await run(() => desk.fail(429, { retryAfterMs: 1_001 })), [...always, ["Retry-After", 2], '{"error":"rate_limited"}', 429]);
  assert.deepEqual(await run(() => desk.fail(429, { retryAfterMs: 1 })), [...always, ["Retry-After", 1], '{"error":"rate_limited"}', 429]);
  const challenge = ["WWW-Authenticate", 'Bearer realm="tokenwire", error="invalid_token"'];
  assert.deepEqual(await run(() => desk.bad()), [...always, challenge, '{"error":"invalid_token"}', 401]);
  assert.deepEqual(await run(() => desk.tell(A, { allowedIps: ["192.0.2.7"] }), { "x-real-ip": "192.0.2.7" }), [[], undefined]);
  assert.equal((await run(() => {}, { "x-real-ip": "192.0.2.8" })).at(-1), 403);
});

test("require: what is not the token's fault goes to next; ids are checked", async (t) => {
  const fault = new Error("no address");
  const { verifier } = await startLive(t, { address: () => { throw fault; } });
  assert.deepEqual((await pass(verifier.require(), { authorization: `Bearer ${A}` })).passed, [fault]);
  for (const id of ['a"b', "a b", "", "a\n"]) assert.throws(() => verifier.require("x", id), TypeError);
});
