// Frames without their secrets: those of tokens and sessions, which can be told by their form, and passwords, which can be told by their
// params.

import { isSecret } from "./schema.js";

const CREDENTIAL = /\b(tw[ts]_[0-9A-Za-z]+)_[0-9A-Za-z]{16,}(?:_[0-9A-Za-z]+)?/g;
const HIDDEN = "…";

/** A text with its credentials cut to the part that is no secret. @param {string} text */
export const withoutCredentials = (text) => text.replace(CREDENTIAL, `$1_${HIDDEN}`);

/** Params without passwords. @param {any} params @param {number[]} positions of those that are secret @returns {any} */
export function withoutPasswords(params, positions) {
  if (Array.isArray(params)) return params.map((value, i) => (positions.includes(i) ? hidden(value) : withoutPasswords(value, [])));
  if (params === null || typeof params !== "object") return params;
  return Object.fromEntries(Object.entries(params).map(([name, value]) =>
    [name, isSecret(name, { type: "string" }) && typeof value === "string" ? hidden(value) : withoutPasswords(value, [])]));
}

const hidden = (/** @type {any} */ value) => (value === null || value === undefined ? value : HIDDEN);

/** A frame's text as anybody may see it. Where nothing is hidden it is as it was.
 * @param {string} text @param {(method: string) => number[]} secretPositions of a method's params */
export function redacted(text, secretPositions) {
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {
    return withoutCredentials(text);
  }
  const messages = [frame].flat().map((message) =>
    (message?.params && message.id !== undefined ? { ...message, params: withoutPasswords(message.params, secretPositions(message.method)) } : message));
  const now = JSON.stringify(Array.isArray(frame) ? messages : messages[0]);
  return withoutCredentials(now === JSON.stringify(frame) ? text : now);
}
