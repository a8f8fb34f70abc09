// Receipts: the services that verify tokens hold what they know of them for a while, and a change is answered when each of those
// that it concerns has let go of that, or may no longer answer from it. The page says that it waits, and what came of it.

import { announce } from "./actions.js";

const PATIENCE_MS = 300; // most answers are there by then, and there is nothing to say
const TIMEOUT_MS = 90_000; // a lease may be as long as a minute, and the server waits for its end
export const WAITING = "waiting for verifiers…";

/** verifiers = confirmed + expired @typedef {{ verifiers: number, confirmed: number, expired: number, elapsedMs: number }} Receipt */

/** Makes a change that is answered with a receipt, and says that it waits where that takes long.
 * @param {Pick<import("./app.js").App, "api">} app @param {string} method @param {any[]} params @param {(isWaiting: boolean) => void} [tell]
 * @returns {Promise<{ result: any, receipt: Receipt }>} */
export async function receipted({ api }, method, params, tell = sayWaiting()) {
  let isTold = false;
  const timer = setTimeout(() => tell((isTold = true)), PATIENCE_MS);
  try {
    const { receipt, ...result } = await api.with({ timeout: TIMEOUT_MS }).call(method, ...params);
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
 * @param {Receipt} receipt @param {string} [done] in words: "off" */
export function receiptWords({ verifiers, confirmed, expired, elapsedMs }, done = "known") {
  if (!verifiers) return "";
  const all = `${verifiers} ${verifiers === 1 ? "verifier" : "verifiers"}`;
  if (!expired) return `${done} at ${confirmed} of ${all} after ${elapsed(elapsedMs)}`;
  return `${done} everywhere after ${elapsed(elapsedMs)}: ${confirmed} of ${all} confirmed, the ${expired === 1 ? "lease" : "leases"} of ${expired} ran out`;
}

/** The same as a sentence of its own, with the space before it. @param {Receipt} receipt @param {string} [done] */
export function receiptSentence(receipt, done) {
  const words = receiptWords(receipt, done);
  return words && ` ${words[0].toUpperCase()}${words.slice(1)}.`;
}

/** Of changes made side by side: each counts its own verifiers, who may be the same. @param {Receipt[]} receipts */
export function receiptsSentence(receipts) {
  const sum = (/** @type {"verifiers" | "expired"} */ member) => receipts.reduce((total, one) => total + one[member], 0);
  if (!sum("verifiers")) return "";
  const after = elapsed(Math.max(...receipts.map(({ elapsedMs }) => elapsedMs)));
  return sum("expired") ? ` Done everywhere after ${after}: not every verifier confirmed, and the leases of the others ran out.` : ` Every verifier that held them confirmed, the last after ${after}.`;
}

/** @param {number} ms */
function elapsed(ms) {
  if (Math.round(ms) >= 1_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 1 ? "less than 1 ms" : `${Math.round(ms)} ms`;
}
