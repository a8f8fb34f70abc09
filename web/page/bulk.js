// What is done to many tokens at once: one call each, side by side, telling how far it is and what failed.

import { count, problemOf } from "./words.js";

const SIDE_BY_SIDE = 8; // leaves room on the connection for what else the page asks
const GONE = 404;

/** @typedef {import("../client.js").Token} Token */
/** @typedef {{ done: number, unknown: Token[], problems: string[], receipts: import("./receipt.js").Receipt[] }} Outcome
 * unknown: those whose answers were lost */

/** Calls a method for each token. `tell` is told how far it is. After a call that was cut off no more are made.
 * @param {Token[]} tokens @param {(token: Token) => Promise<import("./receipt.js").Receipt>} call @param {(text: string) => void} tell @returns {Promise<Outcome>} */
export async function forEachToken(tokens, call, tell) {
  const waiting = [...tokens];
  /** @type {Outcome} */ const outcome = { done: 0, unknown: [], problems: [], receipts: [] };
  let untried = 0;
  const worker = async () => {
    for (let token = waiting.shift(); token; token = waiting.shift()) {
      try {
        outcome.receipts.push(await call(token));
        outcome.done++;
      } catch (/** @type {any} */ error) {
        if (typeof error.code === "number") outcome.problems.push(`“${token.name}”: ${problemOf(error)}`);
        else if (error.data?.outcome === "unknown") outcome.unknown.push(token);
        else untried++;
        if (typeof error.code !== "number") untried += waiting.splice(0).length;
      }
      tell(`${outcome.done} of ${count(tokens.length, "token")} done`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, tokens.length) }, worker));
  if (outcome.unknown.length) outcome.problems.push(`The connection broke. What became of ${count(outcome.unknown.length, "token")} is not known yet.`);
  if (untried) outcome.problems.push(`${count(untried, "token")} ${untried === 1 ? "was" : "were"} not tried.`);
  return outcome;
}

/** How many have become what they should. @param {import("./app.js").App} app @param {Token[]} tokens
 * @param {(now: Token | undefined) => boolean} isDone @returns {Promise<number>} */
export async function countDone(app, tokens, isDone) {
  const read = async (/** @type {Token} */ { id }) => {
    try {
      return isDone((await app.api.call("/v1/api-tokens/read", { id })).tokens[0]);
    } catch (/** @type {any} */ error) {
      if (error.code !== GONE) throw error;
      return isDone(undefined);
    }
  };
  return (await Promise.all(tokens.map(read))).filter(Boolean).length;
}
