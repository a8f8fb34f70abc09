// What the page makes of a token's use. node --test web/usage.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { allHours, deniedSinceEnd } from "./page/usage.js";

const hour = (at, allowed, denied = 0) => ({ from: `2026-11-23T${at}:00:00.000Z`, allowed, denied });
const usage = (...hours) => ({ from: "2026-11-23T09:30:00.000Z", to: "2026-11-23T13:10:00.000Z", hours });
const token = (more) => ({ enabled: false, expiresAt: null, updatedAt: "2026-11-23T11:40:00.000Z", ...more });

test("every hour from the first to the last, also those without use", () => {
  const counted = allHours(usage(hour("09", 1), hour("12", 3, 4)));
  assert.deepEqual(counted.map(({ from, allowed, denied }) => [new Date(from).getUTCHours(), allowed, denied]), [[9, 1, 0], [10, 0, 0], [11, 0, 0], [12, 3, 4], [13, 0, 0]]);
  assert.deepEqual(allHours({ ...usage(), from: usage().to }).length, 1);
  assert.deepEqual(allHours({ ...usage(), to: "2026-11-22T00:00:00.000Z" }), []);
});

test("counts what was denied since the token is no good, by whole hours", () => {
  const counted = usage(hour("10", 5, 1), hour("11", 0, 300), hour("12", 0, 12));
  assert.deepEqual(deniedSinceEnd(token(), counted, false), { denied: 312, since: Date.parse("2026-11-23T11:00:00Z") });
  assert.deepEqual(deniedSinceEnd(token({ updatedAt: "2026-01-01T00:00:00.000Z" }), counted, false), { denied: 313, since: Date.parse("2026-11-23T09:00:00Z") }, "no longer ago than was asked");
  assert.deepEqual(deniedSinceEnd(token({ enabled: true, expiresAt: "2026-11-23T12:30:00.000Z" }), counted, true), { denied: 12, since: Date.parse("2026-11-23T12:00:00Z") });
});

test("says nothing of a token that is good, or that nobody tries", () => {
  assert.equal(deniedSinceEnd(token({ enabled: true }), usage(hour("12", 0, 12)), false), null);
  assert.equal(deniedSinceEnd(token(), usage(hour("10", 0, 12), hour("12", 7)), false), null);
});
