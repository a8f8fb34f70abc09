// What the page's views have in common: they hear of changes while they are on the page, and no longer.

import { h, setText } from "./dom.js";
import { problemOf } from "./words.js";

const RETRY_MS = 5_000; // after a read that failed
const WAITING = "There is no connection just now. This is read as soon as it is back.";

const REREAD_MS = 60_000; // of what no notification tells

/** @typedef {import("./app.js").App} App */

/** A view is a custom element that the page shows in <main>, one at a time. Its `app` is set before it is shown. It makes
 * its content in show(), and what it has begun ends with its `signal`. */
export class View extends HTMLElement {
  /** @type {App} */ app;
  /** Ends when the view is taken away. @type {AbortSignal} */ signal;
  #shown = new AbortController();
  /** @type {Set<string>} what is to be done in a moment */ #waiting = new Set();
  /** @type {any} */ #retry;
  #attempts = 0;

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
   * @param {HTMLElement} status @param {() => Promise<unknown>} read */
  async attempt(status, read) {
    const tell = (/** @type {string} */ text) => {
      status.hidden = false;
      setText(status, text);
    };
    clearTimeout(this.#retry);
    const attempt = ++this.#attempts;
    const isOver = () => this.signal.aborted || attempt !== this.#attempts;
    if (this.app.api.state !== "live") tell(WAITING);
    try {
      await read();
      if (!isOver()) status.hidden = true;
    } catch (error) {
      if (isOver()) return;
      tell(`${problemOf(error)} Trying again…`);
      await this.app.api.connect().catch(() => {});
      if (!isOver()) this.#retry = setTimeout(() => this.attempt(status, read), RETRY_MS);
    }
  }

  /** Reads anew what no notification tells of: every so often while it is looked at, when it is looked at again, and when
   * the connection is back. @param {() => void} read */
  keepFresh(read) {
    const again = () => this.app.api.state === "live" && read();
    this.every(REREAD_MS, again);
    this.hear("/v1/session/ready", again);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && again(), { signal: this.signal });
  }

  /** The view's title, which takes the focus when the view is shown. @param {string} text @param {...any} beside */
  heading(text, ...beside) {
    return h("div", { class: "title" }, h("h2", { tabindex: "-1" }, text), ...beside);
  }
}
