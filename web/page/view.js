// What the page's views have in common: they hear of changes while they are on the page, and no longer.

import { h, setText } from "./dom.js";
import { problemOf } from "./words.js";

const RETRY_MS = 5_000; // after a read that failed

/** @typedef {import("./app.js").App} App */

/** A view is a custom element that the page shows in <main>, one at a time. Its `app` is set before it is shown. It makes
 * its content in show(), and what it has begun ends with its `signal`. */
export class View extends HTMLElement {
  /** @type {App} */ app;
  /** Ends when the view is taken away. @type {AbortSignal} */ signal;
  #shown = new AbortController();
  /** @type {Set<string>} what is to be done in a moment */ #waiting = new Set();
  /** @type {any} */ #retry;

  connectedCallback() {
    this.#shown = new AbortController();
    this.signal = this.#shown.signal;
    this.show();
  }

  disconnectedCallback() { this.#shown.abort(); }

  /** Makes the content. */
  show() {}

  /** The address has changed, and names the same view still. */
  moved() {}

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

  /** Does something once for all that asks for it within a moment. @param {string} what @param {number} ms @param {() => void} fn */
  soon(what, ms, fn) {
    if (this.#waiting.has(what)) return;
    this.#waiting.add(what);
    setTimeout(() => {
      this.#waiting.delete(what);
      if (!this.signal.aborted) fn();
    }, ms);
  }

  /** Reads what the view shows. Where that fails, `status` says so, and it is tried again; a later read takes the place of that.
   * @param {HTMLElement} status @param {() => Promise<void>} read */
  async attempt(status, read) {
    clearTimeout(this.#retry);
    try {
      await read();
      status.hidden = true;
    } catch (error) {
      if (this.signal.aborted) return;
      status.hidden = false;
      setText(status, `${problemOf(error)} Trying again…`);
      await this.app.api.connect().catch(() => {});
      clearTimeout(this.#retry);
      if (!this.signal.aborted) this.#retry = setTimeout(() => this.attempt(status, read), RETRY_MS);
    }
  }

  /** The view's title, which takes the focus when the view is shown. @param {string} text @param {...any} beside */
  heading(text, ...beside) {
    return h("div", { class: "title" }, h("h2", { tabindex: "-1" }, text), ...beside);
  }
}
