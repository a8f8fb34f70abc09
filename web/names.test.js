// What is said of names that have a wrong form: the same as the server's rule, in words. node --test web/names.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { PERMISSION, problemOfName, ruleOf, USERNAME } from "./page/names.js";

const RULES = [[USERNAME, /^[a-z0-9][a-z0-9._@+-]{0,63}$/], [PERMISSION, /^[a-z0-9][a-z0-9:._/-]{0,63}$/]];

test("refuses what the server refuses, and nothing else", () => {
  const names = ["", "a", "0", "ada", "ada@example.org", "a+b-c_d.e", "-a", ".a", ":a", "a:b", "invoices:read", "a/b", "Ada", "ada b", "ä", "a\n", "🎉", "a".repeat(64), "a".repeat(65)];
  for (const [form, rule] of RULES) {
    for (const name of names) assert.equal(problemOfName(form, name) === "", rule.test(name), `${form.what} ${JSON.stringify(name)}`);
  }
});

test("says what to do", () => {
  assert.equal(problemOfName(USERNAME, "Ada"), "Write it in small letters: “ada”.");
  assert.match(problemOfName(USERNAME, "ada b"), /^Leave out the space: /);
  assert.match(problemOfName(USERNAME, "a:b"), /^Leave out “:”: /);
  assert.match(problemOfName(PERMISSION, "💥"), /^Leave out “💥”: /);
  assert.match(problemOfName(USERNAME, "_a"), /^Begin it with a letter or digit, not with “_”/);
  assert.match(problemOfName(USERNAME, "a".repeat(65)), /it has 65 characters, of 64/);
  assert.match(ruleOf(USERNAME), /small letters a to z, digits and \. _ @ \+ -/i);
});
