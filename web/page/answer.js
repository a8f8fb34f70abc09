// What a call was answered: the result, or the error and what it means.

import { fill, h } from "./dom.js";
import { jsonView } from "./json-view.js";
import { problemOf } from "./words.js";

/** @typedef {import("./calling.js").Outcome} Outcome */

const milliseconds = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
/** @param {number} ms */
export const inMs = (ms) => `${milliseconds.format(ms)} ms`;

const bytes = new Intl.NumberFormat("en");
/** @param {number} n */
export const inBytes = (n) => `${bytes.format(n)} B`;

export class Answer {
  #status = h("p", { class: "row", role: "status" });
  #content = h("div", { class: "part" });
  element = h("section", { class: "card answer", "aria-label": "Answer" }, h("h4", null, "Answer"), this.#status, this.#content);

  constructor() { this.clear(); }

  clear() {
    fill(this.#status, h("span", { class: "quiet" }, "There is none yet: fill in what it needs, then call it."));
    fill(this.#content);
  }

  wait() {
    fill(this.#status, h("span", { class: "badge wait" }, "Under way"));
    fill(this.#content);
  }

  /** @param {import("./methods.js").Method} method @param {Outcome} outcome */
  show(method, { result, error, ms }) {
    const time = h("span", { class: "quiet" }, inMs(ms));
    if (!error) {
      fill(this.#status, h("span", { class: "badge good" }, "Result"), time);
      return fill(this.#content, jsonView("result", result));
    }
    if (error.name === "AbortError") {
      fill(this.#status, h("span", { class: "badge wait" }, "Cancelled"), time);
      return fill(this.#content, h("p", null, "The server was told. What had been done by then stands."));
    }
    fill(this.#status, h("span", { class: "badge bad" }, "Error ", h("code", null, error.code ?? error.name)), time);
    return fill(this.#content, errorView(method, error));
  }
}

/** @param {import("./methods.js").Method} method @param {any} error */
function errorView(method, error) {
  const meaning = method.errors?.find(({ code }) => code === error.code)?.message ?? (typeof error.code === "number" ? "" : problemOf(error));
  const row = (/** @type {string} */ name, /** @type {any} */ value) => value && [h("dt", null, name), h("dd", null, value)];
  return [
    h("dl", { class: "error" }, row("Message", h("span", { dir: "auto" }, error.message)), row("Meaning", meaning)),
    error.data !== undefined && [h("h5", null, "Data"), jsonView("data of the error", error.data)],
  ];
}
