// The view of one's tokens: the list, live, and what can be done with it.

import { arrange, button, fill, h, setText } from "./dom.js";
import { act, announce } from "./actions.js";
import { countDone, forEachToken } from "./bulk.js";
import { choice, searchField, watchEnd } from "./lists.js";
import { receipted, receiptsSentence, receiptWords } from "./receipt.js";
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

/** @type {Record<string, Partial<import("./tokens.js").Question>>} as the numbers count them: expired is neither on nor off */
const STATES = {
  All: { enabled: undefined, expired: undefined }, On: { enabled: true, expired: false }, Off: { enabled: false, expired: false },
  Expired: { enabled: undefined, expired: true },
};

/** @typedef {import("../client.js").Token} Token */

class TokensView extends View {
  /** @type {Tokens} */ #tokens;
  /** @type {Map<string, TokenRow>} */ #rows = new Map();
  /** What has been created elsewhere while something was under the pointer. */ #held = 0;
  #isDrawing = false;
  #isStale = false; // to be read anew when nothing is under the pointer
  /** What was reported when that was read. @type {Map<string, import("./leaks.js").Leak>} */ #leaks = new Map();
  /** @type {TokenRow | null} the last one picked, for a range */ #picked = null;

  #list = h("ul", { class: "tokens", role: "list" });
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #numbers = h("p", { class: "quiet numbers" });
  #empty = h("div", { class: "empty", hidden: true });
  #heldBar = button("", () => this.#showHeld(), { hidden: true });
  #more = button("Show more", () => act(this.app, this.#more, async () => this.#tokens.more()), { hidden: true });
  #lookForEnd = () => {};
  #picks = h("span", { role: "status" });
  #all = h("input", { type: "checkbox", onclick: () => this.#selectAll(this.#all.checked) });
  #search = searchField("Search by name", (text) => this.#ask({ search: text }), { dir: "auto" });
  #states = choice("Which tokens", Object.keys(STATES).map((name) => [name, name]), (name) => this.#ask(STATES[name]));
  #bulk = h("div", { class: "bulk", hidden: true, role: "group", "aria-label": "Selected tokens" });
  #tools = h("div", { class: "row tools", role: "search", "aria-label": "Tokens" });

  show() {
    this.#tokens = new Tokens(this.app.api, (what, token) => this.#changed(what, token));
    this.#makeTools();
    const bulk = (/** @type {string} */ text, /** @type {(from: HTMLElement) => void} */ fn, more = {}) => button(text, ({ currentTarget }) => fn(currentTarget), { class: "small", ...more });
    fill(this.#bulk, this.#picks, bulk("Switch on", () => this.#switchSelected(true)), bulk("Switch off", () => this.#switchSelected(false)),
      bulk("Delete", (from) => this.#deleteSelected(from), { class: "small danger" }), bulk("Clear", () => this.#selectAll(false)));
    const create = button("New token", () => this.#open(create, () => import("./create-token.js"),
      ({ createTokenDialog }) => createTokenDialog(this.app, (token) => this.#tokens.hear("created", { token }))), { class: "primary" });
    this.append(this.heading("API tokens", create), this.#numbers, this.#tools, this.#status, this.#empty,
      h("div", { class: "held" }, this.#heldBar), this.#list,
      h("div", { class: "row" }, this.#more), this.#bulk);
    this.#tokens.follow((method, fn) => this.hear(method, fn));
    for (const what of ["created", "deleted", "enabled-changed"]) this.hear(`/v1/api-tokens/${what}`, () => this.soon("count", SETTLE_MS, () => this.#count()));
    this.hear("/v1/api-tokens/leaked", (params) => this.#leaked(params));
    this.hear("/v1/api-tokens/expired", ({ tokenId }) => this.#expired(this.#rows.get(tokenId)));
    this.hear("reset", () => (this.#read(), this.#findLeaks()));
    this.#findLeaks();
    this.every(REREAD_MS, () => this.app.api.state === "live" && !this.#isHeld() && this.#read());
    for (const leave of ["pointerleave", "focusout"]) this.#list.addEventListener(leave, () => setTimeout(() => this.#isHeld() || this.#release()));
    this.#lookForEnd = watchEnd(this.#more, this.signal, () => this.#tokens.more()?.catch(() => {})); // the button says what is wrong
    this.#read();
  }

  #makeTools() {
    const orders = choice("Order", Object.entries(ORDERS).map(([value, [text]]) => [value, String(text)]), (value) => {
      const [, orderBy, desc] = ORDERS[value];
      this.#ask({ orderBy, desc });
    });
    fill(this.#tools, h("label", { class: "check" }, this.#all, h("span", { class: "visually-hidden" }, "Select all")),
      h("div", { class: "grow" }, this.#search), h("div", null, this.#states), h("div", null, orders));
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
    if (what === "elsewhere") return this.soon("read", SETTLE_MS, () => this.#readUnheld());
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

  /** Somebody has found a secret where it should not be, and the token is switched off. @param {{ tokenId: string } & import("./token-row.js").Leak} leak */
  #leaked({ tokenId, url }) {
    const row = this.#rows.get(tokenId);
    if (!row) return;
    row.leak = { url };
    row.show(row.token);
    announce(`“${row.token.name}” was reported as leaked.`);
  }

  /** What was reported before the page was there. The list does without where that cannot be read. */
  async #findLeaks() {
    try {
      const all = await this.app.api.call("/v1/api-tokens/count", { where: { enabled: false } });
      if (!all.total) return;
      const { readLeaks } = await import("./leaks.js");
      this.#leaks = await readLeaks(this.app);
      for (const row of this.#rows.values()) this.#tellLeak(row);
    } catch {}
  }

  /** @param {TokenRow} row */
  #tellLeak(row) {
    row.leak = this.#leaks.get(row.token.id) ?? row.leak;
    row.show(row.token);
  }

  /** @param {TokenRow} [row] */
  #expired(row) {
    row?.show(row.token);
    this.soon("count", SETTLE_MS, () => this.#count());
  }

  async #count() {
    const { where } = this.#tokens;
    try {
      const [all, fit] = await Promise.all([undefined, where].map((asked) => this.app.api.call("/v1/api-tokens/count", { where: asked })));
      const parts = [[all.enabled, "on"], [all.disabled, "off"], [all.expired, "expired"]].filter(([n]) => n).map(([n, text]) => `${n.toLocaleString("en")} ${text}`);
      const some = this.#isAsked ? `${fit.total.toLocaleString("en")} of ` : "";
      setText(this.#numbers, all.total ? `${some}${count(all.total, "token")}: ${parts.join(", ")}` : "");
    } catch {} // the list says what is wrong
  }

  /** Whether some are asked for, and not all. */
  get #isAsked() { return Object.values(this.#tokens.where).some((condition) => condition !== undefined); }

  /** Whether the list is under the pointer: then nothing in it may move. Touched is not under the pointer. */
  #isHeld() { return this.#list.matches(":hover") && matchMedia("(hover: hover)").matches; }

  /** Shows what is new, which may be far above what one is looking at. */
  #showHeld() {
    this.#release();
    this.querySelector("h2")?.focus();
    scrollTo(0, 0);
  }

  #readUnheld() {
    this.#isStale = this.#isHeld();
    if (!this.#isStale) this.#read();
  }

  #release() {
    if (this.#isStale) this.#readUnheld();
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
    const row = new TokenRow(token, {
      onSwitch: (one) => this.#switch(one), onSelect: (one, shift) => this.#select(one, shift), onDelete: (one, from) => this.#delete(one, from),
      onEdit: (one, from) => this.#open(from, () => import("./edit-permissions.js"), ({ editPermissionsDialog }) => editPermissionsDialog(this.app, one.token, (now) => this.#take(now))),
      onDetails: (one, from) => this.#open(from, () => import("./token-details.js"), ({ tokenDialog }) => tokenDialog(this.app, one.token, (now) => this.#take(now))),
    });
    this.#tellLeak(row);
    return row;
  }

  /** @param {boolean} isEmpty */
  #showEmpty(isEmpty) {
    this.#empty.hidden = !isEmpty || !this.#tokens.isRead;
    fill(this.#empty, h("h3", null, this.#isAsked ? "No token fits that." : "You have no tokens yet."),
      this.#isAsked ? h("p", null, button("Show all", () => this.#showAll()))
        : h("p", { class: "quiet" }, "A token lets a program act as you, with the permissions that you give it. One without any can only say who you are."));
  }

  #showAll() {
    [this.#search.value, this.#states.value] = ["", "All"];
    this.#search.focus();
    return this.#ask({ search: "", ...STATES.All });
  }

  // What can be done with one.

  /** @param {TokenRow} row */
  #switch(row) {
    if (row.switch.isBusy) return undefined;
    return row.token.enabled ? this.#switchNow(row) : this.#unlessLeaked([row], row.switch.element, () => this.#switchNow(row));
  }

  /** Switches tokens on, and asks first where some were reported as leaked: nobody should undo that unseen.
   * @param {TokenRow[]} rows @param {HTMLElement} from @param {() => void} go */
  async #unlessLeaked(rows, from, go) {
    /** @type {[Token, import("./leaks.js").Leak][]} */ let leaked = [];
    /** @type {any} */ let module;
    const isKnown = await act(this.app, from, async () => {
      module = await import("./leaks.js");
      const leaks = await module.readLeaks(this.app);
      leaked = rows.filter(({ token, isRotated }) => !token.enabled && !isRotated && leaks.has(token.id)).map(({ token }) => [token, leaks.get(token.id)]);
    });
    if (!isKnown || this.signal.aborted) return;
    const [row] = rows;
    const rotate = () => this.#open(from, () => import("./rotate-token.js"), ({ rotateTokenDialog }) => rotateTokenDialog(this.app, row.token, (now) => {
      row.isRotated = true;
      row.leak = null;
      this.#take(now);
    }));
    if (leaked.length) module.leakDialog(leaked, go, rows.length === 1 ? rotate : undefined);
    else go();
  }

  /** @param {TokenRow} row */
  async #switchNow(row) {
    const { id, name, enabled } = row.token;
    await act(this.app, row.switch.element, async () => {
      const call = (/** @type {(isWaiting: boolean) => void} */ tell) => receipted(this.app, "/v1/api-tokens/set-enabled", [id, !enabled], tell);
      const { result, receipt } = await row.switch.set(!enabled, call, () => row.show(this.#tokens.get(id) ?? row.token));
      this.#take(result);
      if (receipt.verifiers) row.switch.tell(!enabled, `“${name}” is ${receiptWords(receipt, enabled ? "off" : "on")}.`);
    }, { settle: async () => {
      const { tokens: [now] } = await this.app.api.call("/v1/api-tokens/read", { id });
      this.#take(now);
      const state = now.enabled ? "on" : "off";
      if (now.enabled === enabled) return `The connection is back, and “${name}” is ${state}: nothing was changed. Try again.`;
      const { receipt } = await receipted(this.app, "/v1/api-tokens/set-enabled", [id, now.enabled, { version: now.version }]); // which changes nothing, and waits for what did
      return `The connection is back, and “${name}” is ${receiptWords(receipt, state) || state}.`;
    } });
  }

  /** Opens a dialog, whose module is loaded when it is first needed. @template M @param {HTMLElement} from the button
   * @param {() => Promise<M>} load @param {(module: M) => unknown} open */
  #open(from, load, open) {
    return act(this.app, from, async () => {
      const module = await load();
      if (this.signal.aborted) return;
      from.focus(); // what the dialog gives the focus back to, wherever one has gone meanwhile
      open(module);
    });
  }

  /** What a call answered; the notification that says the same comes after it. @param {Token} token */
  #take(token) { this.#tokens.hear("updated", { token }); }

  /** @param {TokenRow} row @param {HTMLElement} from */
  #delete(row, from) {
    this.#open(from, () => import("./delete-token.js"), ({ deleteTokenDialog }) => deleteTokenDialog(this.app, row.token, () => {
      this.#tokens.hear("deleted", { tokenId: row.token.id });
      this.#place(this.#tokens.all);
    }));
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

  /** Selects all that fit, also those that have not been read yet. @param {boolean} on */
  async #selectAll(on) {
    if (on) await act(this.app, this.#all, async () => (await this.#tokens.readAll(), this.#place(this.#tokens.all)));
    for (const row of this.#rows.values()) row.isSelected = on;
    this.#selectionChanged();
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
    const go = () => this.#switchAll(enabled);
    enabled ? this.#unlessLeaked(this.#selected, this.#bulk, go) : go();
  }

  /** @param {boolean} enabled */
  #switchAll(enabled) {
    this.#forSelected(this.#selected.map(({ token }) => token), `switched ${enabled ? "on" : "off"}`, (now) => now?.enabled === enabled,
      async ({ id }) => {
        const { result, receipt } = await receipted(this.app, "/v1/api-tokens/set-enabled", [id, enabled]);
        this.#take(result);
        return receipt;
      });
  }

  /** @param {HTMLElement} from */
  #deleteSelected(from) {
    const tokens = this.#selected.map(({ token }) => token);
    const deleteAll = () => this.#forSelected(tokens, "deleted", (now) => now === undefined, async ({ id }) => {
      const { receipt } = await receipted(this.app, "/v1/api-tokens/delete", [id]);
      this.#tokens.hear("deleted", { tokenId: id });
      return receipt;
    });
    this.#open(from, () => import("./delete-token.js"), ({ deleteTokensDialog }) => deleteTokensDialog(tokens, deleteAll));
  }

  /** @param {Token[]} tokens @param {string} done in words @param {(now: Token | undefined) => boolean} isDone
   * @param {(token: Token) => Promise<import("./receipt.js").Receipt>} call */
  async #forSelected(tokens, done, isDone, call) {
    /** @type {import("./bulk.js").Outcome} */ let outcome;
    await act(this.app, this.#bulk, async () => {
      outcome = await forEachToken(tokens, call, (text) => setText(this.#picks, text));
      this.#place(this.#tokens.all);
      if (outcome.done) announce(`${count(outcome.done, "token")} ${done}.${receiptsSentence(outcome.receipts)}`);
      if (outcome.problems.length) throw Object.assign(new Error(), { data: { outcome: outcome.unknown.length ? "unknown" : "" } });
    }, {
      explain: () => outcome.problems.join(" "),
      settle: async () => {
        const { length: all } = outcome.unknown;
        const n = await countDone(this.app, outcome.unknown, isDone);
        this.#read();
        return `The connection is back. Of the ${count(all, "token")} whose answers were lost, ${n} ${n === 1 ? "was" : "were"} ${done}.`;
      },
    });
  }
}

customElements.define("tw-tokens", TokensView);
