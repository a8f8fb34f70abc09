// A switch in a row of a list. It shows what is, also while something else has been asked for: that is not done before the server
// has said so.

import { announce } from "./actions.js";
import { h, setAttribute, setText } from "./dom.js";
import { sayWaiting } from "./receipt.js";

export class Switch {
  /** What it was set to, until the server has answered. @type {boolean | null} */ #wanted = null;
  /** Whether verifiers have not confirmed yet what it was set to. */ isWaiting = false;
  #isOn = false; // what it shows
  #unsay = () => {}; // what was said of that
  #text = h("span", { "aria-hidden": "true" });

  /** @param {() => void} onclick */
  constructor(onclick) {
    this.element = h("button", { type: "button", class: "switch small", role: "switch", onclick }, h("span", { class: "knob", "aria-hidden": "true" }), this.#text);
  }

  /** @param {string} name of what is switched */
  name(name) { setAttribute(this.element, "aria-label", `${name}: enabled`); }

  get isBusy() { return this.#wanted !== null; }

  /** @param {boolean} enabled */
  show(enabled) {
    if (enabled !== this.#isOn) this.#unsay();
    this.#isOn = enabled;
    setText(this.#text, this.#wanted === null ? word(enabled) : `${word(this.#wanted)}…`);
    setAttribute(this.element, "aria-checked", String(enabled));
    setAttribute(this.element, "aria-busy", this.isBusy ? "true" : null);
  }

  /** Says where it is so by now: until that is over, and not at all where something newer was faster. @param {boolean} enabled @param {string} text */
  tell(enabled, text) {
    if (enabled === this.#isOn) this.#unsay = announce(text);
  }

  /** Sets it, and resolves when that is done. `redraw` shows it as it is meanwhile.
   * @template T @param {boolean} wanted @param {(tell: (isWaiting: boolean) => void) => Promise<T>} call @param {() => void} redraw */
  async set(wanted, call, redraw) {
    const say = sayWaiting();
    this.#wanted = wanted;
    redraw();
    try {
      return await call((isWaiting) => {
        say(isWaiting);
        this.isWaiting = isWaiting;
        redraw();
      });
    } finally {
      this.#wanted = null;
      redraw();
    }
  }
}

const word = (/** @type {boolean} */ enabled) => (enabled ? "On" : "Off");
