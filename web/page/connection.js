// The indicator of the connection: live, connecting, or offline and for how long still.

import { button, fill, h, setText } from "./dom.js";
import { duration } from "./words.js";

const TICK_MS = 1_000;
/** @type {Record<import("../client.js").State, string>} */
const WORDS = { idle: "", connecting: "Connecting…", live: "Live", waiting: "Offline", ended: "", closed: "Closed: reload the page" };

export class Connection extends HTMLElement {
  /** @type {import("../client.js").Api} */ api;
  #text = h("span", { role: "status" }); // said once for each state: not every second
  #countdown = h("span", { "aria-hidden": "true" });
  #now = button("Try now", () => this.api.reconnect(), { hidden: true });
  /** @type {any} */ #ticking;

  connectedCallback() {
    fill(this, h("span", { class: "dot", "aria-hidden": "true" }), this.#text, this.#countdown, this.#now);
  }

  /** @param {import("../client.js").StateChange} change */
  show({ state, retryAt }) {
    clearInterval(this.#ticking);
    this.dataset.state = state;
    this.hidden = state === "ended";
    this.#now.hidden = state !== "waiting";
    setText(this.#text, WORDS[state]);
    setText(this.#countdown, "");
    if (state !== "waiting" || !retryAt) return;
    const tick = () => setText(this.#countdown, `trying again in ${duration(retryAt - Date.now())}`);
    tick();
    this.#ticking = setInterval(tick, TICK_MS);
  }
}

customElements.define("tw-connection", Connection);
