// A token in the list: made once, and changed in place, so that focus and selection stay where they are.

import { button, fill, h, mark, setAttribute, setText } from "./dom.js";
import { chips } from "./chips.js";
import { WAITING } from "./receipt.js";
import { Switch } from "./switch.js";
import { isExpired, timesOf } from "./words.js";

/** @typedef {import("../client.js").Token} Token */
/** What a row's button does. @typedef {(row: TokenRow, from: HTMLElement) => void} Action */
/** @typedef {{ onSwitch: (row: TokenRow) => void, onEdit: Action, onDetails: Action, onDelete: Action, onSelect: (row: TokenRow, shift: boolean) => void }} Handlers */

/** @typedef {{ url: string | null }} Leak where it was found */

const URL_SHOWN = 80; // characters; the activity has all of it

export class TokenRow {
  /** @type {Token} */ token;
  isGone = false;
  isRotated = false; // since it was reported
  /** The last report that its secret was found where it should not be. @type {Leak | null} */ leak = null;
  #parts;
  #chips = "";

  /** @param {Token} token @param {Handlers} handlers */
  constructor(token, handlers) {
    const action = (/** @type {string} */ text, /** @type {Action} */ fn) => button(text, ({ currentTarget }) => this.isGone || fn(this, currentTarget), { class: "small" });
    const parts = (this.#parts = {
      box: h("input", { type: "checkbox", onclick: (/** @type {MouseEvent} */ event) => handlers.onSelect(this, event.shiftKey) }),
      name: h("h3", { dir: "auto" }),
      prefix: h("code"),
      chips: h("p", { class: "chips" }),
      times: h("p", { class: "times quiet" }),
      state: h("span", { class: "badge", hidden: true }),
      edit: action("Permissions", handlers.onEdit),
      details: action("Details", handlers.onDetails),
      remove: action("Delete", handlers.onDelete),
    });
    this.switch = new Switch(() => handlers.onSwitch(this));
    this.element = h("li", { class: "token" }, h("label", { class: "pick" }, parts.box),
      h("div", { class: "who" }, parts.name, h("p", { class: "quiet" }, parts.prefix, " ", parts.state)),
      h("div", { class: "what" }, parts.chips, parts.times),
      h("div", { class: "row actions" }, this.switch.element, parts.edit, parts.details, parts.remove));
    this.show(token);
  }

  /** @param {Token} token */
  show(token) {
    const { box, name, prefix, times, edit, details, remove } = this.#parts;
    const isNew = this.token === undefined || this.token.name !== token.name;
    this.token = token;
    if (isNew) {
      setText(name, token.name);
      setText(prefix, `${token.prefix}…`);
      for (const [element, label] of [[box, "Select"], [edit, "Permissions of"], [details, "Details of"], [remove, "Delete"]]) setAttribute(element, "aria-label", `${label} ${token.name}`);
      this.switch.name(token.name);
    }
    this.#showChips(token);
    setText(times, timesOf(token));
    this.switch.show(token.enabled);
    this.element.classList.toggle("off", !token.enabled);
    this.#showState(token);
  }

  /** @param {Token} token */
  #showState(token) {
    const { state } = this.#parts;
    const { isWaiting } = this.switch;
    const leak = token.enabled ? null : this.leak; // until somebody has dealt with it
    const words = isWaiting ? WAITING : leak ? leakWords(leak) : isExpired(token) ? "Expired" : "";
    state.hidden = !words;
    setAttribute(state, "class", `badge ${isWaiting ? "wait" : leak ? "bad" : ""}`.trim());
    setText(state, words);
  }

  /** @param {Token} token */
  #showChips({ permissions, effectivePermissions }) {
    const ids = Object.keys(permissions).sort();
    const key = JSON.stringify([ids, effectivePermissions]);
    if (key === this.#chips) return;
    this.#chips = key;
    fill(this.#parts.chips, chips(ids, (id) => effectivePermissions.includes(id)));
  }

  get hasFocus() { return this.element.contains(document.activeElement); }
  get isSelected() { return this.#parts.box.checked; }
  set isSelected(is) { this.#parts.box.checked = is; }

  /** Marks the row for a moment: it was changed. */
  mark() { mark(this.element); }

  /** The token was deleted, and the row stays until nothing is under the pointer. */
  bury() {
    this.isGone = true;
    this.element.classList.add("gone");
    for (const control of this.element.querySelectorAll("button, input")) control.ariaDisabled = "true"; // and keeps the focus
    setText(this.#parts.times, "Deleted"); // in the place of something longer: the row must not grow
  }
}

/** The address is a text to read: nobody should go there by mistake. @param {Leak} leak */
const leakWords = ({ url }) => (url ? `Reported as leaked, at ${url.slice(0, URL_SHOWN)}${url.length > URL_SHOWN ? "…" : ""}` : "Reported as leaked");
