// A choice of permissions: grouped by the part before the colon, with a search, and showing what differs from what is saved.

import { button, fill, h, newId, setText } from "./dom.js";
import { count } from "./words.js";

/** @typedef {{ id: string, name?: string, description?: string, idle?: boolean }} Item idle: it cannot be given, only taken away; by default because the owner does not hold it */

export class PermissionMatrix extends HTMLElement {
  /** @type {Map<string, { element: any, box: any, note: any, item: Item }>} */ #rows = new Map();
  /** What is saved. @type {Set<string>} */ #saved = new Set();
  /** @type {{ element: any, ids: string[] }[]} */ #groups = [];
  #summary = h("p", { class: "quiet", role: "status" });
  #search = h("input", { type: "search", placeholder: "Search permissions", "aria-label": "Search permissions", oninput: () => this.#filter() });
  #none = h("p", { class: "quiet", hidden: true }, "No permission matches.");

  /** Shows these to choose from. What was chosen before stays so. @param {Item[]} items @param {Iterable<string>} saved */
  show(items, saved) {
    const mine = this.changes;
    this.#saved = new Set(saved);
    this.#rows.clear();
    this.#groups = [...byGroup(items)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, group]) => this.#makeGroup(name, group));
    fill(this, items.length > 8 ? this.#search : null, this.#groups.map(({ element }) => element), this.#none,
      items.length ? null : h("p", { class: "quiet" }, "There are no permissions to give."), this.#summary);
    for (const [id, { box }] of this.#rows) box.checked = mine[id] ?? box.checked;
    this.#filter();
    this.#changed();
  }

  /** What is chosen. */
  get chosen() { return new Set([...this.#rows].filter(([, { box }]) => box.checked).map(([id]) => id)); }

  /** What differs from what is saved: {id: boolean}, as update-permissions takes it. @returns {Record<string, boolean>} */
  get changes() {
    const differs = [...this.#rows].filter(([id, { box }]) => box.checked !== this.#saved.has(id));
    return Object.fromEntries(differs.map(([id, { box }]) => [id, box.checked]));
  }

  /** Something else is saved now. What was changed here stays as it was chosen; the rest follows.
   * @param {Iterable<string>} saved */
  rebase(saved) {
    const mine = this.changes;
    this.#saved = new Set(saved);
    for (const [id, { box }] of this.#rows) box.checked = mine[id] ?? this.#saved.has(id);
    this.#changed();
  }

  /** Takes back what was changed here. */
  reset() {
    for (const [id, { box }] of this.#rows) box.checked = this.#saved.has(id);
    this.#changed();
  }

  /** @param {string} name @param {Item[]} items */
  #makeGroup(name, items) {
    const ids = items.map(({ id }) => id);
    const set = (/** @type {boolean} */ on) => () => {
      for (const id of ids) {
        const { element, box, item } = /** @type {any} */ (this.#rows.get(id));
        if (!element.hidden && !(on && item.idle)) box.checked = on;
      }
      this.#changed();
    };
    const all = items.length > 1 && h("span", { class: "row" }, button("All", set(true), { class: "small", "aria-label": `All of ${name}` }),
      button("None", set(false), { class: "small", "aria-label": `None of ${name}` }));
    const element = h("fieldset", { class: "group" }, h("legend", null, name), all,
      h("ul", { role: "list" }, items.map((item) => this.#makeRow(item))));
    return { element, ids };
  }

  /** @param {Item} item */
  #makeRow(item) {
    const hint = h("small", { id: newId() }, item.description ?? (item.idle && "Not held by the owner: it has no effect, and can only be taken away."));
    const box = h("input", { type: "checkbox", checked: this.#saved.has(item.id), "aria-describedby": hint.id, onchange: () => this.#changed() });
    const note = h("span", { class: "badge", hidden: true });
    const element = h("li", null, h("label", { class: "check" }, box,
      h("span", null, h("code", null, item.id), " ", item.name !== item.id && item.name, " ", note)), hint);
    this.#rows.set(item.id, { element, box, note, item });
    return element;
  }

  #changed() {
    const changes = this.changes;
    for (const [id, { note, box, item }] of this.#rows) {
      note.hidden = !(id in changes);
      setText(note, box.checked ? "will be given" : "will be taken away");
      note.className = `badge ${box.checked ? "good" : "bad"}`;
      if (item.idle) box.disabled = !this.#saved.has(id);
    }
    const given = Object.values(changes).filter(Boolean).length;
    const taken = Object.keys(changes).length - given;
    const words = [given && `${given} will be given`, taken && `${taken} will be taken away`].filter(Boolean);
    setText(this.#summary, `${count(this.chosen.size, "permission")} chosen${words.length ? `: ${words.join(", ")}` : ""}`);
    this.dispatchEvent(new Event("change"));
  }

  #filter() {
    const wanted = this.#search.value.trim().toLowerCase();
    const matches = (/** @type {Item} */ { id, name = "", description = "" }) => [id, name, description].some((text) => text.toLowerCase().includes(wanted));
    for (const { element, item } of this.#rows.values()) element.hidden = !matches(item);
    for (const { element, ids } of this.#groups) element.hidden = ids.every((id) => this.#rows.get(id)?.element.hidden);
    this.#none.hidden = this.#groups.some(({ element }) => !element.hidden) || !this.#rows.size;
  }
}

/** By the part before the colon. @template {{ id: string }} T @param {T[]} items @returns {Map<string, T[]>} */
export function byGroup(items) {
  const groups = new Map();
  for (const item of items) {
    const name = item.id.includes(":") ? item.id.slice(0, item.id.indexOf(":")) : "general";
    groups.set(name, [...(groups.get(name) ?? []), item]);
  }
  return groups;
}

customElements.define("tw-permission-matrix", PermissionMatrix);
