// A token in the list: made once, and changed in place, so that focus and selection stay where they are.

import { button, fill, h, mark, setAttribute, setText } from "./dom.js";
import { chips } from "./chips.js";
import { isExpired, timesOf } from "./words.js";

/** @typedef {import("../client.js").Token} Token */
/** @typedef {{ onSwitch: (row: TokenRow) => void, onEdit: (row: TokenRow) => void, onDelete: (row: TokenRow) => void,
 *   onSelect: (row: TokenRow, shift: boolean) => void }} Handlers */

export class TokenRow {
  /** @type {Token} */ token;
  /** What the switch was set to, until the server has answered. @type {boolean | null} */ wanted = null;
  isGone = false;
  #parts;
  #chips = "";

  /** @param {Token} token @param {Handlers} handlers */
  constructor(token, handlers) {
    const parts = (this.#parts = {
      box: h("input", { type: "checkbox", onclick: (/** @type {MouseEvent} */ event) => handlers.onSelect(this, event.shiftKey) }),
      name: h("h3", { dir: "auto" }),
      prefix: h("code"),
      chips: h("p", { class: "chips" }),
      times: h("p", { class: "times quiet" }),
      state: h("span", { class: "badge", hidden: true }),
      text: h("span", { "aria-hidden": "true" }),
      edit: button("Permissions", () => this.isGone || handlers.onEdit(this), { class: "small" }),
      remove: button("Delete", () => this.isGone || handlers.onDelete(this), { class: "small" }),
    });
    this.switch = h("button", { type: "button", class: "switch small", role: "switch", onclick: () => handlers.onSwitch(this) },
      h("span", { class: "knob", "aria-hidden": "true" }), parts.text);
    this.element = h("li", { class: "token" }, h("label", { class: "pick" }, parts.box),
      h("div", { class: "who" }, parts.name, h("p", { class: "quiet" }, parts.prefix, " ", parts.state)),
      h("div", { class: "what" }, parts.chips, parts.times),
      h("div", { class: "row actions" }, this.switch, parts.edit, parts.remove));
    this.show(token);
  }

  /** @param {Token} token */
  show(token) {
    const { box, name, prefix, times, state, text, edit, remove } = this.#parts;
    const isNew = this.token === undefined || this.token.name !== token.name;
    this.token = token;
    const enabled = this.wanted ?? token.enabled;
    if (isNew) {
      setText(name, token.name);
      setText(prefix, `${token.prefix}…`);
      for (const [element, label] of [[box, "Select"], [edit, "Permissions of"], [remove, "Delete"]]) setAttribute(element, "aria-label", `${label} ${token.name}`);
      setAttribute(this.switch, "aria-label", `${token.name}: enabled`);
    }
    this.#showChips(token);
    setText(times, timesOf(token));
    setText(text, enabled ? "On" : "Off");
    setAttribute(this.switch, "aria-checked", String(enabled));
    setAttribute(this.switch, "aria-busy", this.wanted === null ? null : "true");
    this.element.classList.toggle("off", !enabled);
    state.hidden = !isExpired(token);
    setText(state, "Expired");
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
