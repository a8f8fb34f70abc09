// Panels of which one is shown, chosen by tabs.

import { h, newId, setText } from "./dom.js";

/** @typedef {{ tab: any, panel: any }} Tab */

export class Tabs {
  /** @type {Map<string, Tab>} */ #tabs = new Map();
  #list; #wanted; #shown = "";

  /** @param {string} label @param {Record<string, [string, any]>} tabs by name: the text, and what is in the panel @param {string} [first] */
  constructor(label, tabs, first = Object.keys(tabs)[0]) {
    for (const [name, [text, content]] of Object.entries(tabs)) this.#tabs.set(name, this.#make(name, text, content));
    this.#list = h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: (/** @type {KeyboardEvent} */ event) => this.#keyed(event) },
      [...this.#tabs.values()].map(({ tab }) => tab));
    this.element = h("div", { class: "tabbed" }, this.#list, [...this.#tabs.values()].map(({ panel }) => panel));
    this.#wanted = first;
    this.#show();
  }

  /** @param {string} name @param {string} text @param {any} content @returns {Tab} */
  #make(name, text, content) {
    const id = newId();
    const panel = h("div", { class: "panel", role: "tabpanel", id: newId(), "aria-labelledby": id }, content);
    const tab = h("button", { type: "button", role: "tab", id, "aria-controls": panel.id, onclick: () => this.choose(name) }, text);
    return { tab, panel };
  }

  /** @param {string} name */
  choose(name) {
    this.#wanted = name;
    this.#show();
  }

  get #offered() { return [...this.#tabs].filter(([, { tab }]) => !tab.hidden).map(([name]) => name); }

  /** Shows what was chosen, or else the first that there is. */
  #show() {
    const offered = this.#offered;
    this.#shown = offered.includes(this.#wanted) ? this.#wanted : offered[0];
    for (const [name, { tab, panel }] of this.#tabs) {
      tab.ariaSelected = String(name === this.#shown);
      tab.tabIndex = name === this.#shown ? 0 : -1;
      panel.hidden = name !== this.#shown;
    }
  }

  /** @param {string} name @param {string} text */
  rename(name, text) { setText(this.#tabs.get(name)?.tab, text); }

  /** Leaves tabs out that have nothing to show. @param {string[]} names @param {boolean} offered */
  offer(names, offered) {
    for (const name of names) /** @type {Tab} */ (this.#tabs.get(name)).tab.hidden = !offered;
    this.#show();
  }

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    const names = this.#offered;
    const at = names.indexOf(this.#shown);
    const forward = getComputedStyle(this.#list).direction === "rtl" ? -1 : 1;
    const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = names[(to + names.length) % names.length];
    this.choose(name);
    this.#tabs.get(name)?.tab.focus();
  }
}
