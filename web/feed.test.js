// What the page's activity does when notifications overtake what is read, and what it says of changes. node --test web/feed.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { detailOf, heldBefore, textOf, titleOf, whoOf } from "./page/changes.js";
import { Feed, MAX_ENTRIES } from "./page/feed.js";
import { changesByDay } from "./page/numbers.js";
import { TokenNames } from "./page/token-names.js";
import { ago, dayOf } from "./page/words.js";

const SWITCHED = "/v1/api-tokens/enabled-changed";
const turn = () => new Promise(setImmediate);
const event = (n, more = {}) => ({ method: SWITCHED, params: { position: `${n}-x`, time: "2026-01-01T00:00:00.000Z", by: null, tokenId: "t", enabled: true, ...more } });
/** Events as the server gives them: newest first. */
const down = (from, to) => Array.from({ length: from - to + 1 }, (_, i) => event(from - i));
const numbers = (feed) => feed.all.map(({ params }) => parseInt(params.position)).join(" ");

/** A feed whose reads are answered by the test. */
function start() {
  const calls = [];
  const feed = new Feed({ call: (method, options) => new Promise((resolve, reject) => calls.push({ method, options, resolve, reject })) }, () => {});
  const hear = (...ns) => ns.forEach((n) => feed.hear(SWITCHED, event(n).params));
  return { feed, calls, hear, answer: (events, next = null) => (calls.shift().resolve({ events, next }), turn()) };
}

async function startWith(events, next) {
  const started = start();
  const reading = started.feed.read();
  await started.answer(events, next);
  await reading;
  return started;
}

test("what is heard comes above what was read, and nothing comes twice", async () => {
  const { feed, hear } = await startWith(down(3, 1));
  hear(4, 5, 5, 3);
  assert.equal(numbers(feed), "5 4 3 2 1");
  assert.deepEqual(feed.all.map(({ isHeard }) => isHeard), [true, true, false, false, false]);
});

test("two notifications of one position are two", async () => {
  const { feed } = await startWith([]);
  feed.hear(SWITCHED, event(1).params);
  feed.hear("/v1/session/permissions-changed", { ...event(1).params, tokenId: undefined });
  feed.hear(SWITCHED, event(1, { tokenId: "other" }).params);
  assert.equal(feed.all.length, 3);
});

test("what is heard before the answer is here is in order, and not lost", async () => {
  const { feed, hear, answer } = start();
  feed.read();
  hear(2, 3, 4);
  assert.deepEqual([feed.isRead, feed.all.length], [false, 0]);
  await answer(down(3, 1));
  assert.equal(numbers(feed), "4 3 2 1");
});

test("an answer that does not meet what was heard is asked for again", async () => {
  const { feed, hear, calls, answer } = start();
  feed.read();
  hear(4);
  await answer(down(3, 2), "2-x"); // from before
  assert.deepEqual([feed.isRead, calls.length], [false, 1]);
  hear(5);
  await answer(down(5, 3), "3-x");
  assert.equal(numbers(feed), "5 4 3");
  const late = start();
  late.feed.read();
  late.hear(4);
  await late.answer(down(9, 6), "6-x"); // so many changes that the page ends above what was heard
  late.hear(5, 6, 7);
  await late.answer(down(9, 6), "6-x");
  assert.equal(numbers(late.feed), "9 8 7 6");
  assert(late.feed.hasMore);
});

test("a later read takes the place of one under way; one that failed holds back what is heard", async () => {
  const { feed, calls, hear } = start();
  const first = feed.read(), second = feed.read();
  calls[1].resolve({ events: down(2, 1), next: null });
  calls[0].resolve({ events: down(1, 1), next: null });
  await Promise.all([first, second]);
  assert.equal(numbers(feed), "2 1");
  const third = feed.read();
  calls[2].reject(new Error("away"));
  await assert.rejects(third, /away/);
  hear(9);
  assert.equal(numbers(feed), "2 1", "what is between is not known");
  feed.read();
  calls[3].resolve({ events: down(9, 1), next: null });
  await turn();
  assert.equal(numbers(feed), "9 8 7 6 5 4 3 2 1");
});

test("older pages come below, once, until all is read or no longer kept", async () => {
  const { feed, calls, answer, hear } = await startWith(down(9, 7), "7-x");
  const reading = feed.more();
  feed.more();
  assert.deepEqual(calls.map(({ options }) => options.after), ["7-x"]);
  hear(10);
  await answer(down(7, 5), "5-x");
  await reading;
  assert.equal(numbers(feed), "10 9 8 7 6 5");
  feed.more();
  calls.shift().reject(Object.assign(new Error("gone"), { code: 410 }));
  await turn();
  assert.deepEqual([feed.hasMore, feed.isCutOff], [false, true]);
  await feed.more();
  assert.equal(calls.length, 0);
});

test("an older page that comes after everything was read anew is dropped", async () => {
  const { feed, calls, answer } = await startWith(down(9, 8), "8-x");
  feed.more();
  const older = calls.shift();
  feed.read();
  await answer(down(3, 2), "2-x");
  older.resolve({ events: down(7, 6), next: null });
  await turn();
  assert.equal(numbers(feed), "3 2");
  assert(feed.hasMore);
});

test("while paused nothing moves, and what comes is counted", async () => {
  const { feed, hear } = await startWith(down(2, 1));
  feed.pause();
  hear(3, 4, 4);
  assert.deepEqual([numbers(feed), feed.held], ["2 1", 2]);
  feed.release();
  hear(5);
  assert.deepEqual([numbers(feed), feed.held, feed.isPaused], ["4 3 2 1", 1, true]);
  feed.resume();
  hear(6);
  assert.deepEqual([numbers(feed), feed.held], ["6 5 4 3 2 1", 0]);
});

test("it holds so many and no more", async () => {
  const { feed, hear, calls, answer } = await startWith(down(100, 1), "1-x");
  const older = feed.more();
  for (let n = 101; n <= MAX_ENTRIES - 50; n++) hear(n);
  await answer(down(0, -99), "-99-x");
  await older;
  assert.deepEqual([feed.all.length, feed.isFull, feed.hasMore, calls.length], [MAX_ENTRIES, true, false, 0]);
  feed.pause();
  for (let n = MAX_ENTRIES; n < 4 * MAX_ENTRIES; n++) hear(n);
  assert.equal(feed.held, 3 * MAX_ENTRIES);
  feed.release();
  assert.deepEqual([feed.all.length, parseInt(feed.all[0].params.position)], [MAX_ENTRIES, 4 * MAX_ENTRIES - 1]);
  hear(4 * MAX_ENTRIES - 1);
  assert.equal(feed.all.length, MAX_ENTRIES);
});

// Words.

const me = { userId: "u1", sessionId: "s1", nameOf: (id) => ({ t: "deploy" })[id] };
const entry = (method, params) => ({ key: "", method: `/v1/api-tokens/${method}`, tokenId: "t", isHeard: false, params: { by: null, tokenId: "t", ...params } });

test("by whom", () => {
  const who = (by) => whoOf(entry("deleted", { by }), me);
  assert.deepEqual(who(null), ["by itself"]);
  assert.deepEqual(who({ userId: "u1", username: "ada", credential: { kind: "session", id: "s1" } }), ["by you, in this browser"]);
  assert.deepEqual(who({ userId: "u1", username: "ada", credential: { kind: "session", id: "s2" } }), ["by you, in another session"]);
  assert.deepEqual(who({ userId: "u1", username: "ada", credential: { kind: "token", id: "t" } }), ["by you, with the token ", { name: "deploy" }]);
  assert.deepEqual(who({ userId: "u1", username: "ada", credential: { kind: "token", id: "gone" } }), ["by you, with the token ", { name: "twt_gone…" }]);
  assert.deepEqual(who({ userId: "u0", username: "admin" }), ["by ", { name: "admin" }]);
});

test("what differs from before, as far as that is known", () => {
  const created = entry("created", { token: { id: "t", permissions: { a: true }, effectivePermissions: ["a"] } });
  const changed = entry("permissions-changed", { permissions: { b: true }, effectivePermissions: ["b"] });
  const idle = entry("permissions-changed", { permissions: { b: true }, effectivePermissions: [] });
  const before = heldBefore([idle, entry("deleted", {}), changed, created]);
  assert.equal(detailOf(created, before.get(created) ?? null), "with a");
  assert.equal(detailOf(changed, before.get(changed) ?? null), "a taken away, b given");
  assert.equal(detailOf(idle, before.get(idle) ?? null), "b has no effect any more");
  assert.equal(detailOf(changed, null), "now b");
  assert.equal(detailOf(entry("permissions-changed", { permissions: {} }), null), "now none");
});

test("what differs of a token, or how it is where it is not known how it was", () => {
  const token = (more) => ({ id: "t", name: "ci", permissions: {}, effectivePermissions: [], expiresAt: null, allowedIps: null, rateLimit: null, ...more });
  const bounds = { expiresAt: "2030-01-01T12:00:00Z", allowedIps: ["192.0.2.7", "2001:db8::/32"], rateLimit: { requests: 100, window: 60 } };
  const created = entry("created", { token: token({ allowedIps: ["192.0.2.7"] }) });
  const given = entry("permissions-changed", { permissions: { a: true }, effectivePermissions: ["a"] });
  const renamed = entry("updated", { token: token({ name: "cd", allowedIps: ["192.0.2.7"], permissions: { a: true } }) });
  const bounded = entry("updated", { token: token({ name: "cd", ...bounds }) });
  const freed = entry("updated", { token: token({ name: "cd" }) });
  const rotated = entry("updated", { token: token({ name: "cd" }) });
  const before = heldBefore([rotated, freed, bounded, renamed, given, created]);
  const detail = (change) => detailOf(change, before.get(change) ?? null);
  assert.equal(detail(created), "without permissions, from 192.0.2.7");
  assert.equal(detail(given), "a given");
  assert.equal(detail(renamed), "renamed from \u2068ci\u2069 to \u2068cd\u2069");
  assert.match(detail(bounded), /^now until 1 Jan 2030, .+, now from 192\.0\.2\.7, 2001:db8::\/32, now 100 requests in 60 s$/);
  assert.equal(detail(freed), "now without an end, now from anywhere, now without a rate limit");
  assert.equal(detail(rotated), "a new secret");
  assert.match(detailOf(bounded, null), /^now \u2068cd\u2069, until 1 Jan 2030, .+, from 192\.0\.2\.7, 2001:db8::\/32, 100 requests in 60 s$/);
  assert.equal(detailOf(freed, heldBefore([freed, given]).get(freed)), "now \u2068cd\u2069", "permissions alone are not all");
  assert.deepEqual([titleOf(freed).kind, titleOf(freed).title], ["updated", "Changed"]);
});

test("what comes by itself, and what somebody reported", () => {
  const said = (/** @type {string} */ what, /** @type {any} */ params) => [titleOf(entry(what, params)).title, detailOf(entry(what, params), null), ...whoOf(entry(what, { by: null, ...params }), me)];
  assert.match(said("expiring", { expiresAt: "2030-01-01T12:00:00Z", days: 7 }).join(", "), /^Expires soon, good until 1 Jan 2030, .+, by itself$/);
  assert.match(said("expired", { expiresAt: "2030-01-01T12:00:00Z" }).join(", "), /^Expired, was good until 1 Jan 2030, .+, by itself$/);
  assert.deepEqual(said("leaked", { url: "https://git.example/a" }), ["Leaked", "found at \u2068https://git.example/a\u2069", "reported by somebody"]);
  assert.deepEqual(said("leaked", { url: null }), ["Leaked", "found where it should not be", "reported by somebody"]);
  assert.deepEqual(said("enabled-changed", { enabled: false }), ["Switched off", "", "as it was leaked"]);
});

test("titles, also of what is not known yet, and what a filter looks through", () => {
  assert.deepEqual(["created", "deleted", "permissions-changed", "updated", "renamed"].map((what) => titleOf(entry(what, {})).title), ["Created", "Deleted", "Permissions", "Changed", "Changed"]);
  assert.equal(titleOf(entry("enabled-changed", { enabled: false })).title, "Switched off");
  const text = textOf(entry("enabled-changed", { enabled: true, by: { userId: "u0", username: "Root" } }), me, null);
  for (const part of ["switched on", "deploy", "twt_t", "root"]) assert(text.includes(part), part);
  const permissions = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`p${i}`, true]));
  assert(textOf(entry("permissions-changed", { permissions }), me, { permissions: { gone: true } }).includes("gone taken away, p0 given"), "what it was before is looked through");
  assert(textOf(entry("permissions-changed", { permissions }), me, null).includes("p14"), "also what is only counted in the list");
});

test("names are learnt, and asked for once each", async () => {
  const asked = [];
  const answers = { a: [{ id: "a", name: "A" }] };
  const names = new TokenNames({ call: async (_, { id }) => {
    asked.push(id);
    if (!answers[id]) throw Object.assign(new Error("no such token"), { code: id === "away" ? 503 : 404 });
    return { tokens: answers[id] };
  } }, () => {});
  names.learn({ id: "b", name: "new" });
  names.learn({ id: "b", name: "old" }, { isOld: true });
  for (let i = 0; i < 2; i++) {
    names.want(["a", "b", "gone", "away"]);
    await turn();
  }
  assert.deepEqual(asked, ["a", "gone", "away", "away"]);
  assert.deepEqual(["a", "b", "gone"].map((id) => names.get(id)), ["A", "new", undefined]);
});

// Days and times, where the viewer is.

/** @param {string} zone @param {() => void} fn */
function inZone(zone, fn) {
  const before = process.env.TZ;
  process.env.TZ = zone;
  try { fn(); } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
}

test("changes are counted for the days of the viewer’s own time zone", () => {
  const hours = [["2026-11-16T23:00:00Z", 1], ["2026-11-22T23:00:00Z", 2], ["2026-11-23T05:00:00Z", 4], ["2026-11-23T15:00:00Z", 8]]
    .map(([from, changes]) => ({ from, changes }));
  const counted = (zone, now) => {
    let days;
    inZone(zone, () => (days = changesByDay({ hours, from: "", complete: true }, Date.parse(now)).map(({ changes }) => changes)));
    return days.join(" ");
  };
  assert.equal(counted("UTC", "2026-11-23T15:30:00Z"), "0 0 0 0 0 2 12");
  assert.equal(counted("Europe/Berlin", "2026-11-23T15:30:00Z"), "1 0 0 0 0 0 14");
  assert.equal(counted("America/Los_Angeles", "2026-11-23T15:30:00Z"), "0 0 0 0 0 6 8");
  assert.equal(counted("Pacific/Auckland", "2026-11-23T15:30:00Z"), "0 0 0 0 0 6 8");
});

test("days of 23 and 25 hours are days", () => inZone("Europe/Berlin", () => {
  for (const now of ["2026-03-29T20:00:00Z", "2026-03-31T00:30:00Z", "2026-10-25T22:30:00Z", "2026-10-27T00:00:00Z"].map(Date.parse)) {
    const days = changesByDay({ hours: [], from: "", complete: true }, now);
    assert(days.every(({ from }) => new Date(from).getHours() === 0));
    assert.deepEqual([dayOf(days[6].from, now), dayOf(days[5].from, now)], ["Today", "Yesterday"]);
    assert.match(dayOf(days[4].from, now), /^\w+,? \d+ \w+ 2026$/);
  }
}));

test("how long ago", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  const of = (seconds) => ago(new Date(now - seconds * 1_000).toISOString(), now);
  assert.deepEqual([-5, 0, 9, 10, 59, 60, 3_599, 3_600, 86_400, 200_000].map(of),
    ["just now", "just now", "just now", "10 seconds ago", "59 seconds ago", "1 minute ago", "59 minutes ago", "1 hour ago", "1 day ago", "2 days ago"]);
});

test("what has no effect is said of a token, never of a user", () => {
  const entry = (method, params) => ({ method: `/v1/${method}`, params });
  const token = { tokenId: "t1", permissions: { a: true, b: true }, effectivePermissions: ["a"] };
  assert.equal(detailOf(entry("api-tokens/permissions-changed", token), null), "now a, b (no effect: not held)");
  assert.equal(detailOf(entry("session/permissions-changed", { permissions: { a: true } }), null), "now a");
});
