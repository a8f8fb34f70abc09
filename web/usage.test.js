// What the page makes of a token's use. node --test web/usage.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { allHours, deniedSinceEnd, triedWords } from "./page/usage.js";

const hour = (at, allowed, denied = 0) => ({ from: `2026-11-23T${at}:00:00.000Z`, allowed, denied });
const usage = (...hours) => ({ from: "2026-11-23T09:30:00.000Z", to: "2026-11-23T13:10:00.000Z", hours });
const token = (more) => ({ enabled: false, expiresAt: null, updatedAt: "2026-11-23T11:40:00.000Z", ...more });

test("every hour from the first to the last, also those without use", () => {
  const counted = allHours(usage(hour("09", 1), hour("12", 3, 4)));
  assert.deepEqual(counted.map(({ from, allowed, denied }) => [new Date(from).getUTCHours(), allowed, denied]), [[9, 1, 0], [10, 0, 0], [11, 0, 0], [12, 3, 4], [13, 0, 0]]);
  assert.deepEqual(allHours({ ...usage(), from: usage().to }).length, 1);
  assert.deepEqual(allHours({ ...usage(), to: "2026-11-22T00:00:00.000Z" }), []);
});

test("counts what was denied in the hours after the token's end", () => {
  const counted = usage(hour("10", 5, 1), hour("11", 0, 300), hour("12", 0, 12));
  const twelve = { denied: 12, since: Date.parse("2026-11-23T12:00:00Z"), isSure: true };
  assert.deepEqual(deniedSinceEnd(token(), counted, false), twelve);
  assert.deepEqual(deniedSinceEnd(token({ updatedAt: "2026-11-23T12:00:00.000Z" }), counted, false), twelve, "at a full hour");
  assert.match(triedWords(token(), twelve), /^It is off, and still tried: 12 denied since /);
  assert.deepEqual(deniedSinceEnd(token({ updatedAt: "2026-01-01T00:00:00.000Z" }), counted, false), { denied: 313, since: Date.parse("2026-11-23T10:00:00Z"), isSure: true }, "no longer ago than was asked");
});

test("what was denied in the hour of its end may have been denied before, and it says so", () => {
  const counted = usage(hour("10", 5, 1), hour("11", 0, 300));
  const perhaps = { denied: 300, since: Date.parse("2026-11-23T11:00:00Z"), isSure: false };
  assert.deepEqual(deniedSinceEnd(token(), counted, false), perhaps);
  const expired = token({ enabled: true, expiresAt: "2026-11-23T11:30:00.000Z" });
  assert.deepEqual(deniedSinceEnd(expired, counted, true), perhaps);
  assert.match(triedWords(expired, perhaps), /^It is expired: 300 denied since .*, some of them perhaps before that\.$/);
});

test("says nothing of a token that is good, or that nobody tries", () => {
  assert.equal(deniedSinceEnd(token({ enabled: true }), usage(hour("12", 0, 12)), false), null);
  assert.equal(deniedSinceEnd(token(), usage(hour("10", 0, 12), hour("12", 7)), false), null);
});
