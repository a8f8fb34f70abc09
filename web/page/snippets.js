// Lines to copy: the same call as curl and as JavaScript.

import { button, h } from "./dom.js";
import { copy } from "./actions.js";

/** @param {string} text as one word of a POSIX shell */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** By position or by name. @typedef {any[] | Record<string, any>} Params */

/** What is to take a credential's place: in a shell a variable. */
const SHELL_CREDENTIAL = '"Authorization: Bearer $TOKENWIRE_TOKEN"';
const CREDENTIAL = "twt_…";

/** A curl line that calls a method. @param {string} method @param {Params} params
 * @param {string | null} [credential] null for none; by default the shell's variable TOKENWIRE_TOKEN */
export function curlOf(method, params, credential) {
  const header = credential === undefined ? SHELL_CREDENTIAL : credential && quoted(`Authorization: Bearer ${credential}`);
  const { door, body } = postOf(method, params);
  return `curl -s ${header ? `-H ${header} ` : ""}-d ${quoted(Object.keys(body).length ? JSON.stringify(body) : "")} ${door}`;
}

/** A method has a door of its own, for its params alone. JSON-RPC's own methods have not. @param {string} method @param {Params} params */
function postOf(method, params) {
  if (method.startsWith("/")) return { door: `${location.origin}/api${method}`, body: params };
  return { door: `${location.origin}/api`, body: { jsonrpc: "2.0", id: 1, method, params } };
}

/** JavaScript that calls a method by POST, without a credential. @param {string} method @param {Params} params */
export function fetchOf(method, params) {
  const { door, body } = postOf(method, params);
  return [
    `const answer = await fetch(${JSON.stringify(door)}, {`,
    `  method: "POST", body: JSON.stringify(${JSON.stringify(body)}),`,
    "});",
    "console.log(await answer.json());",
  ].join("\n");
}

/** JavaScript that calls a method, shows what came of it, and ends. @param {string} method @param {Params} params
 * @param {string} [credential] */
export function javaScriptOf(method, params, credential = CREDENTIAL) {
  const end = new URL("/api", location.href);
  end.protocol = end.protocol.replace("http", "ws");
  return [
    `const { Api } = await import(${JSON.stringify(`${location.origin}/client.js`)});`,
    `const api = new Api(${JSON.stringify(end.href)}, { token: ${JSON.stringify(credential)} });`,
    `console.log(await api.${callOf(method, params)});`,
    "api.close();",
  ].join("\n");
}

/** @param {string} method @param {Params} params */
function callOf(method, params) {
  const [way, values] = Array.isArray(params) ? ["call", [method, ...params]] : ["callNamed", [method, params]];
  return `${way}(${values.map((value) => JSON.stringify(value)).join(", ")})`;
}

/** A text to copy. @param {string} label @param {string} text @param {(done: boolean) => void} [copied] */
export function copyable(label, text, copied) {
  const copyButton = button("Copy", async () => {
    const done = await copy(copyButton, text);
    copied?.(done);
  }, { "aria-label": `Copy ${label}` });
  return h("div", { class: "field" }, h("strong", null, label),
    h("div", { class: "copyable" }, h("pre", { tabindex: "0", role: "group", "aria-label": label }, text), copyButton));
}
