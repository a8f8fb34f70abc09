// The catalogue of what is pushed, with the last that was seen of each.

import { fill, h, setText } from "./dom.js";
import { jsonView } from "./json-view.js";
import { schemaDocs } from "./schema-docs.js";
import { count, whenExactly } from "./words.js";

/** @typedef {{ name: string, summary?: string, params?: any }} Notification */

export class Notifications {
  #seen; #doc;
  /** @type {Map<string, NotificationRow>} */ #rows = new Map();
  #list = h("ul", { class: "notifications", role: "list" });
  element = h("section", { class: "part", "aria-label": "Notifications" },
    h("p", { class: "quiet" }, "What the server pushes, and how much of it has come since the page was opened."), this.#list);

  /** @param {import("./seen.js").Seen} seen @param {import("./schema.js").Document & { "x-notifications"?: Notification[] }} doc */
  constructor(seen, doc) {
    this.#seen = seen;
    this.#doc = doc;
    for (const notification of doc["x-notifications"] ?? []) this.#add(notification);
    for (const name of seen.byName.keys()) this.hear(name);
  }

  /** One has come. @param {string} name */
  hear(name) {
    const row = this.#rows.get(name) ?? this.#add({ name, summary: "The document does not have it." });
    row.show(this.#seen.byName.get(name));
  }

  /** @param {Notification} notification */
  #add(notification) {
    const row = new NotificationRow(notification, this.#doc);
    this.#rows.set(notification.name, row);
    this.#list.append(row.element);
    return row;
  }
}

class NotificationRow {
  #count = h("span", { class: "badge" });
  #time = h("span", { class: "quiet" });
  #last = h("div", { class: "part" });
  /** @type {import("./seen.js").Sight | undefined} */ #sight;

  /** @param {Notification} notification @param {import("./schema.js").Document} doc */
  constructor({ name, summary, params }, doc) {
    const schema = h("div", { class: "part" }, h("h4", null, "Params"), params ? schemaDocs(params, doc) : null);
    this.details = h("details", { ontoggle: () => this.#drawLast() }, h("summary", null, h("code", null, name), this.#count, this.#time, h("small", null, summary)), this.#last, schema);
    this.element = h("li", null, this.details);
    this.show(undefined);
  }

  /** @param {import("./seen.js").Sight | undefined} sight */
  show(sight) {
    this.#sight = sight;
    setText(this.#count, sight ? `${count(sight.count, "time", "times")}` : "not seen");
    this.#count.classList.toggle("good", Boolean(sight));
    setText(this.#time, sight ? `last ${whenExactly(sight.time)}` : "");
    this.#drawLast();
  }

  #drawLast() {
    if (!this.details.open) return;
    fill(this.#last, h("h4", null, "Last params"), this.#sight ? jsonView("last params", this.#sight.params) : h("p", { class: "quiet" }, "None has come since the page was opened."));
  }
}
