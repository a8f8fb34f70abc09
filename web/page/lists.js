// What the page's lists have in common: how they are asked, and read on.

import { h } from "./dom.js";

const TYPING_MS = 250; // typing is answered once

/** A field to search with. @param {string} label @param {(text: string) => void} ask @param {Record<string, any>} [props] */
export function searchField(label, ask, props) {
  /** @type {any} */ let typing;
  const field = h("input", { type: "search", placeholder: label, "aria-label": label, ...props, oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => ask(field.value.trim()), TYPING_MS);
  } });
  return field;
}

/** A choice of one. @param {string} label @param {[string, string][]} options value and text @param {(value: string) => void} choose */
export function choice(label, options, choose) {
  const field = h("select", { "aria-label": label, onchange: () => choose(field.value) }, options.map(([value, text]) => h("option", { value }, text)));
  return field;
}

/** Does something while the end of a list is in sight. The browser tells only of changes, so what this returns is to be called
 * after each drawing. @param {Element} end @param {AbortSignal} signal @param {() => void} fn @returns {() => void} */
export function watchEnd(end, signal, fn) {
  const observer = new IntersectionObserver((all) => all.at(-1)?.isIntersecting && fn(), { rootMargin: "400px" });
  signal.addEventListener("abort", () => observer.disconnect());
  return () => {
    observer.disconnect();
    if (!signal.aborted) observer.observe(end);
  };
}
