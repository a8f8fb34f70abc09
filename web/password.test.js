// That generated passwords cannot be guessed. node --test web/password.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { below, generatePassword } from "./page/password.js";

/** Gives these bytes, one after another. */
const giving = (...bytes) => (array) => array.map(() => bytes.shift());

test("has at least 128 bits, in letters that are not mistaken for others", () => {
  const password = generatePassword();
  assert.match(password, /^(?:[a-zA-Z2-9]{6}-){3}[a-zA-Z2-9]{6}$/);
  assert.doesNotMatch(password, /[0O1Il]/);
  const letters = new Set(Array.from({ length: 400 }, () => [...generatePassword().replaceAll("-", "")]).flat());
  assert(24 * Math.log2(letters.size) >= 128, `${letters.size} letters`);
  assert.notEqual(generatePassword(), password);
});

test("each number is as likely as any other", () => {
  const seen = new Map();
  for (let byte = 0; byte < 256; byte++) {
    const number = below(57, giving(byte, 0, 0));
    if (byte < 4 * 57) seen.set(number, (seen.get(number) ?? 0) + 1);
    else assert.equal(number, 0, "thrown away, and drawn again");
  }
  assert.deepEqual([...seen.keys()], Array.from({ length: 57 }, (_, i) => i));
  assert([...seen.values()].every((times) => times === 4));
});

test("a limit that divides 256 throws nothing away", () => {
  assert.equal(below(64, giving(255)), 63);
});
