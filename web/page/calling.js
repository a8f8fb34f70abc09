// A call that a person makes: over the page's connection, or by POST where the connection has no such method.

import { ApiError } from "../client.js";
import { isForAnybody, isPostOnly } from "./methods.js";

/** @typedef {import("./methods.js").Method} Method */
/** @typedef {{ result?: any, error?: any, ms: number }} Outcome */

/** Calls, and tells what came of it and how long that took. It never rejects.
 * @param {import("../client.js").Api} api @param {Method} method @param {any} params @param {AbortSignal} signal
 * @param {(frame: import("./frame-log.js").Frame) => void} tell is told of what went by POST @returns {Promise<Outcome>} */
export async function callMethod(api, method, params, signal, tell) {
  const start = performance.now();
  try {
    const result = await (isPostOnly(method) ? byPost(method, params, signal, tell) : overConnection(api, method, params, signal));
    return { result, ms: performance.now() - start };
  } catch (error) {
    return { error, ms: performance.now() - start };
  }
}

/** @param {import("../client.js").Api} api @param {Method} method @param {any} params @param {AbortSignal} signal */
function overConnection(api, { name }, params, signal) {
  return Array.isArray(params) ? api.with({ signal }).call(name, ...params) : api.callNamed(name, params, { signal });
}

/** By the door for whole messages, which answers 200 also to an error. What anybody may call goes without the cookie, so that signing in here
 * leaves the page's own session alone. @param {Method} method @param {any} params @param {AbortSignal} signal
 * @param {(frame: import("./frame-log.js").Frame) => void} tell */
async function byPost(method, params, signal, tell) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: crypto.randomUUID?.() ?? String(Math.random()), method: method.name, params });
  tell({ direction: "sent", text: body, time: Date.now(), via: "POST" });
  /** @type {RequestCredentials} */ const credentials = isForAnybody(method) ? "omit" : "same-origin";
  const response = await fetch("/api", { method: "POST", headers: { "Content-Type": "application/json" }, body, credentials, signal });
  const text = await response.text();
  tell({ direction: "received", text, time: Date.now(), via: "POST" });
  const { result, error } = JSON.parse(text);
  if (error) throw new ApiError(error.code, error.message, { data: error.data, method: method.name });
  return result;
}
