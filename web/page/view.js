// What the page's views have in common: they hear of changes while they are on the page, and no longer.

import { h } from "./dom.js";

/** @typedef {import("./app.js").App} App */

/** A view is a custom element that the page shows in <main>, one at a time. Its `app` is set before it is shown. It makes
 * its content in show(), and what it has begun ends with its `signal`. */
export class View extends HTMLElement {
  /** @type {App} */ app;
  /** Ends when the view is taken away. @type {AbortSignal} */ signal;
  #shown = new AbortController();

  connectedCallback() {
    this.#shown = new AbortController();
    this.signal = this.#shown.signal;
    this.show();
  }

  disconnectedCallback() { this.#shown.abort(); }

  /** Makes the content. */
  show() {}

  /** Hears a notification while the view is shown. @param {string} method @param {(...values: any[]) => void} fn */
  hear(method, fn) {
    const leave = this.app.api.on(method, fn);
    this.signal.addEventListener("abort", leave, { once: true });
  }

  /** Does something every so often while the view is shown and looked at. @param {number} ms @param {() => void} fn */
  every(ms, fn) {
    const timer = setInterval(() => document.visibilityState === "visible" && fn(), ms);
    this.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  /** The view's title, which takes the focus when the view is shown. @param {string} text @param {...any} beside */
  heading(text, ...beside) {
    return h("div", { class: "title" }, h("h2", { tabindex: "-1" }, text), ...beside);
  }
}
