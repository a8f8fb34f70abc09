// Frames without their secrets: those of tokens and sessions, which can be told by their form, and of params those that the document
// says are secret.

import { paramsSchema } from "./methods.js";
import { flat, isSecret } from "./schema.js";

/** @typedef {import("./methods.js").Method} Method */
/** @typedef {import("./schema.js").Document} Document */

const CREDENTIAL = /\b(tw[ts]_[0-9A-Za-z]+)_[0-9A-Za-z]{16,}(?:_[0-9A-Za-z]+)?/g;
const HIDDEN = "…";

/** A text with its credentials cut to the part that is no secret. @param {string} text */
const withoutCredentials = (text) => text.replace(CREDENTIAL, `$1_${HIDDEN}`);

/** A call's params without their secrets. @param {any} params by position or by name @param {Method} method @param {Document} doc @returns {any} */
export function withoutSecrets(params, method, doc) {
  if (Array.isArray(params)) return params.map((value, i) => shown(value, method.params[i]?.schema, doc));
  return shown(params, paramsSchema(method), doc);
}

/** @param {any} value @param {any} schema @param {Document} doc @returns {any} */
function shown(value, schema, doc) {
  const s = flat(schema, doc);
  if (value === null || value === undefined) return value;
  if (isSecret(s)) return HIDDEN;
  if (Array.isArray(value)) return value.map((one, i) => shown(one, Array.isArray(s.items) ? s.items[i] : s.items, doc));
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(one, s.properties?.[name] ?? s.additionalProperties, doc)]));
}

/** A frame's text as anybody may see it. Where nothing is hidden it is as it was.
 * @param {string} text @param {(method: string, params: any) => any} hide takes the secrets out of params */
export function redacted(text, hide) {
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {
    return withoutCredentials(text);
  }
  const messages = [frame].flat().map((message) =>
    (message?.params && message.id !== undefined ? { ...message, params: hide(message.method, message.params) } : message));
  const now = JSON.stringify(Array.isArray(frame) ? messages : messages[0]);
  return withoutCredentials(now === JSON.stringify(frame) ? text : now);
}
