// What the page's list does when changes overtake what is read. node --test web/tokens.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { Tokens } from "./page/tokens.js";

const token = (id, version = 1, more = {}) => (
  { id, name: id, enabled: true, permissions: {}, effectivePermissions: [], version, createdAt: `2026-01-0${id.at(-1)}T00:00:00.000Z`, expiresAt: null, lastUsedAt: null, ...more });
const turn = () => new Promise(setImmediate);

/** A list whose answers are given by the test. */
function start() {
  const calls = [], told = [];
  const api = { call: (method, options) => new Promise((resolve, reject) => calls.push({ method, options, resolve, reject })) };
  const tokens = new Tokens(api, (what, { id } = {}) => what !== "read" && told.push([what, id]));
  return { tokens, calls, told, hear: (what, params) => tokens.hear(what, params) };
}

async function startWith(question, ...all) {
  const started = start();
  const reading = started.tokens.ask(question);
  started.calls.shift().resolve({ tokens: all, next: null });
  await reading;
  return started;
}

const ids = ({ all }) => all.map(({ id }) => id);
const many = (from, to) => Array.from({ length: to - from }, (_, i) => token(`t${from + i}`));

test("asks what it was asked, and reads on page by page", async () => {
  const { tokens, calls } = start();
  const reading = tokens.ask({ search: "ci", enabled: true, orderBy: "name", desc: false });
  assert.deepEqual(calls[0], { ...calls[0], method: "/v1/api-tokens/read", options: {
    where: { name: ["like", "ci"], enabled: true, expired: undefined }, orderBy: [["name", "asc"]], limit: 100, after: undefined } });
  calls[0].resolve({ tokens: many(0, 100), next: "more" });
  await reading;
  assert.deepEqual([tokens.all.length, tokens.hasMore, tokens.isRead], [100, true, true]);
  const more = tokens.more();
  assert.equal(tokens.more(), undefined, "one page at a time");
  assert.equal(calls[1].options.after, "more");
  calls[1].resolve({ tokens: [...many(99, 100), ...many(100, 150)], next: null });
  await more;
  assert.deepEqual([tokens.all.length, tokens.hasMore], [150, false]);
  assert.equal(tokens.more(), undefined);
});

test("reads as much anew as has been read", async () => {
  const { tokens, calls } = await startWith({}, ...many(0, 150));
  const reading = tokens.read();
  calls[0].resolve({ tokens: many(0, 100), next: "a" });
  await turn();
  assert.equal(calls[1].options.after, "a");
  calls[1].resolve({ tokens: many(100, 200), next: "b" });
  await reading;
  assert.deepEqual([tokens.all.length, tokens.hasMore], [200, true]);
});

test("each notification changes the list, and tells of it", async () => {
  const { tokens, told, hear } = await startWith({}, token("t1"));
  hear("created", { token: token("t2") });
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 2, time: "2026-02-01T00:00:00.000Z" });
  hear("permissions-changed", { tokenId: "t1", permissions: { a: true }, effectivePermissions: ["a"], version: 3 });
  assert.deepEqual(ids(tokens), ["t2", "t1"]);
  const { enabled, permissions, effectivePermissions, version, name } = tokens.get("t1");
  assert.deepEqual([enabled, permissions, effectivePermissions, version, name], [false, { a: true }, ["a"], 3, "t1"]);
  hear("updated", { token: token("t1", 4, { name: "new" }) });
  assert.equal(tokens.get("t1").name, "new");
  hear("deleted", { tokenId: "t1" });
  assert.deepEqual(ids(tokens), ["t2"]);
  assert.deepEqual(told, [["created", "t2"], ["enabled-changed", "t1"], ["permissions-changed", "t1"], ["updated", "t1"], ["deleted", "t1"]]);
});

test("what the owner loses changes what is effective, at the same version", async () => {
  const { tokens, told, hear } = await startWith({}, token("t1", 3, { permissions: { a: true }, effectivePermissions: ["a"], updatedAt: "then" }));
  hear("permissions-changed", { tokenId: "t1", permissions: { a: true }, effectivePermissions: [], version: 3, time: "now" });
  assert.deepEqual([tokens.get("t1").effectivePermissions, tokens.get("t1").updatedAt], [[], "then"]);
  assert.deepEqual(told, [["permissions-changed", "t1"]]);
});

test("a change told twice, late or of an unknown token does nothing", async () => {
  const { tokens, told, hear } = await startWith({}, token("t1", 5));
  hear("created", { token: token("t1", 1, { name: "old" }) });
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 4 });
  hear("enabled-changed", { tokenId: "t1", enabled: true, version: 5 });
  hear("enabled-changed", { tokenId: "t9", enabled: false, version: 2 });
  hear("deleted", { tokenId: "t9" });
  assert.deepEqual([tokens.all, told], [[token("t1", 5)], []]);
});

test("a new token stands where the order has it, if it fits and is not to be read later", async () => {
  const { tokens, hear } = await startWith({ search: "T", orderBy: "name", desc: false }, token("t2"), token("t4"));
  hear("created", { token: token("t3") });
  hear("created", { token: token("x1") });
  hear("created", { token: token("t5") });
  assert.deepEqual(ids(tokens), ["t2", "t3", "t4", "t5"]);
  const { tokens: cut, calls, hear: hearCut } = start();
  const reading = cut.ask({ orderBy: "name", desc: false });
  calls[0].resolve({ tokens: many(0, 100), next: "more" });
  await reading;
  hearCut("created", { token: token("z1") });
  assert.equal(cut.get("z1"), undefined, "it comes with the pages that are not read yet");
});

test("a changed token stays where it stands; one that comes to fit is told of", async () => {
  const { tokens, told, hear } = await startWith({ enabled: true }, token("t2"), token("t1"));
  hear("enabled-changed", { tokenId: "t2", enabled: false, version: 2 });
  hear("enabled-changed", { tokenId: "t9", enabled: true, version: 2 });
  assert.deepEqual([ids(tokens), told], [["t2", "t1"], [["enabled-changed", "t2"], ["elsewhere", undefined]]]);
});

test("what was heard while a page was on its way is not undone by the page", async () => {
  const { tokens, calls, hear } = await startWith({}, token("t2"), token("t1"));
  const reading = tokens.read();
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 2 });
  hear("deleted", { tokenId: "t2" });
  hear("created", { token: token("t3") });
  calls[0].resolve({ tokens: [token("t2"), token("t1")], next: null }); // as it was before all that
  await reading;
  assert.deepEqual(ids(tokens), ["t3", "t1"]);
  assert.equal(tokens.get("t1").enabled, false);
});

test("a later read takes the place of one under way", async () => {
  const { tokens, calls } = start();
  const first = tokens.read(), second = tokens.ask({ search: "2" });
  calls[1].resolve({ tokens: [token("t2")], next: null });
  calls[0].resolve({ tokens: [token("t1")], next: "more" });
  await Promise.all([first, second]);
  assert.deepEqual(ids(tokens), ["t2"]);
  assert.equal(calls.length, 2, "the first one reads on no more");
});

test("a read that fails says so, and leaves what was there", async () => {
  const { tokens, calls } = await startWith({}, token("t1"));
  const reading = tokens.read();
  calls[0].reject(new Error("away"));
  await assert.rejects(reading, /away/);
  assert.deepEqual([ids(tokens), tokens.isRead], [["t1"], true]);
});

test("reads all that there is", async () => {
  const { tokens, calls } = start();
  const reading = tokens.ask({});
  calls[0].resolve({ tokens: many(0, 100), next: "a" });
  await reading;
  const all = tokens.readAll();
  calls[1].resolve({ tokens: many(100, 200), next: "b" });
  await turn();
  calls[2].resolve({ tokens: many(200, 201), next: null });
  await all;
  assert.deepEqual([tokens.all.length, tokens.hasMore], [201, false]);
  await tokens.readAll();
  assert.equal(calls.length, 3);
});

test("a token that comes to fit while the list is read without it is told of", async () => {
  const { tokens, calls, told, hear } = await startWith({ enabled: true }, token("t1"));
  const reading = tokens.read();
  hear("enabled-changed", { tokenId: "t1", enabled: false, version: 2 });
  hear("enabled-changed", { tokenId: "t1", enabled: true, version: 3 });
  told.length = 0;
  calls[0].resolve({ tokens: [], next: null }); // as it was in between
  await reading;
  assert.deepEqual([ids(tokens), told], [[], [["elsewhere", undefined]]]);
});

test("what a late answer tells of a deleted token does not bring it back", async () => {
  const { tokens, hear } = await startWith({}, token("t1"));
  hear("deleted", { tokenId: "t1" });
  hear("updated", { token: token("t1", 1) });
  assert.deepEqual(ids(tokens), []);
});

test("names that the server folds in its own way are left to it", async () => {
  const { tokens, told, hear } = await startWith({ search: "ss", orderBy: "createdAt" }, token("t1", 1, { name: "ssh" }));
  hear("created", { token: token("t2", 1, { name: "Straße" }) });
  hear("created", { token: token("t3", 1, { name: "Pässe" }) });
  assert.deepEqual([ids(tokens), told], [["t1"], [["elsewhere", undefined], ["elsewhere", undefined]]]);
});

test("expired ones are asked for, too", async () => {
  const past = "2020-01-01T00:00:00.000Z";
  const { tokens, hear } = await startWith({ expired: false });
  hear("created", { token: token("t1", 1, { expiresAt: past }) });
  hear("created", { token: token("t2", 1, { expiresAt: null }) });
  assert.deepEqual(ids(tokens), ["t2"]);
});
