// What a list that is read by pages holds, whatever order the answers come in. node --test web/pages.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { Pages } from "./page/pages.js";

const row = (id, more) => ({ id, ...more });
const turn = () => new Promise(setImmediate);

/** Pages whose answers are given by the test. */
function start() {
  const calls = [];
  const pages = new Pages((after) => new Promise((resolve, reject) => calls.push({ after, resolve, reject })), ({ id }) => id);
  return { pages, calls, answer: async (rows, next = null) => (calls.shift().resolve({ rows: rows.map((id) => row(id)), next }), turn()) };
}

const ids = ({ all }) => all.map(({ id }) => id);

test("reads a page, then the next", async () => {
  const { pages, calls, answer } = start();
  const first = pages.ask();
  assert.equal(calls[0].after, undefined);
  await answer(["a", "b"], "n1");
  assert.deepEqual([await first, ids(pages), pages.hasMore, pages.isRead], [true, ["a", "b"], true, true]);
  const second = pages.more();
  assert.equal(calls[0].after, "n1");
  await answer(["c"]);
  assert.deepEqual([await second, ids(pages), pages.hasMore], [true, ["a", "b", "c"], false]);
  assert.equal(await pages.more(), false);
});

test("reads as much anew as was read; another question starts with one page", async () => {
  const { pages, calls, answer } = start();
  pages.ask();
  await answer(["a", "b"], "n1");
  pages.more();
  await answer(["c", "d"], "n2");
  const again = pages.read();
  await answer(["a"], "n1");
  assert.deepEqual(ids(pages), ["a", "b", "c", "d"], "not before all has been read");
  await answer(["c", "d"], "n2");
  assert.equal(calls[0].after, "n2");
  await answer(["e"], "n3");
  assert.deepEqual([await again, ids(pages)], [true, ["a", "c", "d", "e"]]);
  pages.ask();
  await answer(["x"], "n1");
  assert.deepEqual(ids(pages), ["x"]);
});

test("a later read takes the place of one under way; nothing is read on meanwhile", async () => {
  const { pages, calls } = start();
  const first = pages.ask(), second = pages.ask();
  assert.equal(await pages.more(), false);
  calls[1].resolve({ rows: [row("new")], next: null });
  calls[0].resolve({ rows: [row("old")], next: "n1" });
  assert.deepEqual([await first, await second, ids(pages), calls.length], [false, true, ["new"], 2]);
});

test("a read that fails leaves what was there, and can be tried again", async () => {
  const { pages, calls, answer } = start();
  pages.ask();
  await answer(["a"], "n1");
  const more = pages.more();
  calls.shift().reject(new Error("away"));
  await assert.rejects(more, /away/);
  assert.deepEqual([ids(pages), pages.hasMore], [["a"], true]);
  pages.more();
  await answer(["b"]);
  assert.deepEqual(ids(pages), ["a", "b"]);
});

test("takes in what a call answered, of a row that is there", async () => {
  const { pages, answer } = start();
  pages.ask();
  await answer(["a", "b"]);
  pages.take(row("a", { enabled: false }));
  pages.take(row("z"));
  assert.deepEqual([pages.get("a"), ids(pages)], [{ id: "a", enabled: false }, ["a", "b"]]);
  pages.remove("a");
  assert.deepEqual(ids(pages), ["b"]);
});
