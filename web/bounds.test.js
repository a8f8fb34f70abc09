// What the fields of a token's bounds make of what is filled in. node --test web/bounds.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { editableOf, editedMembers, filledOf, rebased } from "./page/bounds.js";

const token = (more = {}) => ({ name: "ci", expiresAt: null, allowedIps: null, rateLimit: null, ...more });
const bounded = token({ expiresAt: "2030-01-01T10:20:30.400Z", allowedIps: ["192.0.2.7", "2001:db8::/32"], rateLimit: { requests: 100, window: 60 } });

test("what a token has fills the fields, which say the same", () => {
  for (const one of [token(), bounded]) assert.deepEqual(editableOf(filledOf(one)), one);
});

test("addresses stand in lines, or with commas or spaces between them", () => {
  const addresses = (text) => editableOf({ ...filledOf(token()), addresses: text }).allowedIps;
  assert.deepEqual(addresses(" 192.0.2.7,10.0.0.0/8;::1\n\n2001:db8::/32\t"), ["192.0.2.7", "10.0.0.0/8", "::1", "2001:db8::/32"]);
  assert.equal(addresses(" \n,"), null);
  assert.deepEqual(addresses("no address"), ["no", "address"], "the server says what is none");
});

test("an end some days from now, at a time, or never", () => {
  const end = (life, at = "") => editableOf({ ...filledOf(token()), life, at }, Date.parse("2026-01-01T00:00:00Z")).expiresAt;
  assert.equal(end("7"), "2026-01-08T00:00:00.000Z");
  assert.equal(end(""), null);
  assert.equal(end("at", "2026-05-05T12:00"), new Date("2026-05-05T12:00").toISOString());
});

test("half a rate limit is sent, for the server to refuse", () => {
  assert.deepEqual(editableOf({ ...filledOf(token()), requests: "5" }).rateLimit, { requests: 5, window: 0 });
});

test("which members were edited", () => {
  const filled = filledOf(bounded);
  assert.deepEqual(editedMembers(filled, { ...filled }), []);
  assert.deepEqual(editedMembers(filled, { ...filled, name: "cd", life: "", addresses: "", window: "1" }), ["name", "expiresAt", "allowedIps", "rateLimit"]);
  assert.deepEqual(editedMembers(filled, { ...filled, at: "2031-01-01T00:00" }), ["expiresAt"]);
});

test("what somebody else changed follows, and what was edited here stays", () => {
  const before = filledOf(token());
  const mine = { ...before, name: "mine", requests: "5", window: "10" };
  const theirs = filledOf(token({ name: "theirs", allowedIps: ["::1"], rateLimit: { requests: 1, window: 1 } }));
  assert.deepEqual(rebased(before, mine, theirs), { ...theirs, name: "mine", requests: "5", window: "10" });
  assert.deepEqual(rebased(before, before, theirs), theirs);
});
