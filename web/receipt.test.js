// What the page says of a receipt. node --test web/receipt.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { receipted, receiptSentence, receiptsSentence, receiptWords } from "./page/receipt.js";

const receipt = (verifiers, expired = 0, elapsedMs = 8.25) => ({ verifiers, confirmed: verifiers - expired, expired, elapsedMs });

test("says where a change has arrived, and after how long", () => {
  assert.equal(receiptWords(receipt(14), "off"), "off at 14 of 14 verifiers after 8 ms");
  assert.equal(receiptWords(receipt(1, 0, 0.4)), "known at 1 of 1 verifier after less than 1 ms");
  assert.equal(receiptWords(receipt(14, 2, 5_012), "off"), "off everywhere after 5.0 s: 12 of 14 verifiers confirmed, the leases of 2 ran out");
  assert.equal(receiptWords(receipt(1, 1, 999.4)), "known everywhere after 999 ms: 0 of 1 verifier confirmed, the lease of 1 ran out");
  assert.equal(receiptWords(receipt(2, 0, 999.6)), "known at 2 of 2 verifiers after 1.0 s");
  assert.equal(receiptSentence(receipt(2), "gone"), " Gone at 2 of 2 verifiers after 8 ms.");
});

test("says nothing of verifiers where none had to hear of it", () => {
  assert.deepEqual([receiptWords(receipt(0), "off"), receiptSentence(receipt(0)), receiptsSentence([receipt(0)]), receiptsSentence([])], ["", "", "", ""]);
});

test("of many changes it says the worst", () => {
  assert.equal(receiptsSentence([receipt(2, 0, 3), receipt(2, 0, 12.4), receipt(0)]), " Every verifier that held them confirmed, the last after 12 ms.");
  assert.equal(receiptsSentence([receipt(2, 0, 3), receipt(2, 1, 5_000)]), " Done everywhere after 5.0 s: not every verifier confirmed, and the leases of the others ran out.");
});

/** An app whose one call is answered by the test. */
function start() {
  const made = { calls: [] };
  const answer = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.app = { api: { with: (options) => ({ call: (...params) => (made.calls.push([options, ...params]), answer) }) } };
  return made;
}

test("says that it waits where that takes long, and stops when the answer is there or has failed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  for (const outcome of ["resolve", "reject"]) {
    const told = [], { app, calls, ...answer } = start();
    const waiting = receipted(app, "/v1/x", ["t1", true], (isWaiting) => told.push(isWaiting));
    t.mock.timers.tick(299);
    assert.deepEqual(told, []);
    t.mock.timers.tick(1);
    assert.deepEqual(told, [true]);
    answer[outcome]({ id: "t1", receipt: receipt(1) });
    const got = await waiting.catch((error) => error);
    assert.deepEqual(told, [true, false]);
    assert.deepEqual(got, outcome === "resolve" ? { result: { id: "t1" }, receipt: receipt(1) } : { id: "t1", receipt: receipt(1) });
    assert.deepEqual(calls, [[{ timeout: 90_000 }, "/v1/x", "t1", true]], "longer than any lease");
  }
});

test("a quick answer is not waited for aloud", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const told = [], { app, resolve } = start();
  resolve({ receipt: receipt(0) });
  assert.deepEqual(await receipted(app, "/v1/x", [], (isWaiting) => told.push(isWaiting)), { result: {}, receipt: receipt(0) });
  t.mock.timers.tick(1_000);
  assert.deepEqual(told, []);
});
