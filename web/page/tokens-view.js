// The view of one's tokens: the list, live, and what can be done with it.

import { arrange, button, fill, h, setText } from "./dom.js";
import { act, announce, problemPlace, report } from "./actions.js";
import { forEachToken } from "./bulk.js";
import { createTokenDialog } from "./create-token.js";
import { deleteTokenDialog, deleteTokensDialog } from "./delete-token.js";
import { editPermissionsDialog } from "./edit-permissions.js";
import { choice, searchField, watchEnd } from "./lists.js";
import { TokenRow } from "./token-row.js";
import { Tokens } from "./tokens.js";
import { View } from "./view.js";
import { count } from "./words.js";

const REREAD_MS = 60_000; // no notification tells that a token was used
const SETTLE_MS = 250; // changes that come in a row are answered once

/** @type {Record<string, [string, import("./tokens.js").Question["orderBy"], boolean]>} */
const ORDERS = { // of the question that the list asks
  newest: ["Newest first", "createdAt", true], oldest: ["Oldest first", "createdAt", false], name: ["Name, A to Z", "name", false],
  "name-desc": ["Name, Z to A", "name", true], used: ["Last used first", "lastUsedAt", true], unused: ["Longest unused first", "lastUsedAt", false],
  on: ["On first", "enabled", true], off: ["Off first", "enabled", false],
};

/** @typedef {import("../client.js").Token} Token */

class TokensView extends View {
  /** @type {Tokens} */ #tokens;
  /** @type {Map<string, TokenRow>} */ #rows = new Map();
  /** What has been created elsewhere while something was under the pointer. */ #held = 0;
  #isDrawing = false;
  /** @type {TokenRow | null} the last one picked, for a range */ #picked = null;

  #list = h("ul", { class: "tokens", role: "list" });
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #numbers = h("p", { class: "quiet numbers" });
  #empty = h("div", { class: "empty", hidden: true });
  #heldBar = button("", () => this.#release(), { hidden: true });
  #more = button("Show more", () => act(this.app, this.#more, async () => this.#tokens.more()), { hidden: true });
  #lookForEnd = () => {};
  #picks = h("span", { role: "status" });
  #all = h("input", { type: "checkbox", onclick: () => this.#selectAll() });
  #bulk = h("div", { class: "bulk", hidden: true, role: "group", "aria-label": "Selected tokens" });
  #tools = h("div", { class: "row tools", role: "search", "aria-label": "Tokens" });

  show() {
    this.#tokens = new Tokens(this.app.api, (what, token) => this.#changed(what, token));
    this.#makeTools();
    const bulk = (/** @type {string} */ text, /** @type {() => void} */ fn, more = {}) => button(text, fn, { class: "small", ...more });
    fill(this.#bulk, this.#picks, bulk("Switch on", () => this.#switchSelected(true)), bulk("Switch off", () => this.#switchSelected(false)),
      bulk("Delete", () => this.#deleteSelected(), { class: "small danger" }), bulk("Clear", () => this.#clearSelection()));
    const create = button("New token", () => createTokenDialog(this.app, (token) => this.#tokens.hear("created", { token })), { class: "primary" });
    this.append(this.heading("API tokens", create), this.#numbers, this.#tools, this.#status, this.#empty,
      h("div", { class: "held" }, this.#heldBar), this.#list,
      h("div", { class: "row" }, this.#more), this.#bulk);
    this.#tokens.follow((method, fn) => this.hear(method, fn));
    this.hear("reset", () => this.#read());
    this.every(REREAD_MS, () => this.app.api.state === "live" && !this.#isHeld() && this.#read());
    for (const leave of ["pointerleave", "focusout"]) this.#list.addEventListener(leave, () => setTimeout(() => this.#isHeld() || this.#release()));
    this.#lookForEnd = watchEnd(this.#more, this.signal, () => this.#tokens.more()?.catch(() => {})); // the button says what is wrong
    this.#read();
  }

  #makeTools() {
    const search = searchField("Search by name", (text) => this.#ask({ search: text }), { dir: "auto" });
    const states = choice("Which tokens", [["", "All"], ["true", "On"], ["false", "Off"]], (value) => this.#ask({ enabled: value ? value === "true" : undefined }));
    const orders = choice("Order", Object.entries(ORDERS).map(([value, [text]]) => [value, String(text)]), (value) => {
      const [, orderBy, desc] = ORDERS[value];
      this.#ask({ orderBy, desc });
    });
    fill(this.#tools, h("label", { class: "check" }, this.#all, h("span", { class: "visually-hidden" }, "Select all that are shown")),
      h("div", { class: "grow" }, search), h("div", null, states), h("div", null, orders));
  }

  // Reading and drawing.

  #read() { return this.#attempt(() => this.#tokens.read()); }
  /** @param {object} question */
  #ask(question) { return this.#attempt(() => this.#tokens.ask(question)); }

  /** @param {() => Promise<void>} read */
  #attempt(read) {
    return this.attempt(this.#status, () => (this.#count(), read()));
  }

  /** @param {string} what @param {Token} [token] */
  #changed(what, token) {
    if (what === "elsewhere") return this.soon("read", SETTLE_MS, () => this.#isHeld() || this.#read());
    if (what !== "permissions-changed") this.soon("count", SETTLE_MS, () => this.#count());
    const row = token && this.#rows.get(token.id);
    if (row && what !== "deleted") {
      row.show(/** @type {Token} */ (token));
      return row.mark();
    }
    if (what === "deleted" && row && (this.#isHeld() || row.hasFocus)) return row.bury();
    if (what === "created" && this.#isHeld()) {
      this.#heldBar.hidden = false;
      return setText(this.#heldBar, `${count(++this.#held, "new token")}: show`);
    }
    this.#draw(what === "created" ? token?.id : undefined);
  }

  async #count() {
    try {
      const { total, enabled, disabled, expired } = await this.app.api.call("/v1/api-tokens/count");
      const parts = [[enabled, "on"], [disabled, "off"], [expired, "expired"]].filter(([n]) => n).map(([n, text]) => `${n} ${text}`);
      setText(this.#numbers, total ? `${count(total, "token")}: ${parts.join(", ")}` : "");
    } catch {} // the list says what is wrong
  }

  /** Whether the list is under the pointer: then nothing in it may move. Touched is not under the pointer. */
  #isHeld() { return this.#list.matches(":hover") && matchMedia("(hover: hover)").matches; }

  #release() {
    if (this.#held || [...this.#rows.values()].some(({ isGone, hasFocus }) => isGone && !hasFocus)) this.#draw();
    this.#held = 0;
    this.#heldBar.hidden = true;
  }

  /** Draws the list, once for all that changes at a time. @param {string} [mark] the token to mark */
  #draw(mark) {
    if (mark) requestAnimationFrame(() => this.#rows.get(mark)?.mark());
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    queueMicrotask(() => {
      this.#isDrawing = false;
      this.#place(this.#tokens.all);
    });
  }

  /** @param {Token[]} tokens */
  #place(tokens) {
    const hadFocus = this.#list.contains(document.activeElement);
    this.#rows = new Map(tokens.map((token) => [token.id, this.#row(token)]));
    arrange(this.#list, [...this.#rows.values()].map(({ element }) => element));
    if (hadFocus && !this.#list.contains(document.activeElement)) this.querySelector("h2")?.focus();
    this.#more.hidden = !this.#tokens.hasMore;
    this.#lookForEnd();
    this.#showEmpty(tokens.length === 0);
    this.#selectionChanged();
  }

  /** @param {Token} token */
  #row(token) {
    const known = this.#rows.get(token.id);
    if (known) {
      if (known.token !== token) known.show(token);
      return known;
    }
    return new TokenRow(token, {
      onSwitch: (one) => this.#switch(one), onSelect: (one, shift) => this.#select(one, shift), onDelete: (one) => this.#delete(one),
      onEdit: (one) => editPermissionsDialog(this.app, one.token, (changed) => this.#take(changed)),
    });
  }

  /** @param {boolean} isEmpty */
  #showEmpty(isEmpty) {
    this.#empty.hidden = !isEmpty || !this.#tokens.isRead;
    const { search, enabled } = this.#tokens.question;
    const isAsked = search !== "" || enabled !== undefined;
    fill(this.#empty, h("h3", null, isAsked ? "No token fits that." : "You have no tokens yet."),
      h("p", { class: "quiet" }, isAsked ? "Try other words, or show all of them." : "A token lets a program act as you, with the permissions that you give it."));
  }

  // What can be done with one.

  /** @param {TokenRow} row */
  async #switch(row) {
    if (row.wanted !== null) return;
    const { id, name, enabled } = row.token;
    await act(this.app, row.switch, async () => {
      row.wanted = !enabled;
      row.show(row.token);
      try {
        this.#take(await this.app.api.call("/v1/api-tokens/set-enabled", id, !enabled));
      } finally {
        row.wanted = null;
        row.show(this.#tokens.get(id) ?? row.token);
      }
    }, { settle: async () => {
      const { tokens: [now] } = await this.app.api.call("/v1/api-tokens/read", { id });
      this.#take(now);
      const state = `“${name}” is ${now.enabled ? "on" : "off"}`;
      return now.enabled === enabled ? `The connection is back, and ${state}: nothing was changed. Try again.` : `The connection is back, and ${state}.`;
    } });
  }

  /** What a call answered; the notification that says the same comes after it. @param {Token} token */
  #take(token) { this.#tokens.hear("updated", { token }); }

  /** @param {TokenRow} row */
  #delete(row) {
    deleteTokenDialog(this.app, row.token, () => {
      this.#tokens.hear("deleted", { tokenId: row.token.id });
      this.#place(this.#tokens.all);
    });
  }

  // What can be done with many.

  get #selected() { return [...this.#rows.values()].filter((row) => row.isSelected && !row.isGone); }

  /** @param {TokenRow} row @param {boolean} shift from the one that was picked before to this one */
  #select(row, shift) {
    const rows = [...this.#list.children].map((element) => [...this.#rows.values()].find((one) => one.element === element));
    if (shift && this.#picked) {
      const [from, to] = [rows.indexOf(this.#picked), rows.indexOf(row)].sort((a, b) => a - b);
      for (const one of rows.slice(Math.max(0, from), to + 1)) if (one) one.isSelected = row.isSelected;
    }
    this.#picked = row;
    this.#selectionChanged();
  }

  #selectAll() {
    const on = this.#all.checked;
    for (const row of this.#rows.values()) row.isSelected = on;
    this.#selectionChanged();
  }

  #clearSelection() {
    this.#all.checked = false;
    this.#selectAll();
  }

  #selectionChanged() {
    const n = this.#selected.length;
    const hadFocus = this.#bulk.contains(document.activeElement);
    this.#bulk.hidden = n === 0;
    if (hadFocus && n === 0) this.querySelector("h2")?.focus();
    setText(this.#picks, n ? `${count(n, "token")} selected` : "");
    this.#all.checked = n > 0 && n === this.#rows.size;
    this.#all.indeterminate = n > 0 && n < this.#rows.size;
  }

  /** @param {boolean} enabled */
  #switchSelected(enabled) {
    this.#forSelected(this.#selected.map(({ token }) => token), async ({ id }) => this.#take(await this.app.api.call("/v1/api-tokens/set-enabled", id, enabled)));
  }

  #deleteSelected() {
    const tokens = this.#selected.map(({ token }) => token);
    deleteTokensDialog(tokens, () => this.#forSelected(tokens, async ({ id }) => {
      await this.app.api.call("/v1/api-tokens/delete", id);
      this.#tokens.hear("deleted", { tokenId: id });
    }));
  }

  /** @param {Token[]} tokens @param {(token: Token) => Promise<unknown>} call */
  #forSelected(tokens, call) {
    return act(this.app, this.#bulk, async () => {
      const failed = await forEachToken(tokens, call, (text) => setText(this.#picks, text));
      this.#place(this.#tokens.all);
      problemPlace(this.#bulk).textContent = failed.join(" ");
      announce(`${count(tokens.length - failed.length, "token")} done${failed.length ? `, ${failed.length} not` : ""}.`);
    });
  }
}

customElements.define("tw-tokens", TokensView);
