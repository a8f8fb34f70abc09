// JSON to look at and to copy.

import { button, fill, h } from "./dom.js";
import { copy } from "./actions.js";

const COLOURED_MAX = 100_000; // characters: beyond that colours would be slow
const PART = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

/** The text in colours: names, strings and the rest. @param {string} text @returns {any[]} */
export function coloured(text) {
  if (text.length > COLOURED_MAX) return [text];
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(PART)) {
    const [whole, string, colon] = found;
    nodes.push(text.slice(end, found.index), h("span", { class: colon ? "name" : string ? "string" : "value" }, string ?? whole), colon);
    end = found.index + whole.length;
  }
  return [...nodes, text.slice(end)];
}

/** A value over several lines. @param {string} label @param {any} value @returns {any} */
export function jsonView(label, value) {
  const text = JSON.stringify(value, null, 2);
  const copyButton = button("Copy", () => copy(copyButton, text), { class: "small", "aria-label": `Copy ${label}` });
  const pre = h("pre", { class: "json", tabindex: "0", role: "group", "aria-label": label });
  fill(pre, coloured(text));
  return h("div", { class: "copyable" }, pre, copyButton);
}
