// A change in the list: made once, and changed in place when more is known of it.

import { detailOf, prefixOf, titleOf, whoOf } from "./changes.js";
import { fill, h, setText } from "./dom.js";
import { ago, timeOfDay, whenExactly } from "./words.js";

/** @typedef {import("./feed.js").Entry} Entry */

export class ActivityRow {
  #entry;
  #shown = "";
  #subject = h("p");
  #detail = h("p", { class: "quiet" });
  #ago = h("span");

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
    const { time } = entry.params;
    const { title, look } = titleOf(entry);
    this.element = h("li", { class: "change" }, h("p", null, h("span", { class: `badge ${look}` }, title)),
      h("div", null, this.#subject, this.#detail),
      h("p", { class: "at quiet" }, h("time", { datetime: time, title: whenExactly(time) }, timeOfDay(time)), " ", this.#ago));
  }

  /** @param {import("./changes.js").Viewer} viewer @param {import("./changes.js").Held | null} before */
  show(viewer, before) {
    const name = this.#entry.tokenId && viewer.nameOf(this.#entry.tokenId);
    const detail = detailOf(this.#entry, before);
    const who = whoOf(this.#entry, viewer);
    const shown = JSON.stringify([name, detail, who]);
    if (shown !== this.#shown) {
      this.#shown = shown;
      fill(this.#subject, this.#nameOf(name || null));
      fill(this.#detail, detail && [detail, " · "], who.map((part) => (typeof part === "string" ? part : h("bdi", null, part.name))));
    }
    setText(this.#ago, ago(this.#entry.params.time));
  }

  /** @param {string | null} name */
  #nameOf(name) {
    const { tokenId } = this.#entry;
    if (!tokenId) return h("span", null, "You");
    return [h("strong", { dir: "auto" }, name ?? "A token"), " ", h("code", { class: "quiet" }, prefixOf(tokenId))];
  }
}
