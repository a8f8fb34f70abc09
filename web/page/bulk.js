// What is done to many tokens at once: one call each, side by side, telling how far it is and what failed.

import { count, problemOf } from "./words.js";

const SIDE_BY_SIDE = 8; // leaves room on the connection for what else the page asks

/** @typedef {import("../client.js").Token} Token */

/** Calls a method for each token. `tell` is told how far it is. Returns what failed, in words; a call that was cut off is not
 * known to have failed, and is said to be so.
 * @param {Token[]} tokens @param {(token: Token) => Promise<unknown>} call @param {(text: string) => void} tell @returns {Promise<string[]>} */
export async function forEachToken(tokens, call, tell) {
  const waiting = [...tokens];
  /** @type {string[]} */ const failed = [];
  let done = 0;
  const worker = async () => {
    for (let token = waiting.shift(); token; token = waiting.shift()) {
      try {
        await call(token);
        done++;
      } catch (/** @type {any} */ error) {
        failed.push(`“${token.name}”: ${problemOf(error)}`);
        if (typeof error.code !== "number") failed.push(...waiting.splice(0).map(({ name }) => `“${name}”: not tried.`));
      }
      tell(`${done} of ${count(tokens.length, "token")} done`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, tokens.length) }, worker));
  return failed;
}
