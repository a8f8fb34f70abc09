// Lines to copy: the same call as curl and as JavaScript.

import { button, h } from "./dom.js";
import { copy } from "./actions.js";

/** @param {string} text as one word of a POSIX shell */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A curl line that calls a method. @param {string} method @param {any[]} params by position @param {string} credential */
export function curlOf(method, params, credential) {
  return `curl -s -H ${quoted(`Authorization: Bearer ${credential}`)} -d ${quoted(params.length ? JSON.stringify(params) : "")} ${location.origin}/api${method}`;
}

/** JavaScript that calls a method. @param {string} method @param {any[]} params by position @param {string} credential */
export function javaScriptOf(method, params, credential) {
  const end = new URL("/api", location.href);
  end.protocol = end.protocol.replace("http", "ws");
  return [
    `const { Api } = await import(${JSON.stringify(`${location.origin}/client.js`)});`,
    `const api = new Api(${JSON.stringify(end.href)}, { token: ${JSON.stringify(credential)} });`,
    `await api.call(${[method, ...params].map((value) => JSON.stringify(value)).join(", ")});`,
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
