// Receipts: the services that verify tokens hold what they know of them for a while, and a change is answered when each of those
// that it concerns has let go of that, or may no longer answer from it. The page says that it waits, and what came of it.

import { announce } from "./actions.js";

const PATIENCE_MS = 300; // most answers are there by then, and there is nothing to say
export const WAITING = "waiting for verifiers…";

/** verifiers = confirmed + expired @typedef {{ verifiers: number, confirmed: number, expired: number, elapsedMs: number }} Receipt */

/** Waits for the answer to a change, and says so where that takes long. Without a receipt no verifier was asked.
 * @template T @param {Promise<T>} answer @param {(isWaiting: boolean) => void} [tell]
 * @returns {Promise<{ result: T, receipt: Receipt | undefined }>} */
export async function receipted(answer, tell = sayWaiting()) {
  let isTold = false;
  const timer = setTimeout(() => tell((isTold = true)), PATIENCE_MS);
  try {
    const { receipt, ...result } = /** @type {any} */ (await answer);
    return { result, receipt };
  } finally {
    clearTimeout(timer);
    if (isTold) tell(false);
  }
}

/** Says it over the page, or over the dialog, for as long as it is so. */
export function sayWaiting() {
  /** @type {(() => void) | undefined} */ let unsay;
  return (/** @type {boolean} */ isWaiting) => {
    unsay?.();
    unsay = isWaiting ? announce(`${WAITING[0].toUpperCase()}${WAITING.slice(1)}`, { stays: true }) : undefined;
  };
}

/** Where a change has arrived, to follow a sentence that says what was done; "" where no verifier had to hear of it.
 * @param {Receipt | undefined} receipt @param {string} [done] in words: "off" */
export function receiptWords(receipt, done = "known") {
  if (!receipt?.verifiers) return "";
  const { verifiers, confirmed, expired, elapsedMs } = receipt;
  const at = `${done} at ${confirmed} of ${verifiers} ${verifiers === 1 ? "verifier" : "verifiers"}`;
  return expired ? `${at}; ${expired} ${expired === 1 ? "lease" : "leases"} ran out after ${elapsed(elapsedMs)}` : `${at} after ${elapsed(elapsedMs)}`;
}

/** The same as a sentence of its own, with the space before it. @param {Receipt | undefined} receipt @param {string} [done] */
export function receiptSentence(receipt, done) {
  const words = receiptWords(receipt, done);
  return words && ` ${words[0].toUpperCase()}${words.slice(1)}.`;
}

/** Of changes made side by side: each counts its own verifiers, who may be the same. @param {(Receipt | undefined)[]} receipts */
export function receiptsSentence(receipts) {
  const all = receipts.filter((one) => one !== undefined);
  const sum = (/** @type {"verifiers" | "expired"} */ member) => all.reduce((total, one) => total + one[member], 0);
  if (!sum("verifiers")) return "";
  const after = elapsed(Math.max(...all.map(({ elapsedMs }) => elapsedMs)));
  return sum("expired") ? ` Not every verifier confirmed: leases ran out, the last after ${after}.` : ` Every verifier that held them confirmed, the last after ${after}.`;
}

/** @param {number} ms */
function elapsed(ms) {
  if (Math.round(ms) >= 1_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 1 ? "less than 1 ms" : `${Math.round(ms)} ms`;
}
