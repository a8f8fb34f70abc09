// What the page says of a receipt. node --test web/receipt.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { receipted, receiptSentence, receiptsSentence, receiptWords } from "./page/receipt.js";

const receipt = (verifiers, expired = 0, elapsedMs = 8.25) => ({ verifiers, confirmed: verifiers - expired, expired, elapsedMs });

test("says where a change has arrived, and after how long", () => {
  assert.equal(receiptWords(receipt(14), "off"), "off at 14 of 14 verifiers after 8 ms");
  assert.equal(receiptWords(receipt(1, 0, 0.4)), "known at 1 of 1 verifier after less than 1 ms");
  assert.equal(receiptWords(receipt(14, 2, 5_012), "off"), "off at 12 of 14 verifiers; 2 leases ran out after 5.0 s");
  assert.equal(receiptWords(receipt(1, 1, 999.4)), "known at 0 of 1 verifier; 1 lease ran out after 999 ms");
  assert.equal(receiptWords(receipt(2, 0, 999.6)), "known at 2 of 2 verifiers after 1.0 s");
  assert.equal(receiptSentence(receipt(2), "gone"), " Gone at 2 of 2 verifiers after 8 ms.");
});

test("says nothing of verifiers where there were none, or where the server tells nothing of them", () => {
  for (const none of [receipt(0), undefined]) assert.deepEqual([receiptWords(none, "off"), receiptSentence(none), receiptsSentence([none])], ["", "", ""]);
});

test("of many changes it says the worst", () => {
  assert.equal(receiptsSentence([receipt(2, 0, 3), undefined, receipt(2, 0, 12.4), receipt(0)]), " Every verifier that held them confirmed, the last after 12 ms.");
  assert.equal(receiptsSentence([receipt(2, 0, 3), receipt(2, 1, 5_000)]), " Not every verifier confirmed: leases ran out, the last after 5.0 s.");
});

test("says that it waits where that takes long, and stops when the answer is there or has failed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  for (const outcome of ["resolve", "reject"]) {
    const told = [];
    const answer = withResolvers();
    const waiting = receipted(answer.promise, (isWaiting) => told.push(isWaiting));
    t.mock.timers.tick(299);
    assert.deepEqual(told, []);
    t.mock.timers.tick(1);
    assert.deepEqual(told, [true]);
    answer[outcome]({ id: "t1", receipt: receipt(1) });
    const got = await waiting.catch((error) => error);
    assert.deepEqual(told, [true, false]);
    assert.deepEqual(got, outcome === "resolve" ? { result: { id: "t1" }, receipt: receipt(1) } : { id: "t1", receipt: receipt(1) });
  }
});

test("a quick answer is not waited for aloud", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const told = [];
  assert.deepEqual(await receipted(Promise.resolve({ id: "t1" }), (isWaiting) => told.push(isWaiting)), { result: { id: "t1" }, receipt: undefined });
  t.mock.timers.tick(1_000);
  assert.deepEqual(told, []);
});

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
