// What the page's list does when changes overtake what is read. node --test web/tokens.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { Tokens } from "./page/tokens.js";

const token = (id, version = 1, more = {}) => (
  { id, name: id, enabled: true, permissions: {}, effectivePermissions: [], version, createdAt: `2026-01-0${id.at(-1)}T00:00:00.000Z`, ...more });
const turn = () => new Promise(setImmediate);

/** An api whose answers are given by the test. */
function start() {
  const listeners = {}, calls = [], told = [];
  const api = {
    on: (method, fn) => (listeners[method.replace("/v1/api-tokens/", "")] = fn),
    call: (method, options) => new Promise((resolve, reject) => calls.push({ method, options, resolve, reject })),
  };
  const tokens = new Tokens(api, (what, { id } = {}) => what && told.push([what, id]));
  tokens.follow();
  return { tokens, calls, told, hear: (what, params) => listeners[what](params) };
}

async function startWith(...all) {
  const started = start();
  const reading = started.tokens.read();
  started.calls.shift().resolve({ tokens: all, next: null });
  await reading;
  return started;
}

const ids = ({ all }) => all.map(({ id }) => id);

test("reads all pages; newest first", async () => {
  const { tokens, calls } = start();
  const reading = tokens.read();
  calls[0].resolve({ tokens: [token("t3"), token("t2")], next: "more" });
  await turn();
  assert(!tokens.isRead);
  assert.deepEqual(calls[1].options, { limit: 100, after: "more" });
  calls[1].resolve({ tokens: [token("t1")], next: null });
  await reading;
  assert.deepEqual(ids(tokens), ["t3", "t2", "t1"]);
  assert(tokens.isRead);
});

test("each notification changes the list, and tells of it", async () => {
  const { tokens, told, hear } = await startWith(token("t1"));
  hear("created", { token: token("t2") });
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 2, time: "2026-02-01T00:00:00.000Z" });
  hear("permissions-changed", { tokenId: "t1", permissions: { a: true }, effectivePermissions: ["a"], version: 3 });
  assert.deepEqual(ids(tokens), ["t2", "t1"]);
  const { enabled, permissions, effectivePermissions, version, name } = tokens.all[1];
  assert.deepEqual([enabled, permissions, effectivePermissions, version, name], [false, { a: true }, ["a"], 3, "t1"]);
  hear("updated", { token: token("t1", 4, { name: "new" }) });
  assert.equal(tokens.all[1].name, "new");
  hear("deleted", { tokenId: "t1" });
  assert.deepEqual(ids(tokens), ["t2"]);
  assert.deepEqual(told, [["created", "t2"], ["enabled-changed", "t1"], ["permissions-changed", "t1"], ["updated", "t1"], ["deleted", "t1"]]);
});

test("a change told twice, late or of an unknown token does nothing", async () => {
  const { tokens, told, hear } = await startWith(token("t1", 5));
  hear("created", { token: token("t1", 1, { name: "old" }) });
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 5 });
  hear("enabled-changed", { tokenId: "t9", enabled: false, version: 2 });
  hear("deleted", { tokenId: "t9" });
  assert.deepEqual([tokens.all, told], [[token("t1", 5)], []]);
});

test("what was heard while a page was on its way is not undone by the page", async () => {
  const { tokens, calls, hear } = await startWith(token("t1"), token("t2"));
  const reading = tokens.read();
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 2 });
  hear("deleted", { tokenId: "t2" });
  hear("created", { token: token("t3") });
  calls[0].resolve({ tokens: [token("t2"), token("t1")], next: null }); // as it was before all that
  await reading;
  assert.deepEqual(ids(tokens), ["t3", "t1"]);
  assert.equal(tokens.all[1].enabled, false);
});

test("a later read takes the place of one under way; clear forgets both", async () => {
  const { tokens, calls } = start();
  const first = tokens.read(), second = tokens.read();
  calls[1].resolve({ tokens: [token("t2")], next: null });
  calls[0].resolve({ tokens: [token("t1")], next: "more" });
  await Promise.all([first, second]);
  assert.deepEqual(ids(tokens), ["t2"]);
  assert.equal(calls.length, 2, "the first one reads on no more");
  const third = tokens.read();
  tokens.clear();
  calls[2].resolve({ tokens: [token("t3")], next: null });
  await third;
  assert.deepEqual([ids(tokens), tokens.isRead], [[], false]);
});

test("a read that fails says so, and leaves what was there", async () => {
  const { tokens, calls } = await startWith(token("t1"));
  const reading = tokens.read();
  calls[0].reject(new Error("away"));
  await assert.rejects(reading, /away/);
  assert.deepEqual([ids(tokens), tokens.isRead], [["t1"], true]);
});
