// That it is known which sessions have ended, also where it breaks in the middle. node --test web/end-sessions.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { endSessions } from "./page/end-sessions.js";

const sessions = ["a", "b", "c"].map((id) => ({ id }));

test("ends them one after another, and tells of each", async () => {
  const calls = [], told = [], ended = new Set();
  await endSessions(sessions, async (id) => calls.push(id), ended, () => told.push(ended.size));
  assert.deepEqual([calls, [...ended], told], [["a", "b", "c"], ["a", "b", "c"], [1, 2, 3]]);
});

test("one that had ended by itself counts as ended", async () => {
  const ended = new Set();
  await endSessions(sessions, (id) => (id === "b" ? Promise.reject({ code: 404 }) : Promise.resolve()), ended, () => {});
  assert.equal(ended.size, 3);
});

test("cut off in the middle, it says so, and goes on there the next time", async () => {
  const ended = new Set(), lost = { code: "connection-lost", data: { outcome: "unknown" } };
  await assert.rejects(endSessions(sessions, (id) => (id === "b" ? Promise.reject(lost) : Promise.resolve()), ended, () => {}), lost);
  assert.deepEqual([...ended], ["a"]);
  const calls = [];
  await endSessions(sessions, async (id) => calls.push(id), ended, () => {});
  assert.deepEqual(calls, ["b", "c"]);
});
