// Lines to copy: the same call as curl and as JavaScript.

import { button, h } from "./dom.js";
import { copy } from "./actions.js";

/** @param {string} text as one word of a POSIX shell */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** What is to take a credential's place: in a shell a variable. */
const SHELL_CREDENTIAL = '"Authorization: Bearer $TOKENWIRE_TOKEN"';
const CREDENTIAL = "twt_…";

/** A curl line that calls a method. @param {string} method @param {any[] | Record<string, any>} params by position or by name
 * @param {string | null} [credential] null for none; by default the shell's variable TOKENWIRE_TOKEN */
export function curlOf(method, params, credential) {
  const header = credential === undefined ? SHELL_CREDENTIAL : credential && quoted(`Authorization: Bearer ${credential}`);
  const body = Object.keys(params).length ? JSON.stringify(params) : "";
  return `curl -s ${header ? `-H ${header} ` : ""}-d ${quoted(body)} ${doorOf(method)}`;
}

/** A method's own door. JSON-RPC's own methods have no slash in front. @param {string} method */
const doorOf = (method) => `${location.origin}/api${method.startsWith("/") ? "" : "/"}${method}`;

/** JavaScript that calls a method by POST, without a credential. @param {string} method @param {any[] | Record<string, any>} params */
export function fetchOf(method, params) {
  return [
    `const answer = await fetch(${JSON.stringify(doorOf(method))}, {`,
    `  method: "POST", body: JSON.stringify(${JSON.stringify(params)}),`,
    "});",
    "await answer.json();",
  ].join("\n");
}

/** JavaScript that calls a method. @param {string} method @param {any[] | Record<string, any>} params by position or by name
 * @param {string} [credential] */
export function javaScriptOf(method, params, credential = CREDENTIAL) {
  const end = new URL("/api", location.href);
  end.protocol = end.protocol.replace("http", "ws");
  return [
    `const { Api } = await import(${JSON.stringify(`${location.origin}/client.js`)});`,
    `const api = new Api(${JSON.stringify(end.href)}, { token: ${JSON.stringify(credential)} });`,
    Array.isArray(params) ? `await api.call(${[method, ...params].map((value) => JSON.stringify(value)).join(", ")});`
      : `await api.callNamed(${JSON.stringify(method)}, ${JSON.stringify(params)});`,
  ].join("\n");
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
