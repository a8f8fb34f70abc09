// The view of what has happened to one's tokens: as it happens, and back as far as it is kept.

import { act } from "./actions.js";
import { ActivityRow } from "./activity-row.js";
import { heldBefore, KINDS, textOf, titleOf } from "./changes.js";
import { arrange, button, fill, h, mark, setText } from "./dom.js";
import { Feed, MAX_ENTRIES, NOTIFICATIONS } from "./feed.js";
import { choice, searchField, watchEnd } from "./lists.js";
import { Numbers } from "./numbers.js";
import { TokenNames } from "./token-names.js";
import { View } from "./view.js";
import { count, dayOf } from "./words.js";

const TICK_MS = 15_000; // “2 minutes ago” grows old
const RECOUNT_MS = 60_000; // days begin, and tokens expire, without a notification
const DRAW_MS = 100;
const TELL_MS = 2_000; // for those who hear the page: not each of many changes
const MARKED_MAX = 20; // of many at once none is seen

/** @typedef {import("./feed.js").Entry} Entry */

class ActivityView extends View {
  /** @type {Feed} */ #feed;
  /** @type {TokenNames} */ #names;
  #numbers = new Numbers(this);
  #lookForEnd = () => {};
  /** @type {Map<string, ActivityRow>} */ #rows = new Map();
  /** @type {Map<string, { element: HTMLElement, list: HTMLElement }>} */ #days = new Map();
  /** Of the session that this page is in. @type {string | null} */ #sessionId = null;
  #isDrawing = false;
  #isStale = false;
  #untold = 0;
  #kind = "";
  #search = "";

  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #offline = h("p", { class: "notice", hidden: true }, "There is no connection just now. What happens meanwhile comes in when it is back.");
  #told = h("p", { class: "visually-hidden", role: "status" });
  #heldBar = button("", () => this.#release(), { class: "held", hidden: true });
  #pause = button("Pause", () => this.#togglePause());
  #list = h("div", { class: "changes" });
  #empty = h("div", { class: "empty", hidden: true });
  #more = button("Show older", () => act(this.app, this.#more, () => this.#feed.more()), { hidden: true });
  #end = h("p", { class: "quiet" });
  #field = searchField("Search by token, user or permission", () => this.#filter(), { dir: "auto" });
  #select = choice("Which changes", Object.entries(KINDS), () => this.#filter());

  show() {
    this.#feed = new Feed(this.app.api, () => this.#draw());
    this.#names = new TokenNames(this.app.api, () => this.#draw());
    const tools = h("div", { class: "row tools", role: "search", "aria-label": "Changes" }, h("div", { class: "grow" }, this.#field), h("div", null, this.#select));
    this.append(this.heading("Activity", this.#pause), this.#offline, this.#numbers.element, tools, this.#status, this.#told, this.#empty,
      h("div", null, h("div", { class: "held-place" }, this.#heldBar), this.#list), h("div", { class: "row" }, this.#more, this.#end));
    for (const method of NOTIFICATIONS) this.hear(method, (params) => this.#hear(method, params));
    this.hear("/v1/session/ready", () => this.#connected());
    const tellOffline = () => (this.#offline.hidden = this.app.api.state === "live");
    this.hear("state", tellOffline);
    tellOffline();
    this.hear("reset", () => this.#read());
    this.every(TICK_MS, () => this.#draw());
    this.every(RECOUNT_MS, () => this.#countIfSeen());
    this.#lookForEnd = watchEnd(this.#more, this.signal, () => this.#feed.hasMore && this.#feed.more().catch(() => {})); // the button is there to try again
    this.#connected();
    this.#read();
  }

  #read() { return this.attempt(this.#status, () => this.#feed.read()); }

  /** Another session may have taken the place of the one before. */
  async #connected() {
    this.#countIfSeen();
    try {
      const { credential } = await this.app.api.call("/v1/session/read");
      this.#sessionId = credential.id;
      this.#draw();
    } catch {} // it is not told apart from the user's other sessions, until the next connection
  }

  #countIfSeen() {
    if (!this.#feed.isPaused && this.app.api.state === "live") this.#numbers.count();
  }

  /** @param {string} method @param {any} params */
  #hear(method, params) {
    if (params.token) this.#names.learn(params.token);
    this.#feed.hear(method, params);
    if (this.#feed.isPaused) return;
    this.#numbers.changed();
    this.#untold++;
    this.soon("tell", TELL_MS, () => {
      setText(this.#told, `${count(this.#untold, "new change")}.`);
      this.#untold = 0;
    });
  }

  // Holding it back, and looking for something.

  #togglePause() {
    if (this.#feed.isPaused) {
      this.#feed.resume();
      this.#numbers.changed();
    } else this.#feed.pause();
    setText(this.#pause, this.#feed.isPaused ? "Resume" : "Pause");
  }

  #release() {
    this.#feed.release();
    this.#numbers.changed();
    this.querySelector("h2")?.focus(); // the button has gone
  }

  #filter() {
    this.#kind = this.#select.value;
    this.#search = this.#field.value.trim().toLowerCase();
    this.#draw();
  }

  #showAll() {
    this.#field.value = this.#select.value = "";
    this.#filter();
    this.#field.focus();
  }

  // Drawing.

  get #viewer() {
    return { userId: this.app.user?.id, sessionId: this.#sessionId, nameOf: (/** @type {string} */ id) => this.#names.get(id) };
  }

  /** Draws, once for all that changes within a moment: a hundred changes a second are to leave the page its time. */
  #draw() {
    this.#isStale = true;
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isStale = false;
      if (!this.signal.aborted && this.#feed.isRead) this.#place();
      setTimeout(() => {
        this.#isDrawing = false;
        if (this.#isStale) this.#draw();
      }, DRAW_MS);
    });
  }

  #place() {
    const { all } = this.#feed;
    this.#learnNames(all);
    const before = heldBefore(all);
    const shown = all.filter((entry) => this.#fits(entry, before.get(entry) ?? null));
    const isNew = shown.filter(({ key, isHeard }) => isHeard && !this.#rows.has(key));
    this.#placeRows(all, shown, before);
    this.#placeDays(shown);
    if (isNew.length <= MARKED_MAX) for (const { key } of isNew) mark(/** @type {ActivityRow} */ (this.#rows.get(key)).element);
    this.#showEnds(all.length, shown.length);
  }

  /** @param {readonly Entry[]} all */
  #learnNames(all) {
    const deleted = new Set(all.filter(({ method }) => method === "/v1/api-tokens/deleted").map(({ tokenId }) => tokenId));
    for (const { params } of all) if (params.token) this.#names.learn(params.token, { isOld: true });
    const mentioned = all.flatMap(({ tokenId, params: { by } }) => [tokenId, by?.credential?.kind === "token" && by.credential.id]);
    this.#names.want(mentioned.filter((id) => id && !deleted.has(id)));
  }

  /** @param {Entry} entry @param {import("./changes.js").Held | null} before */
  #fits(entry, before) {
    return (!this.#kind || titleOf(entry).kind === this.#kind) && (!this.#search || textOf(entry, this.#viewer, before).includes(this.#search));
  }

  /** What the filter leaves out has a row, too: it is not new when it comes back. @param {readonly Entry[]} all @param {Entry[]} shown
   * @param {Map<Entry, import("./changes.js").Held>} before */
  #placeRows(all, shown, before) {
    const rows = all.map((entry) => /** @type {[string, ActivityRow]} */ ([entry.key, this.#rows.get(entry.key) ?? new ActivityRow(entry)]));
    this.#rows = new Map(rows);
    for (const entry of shown) this.#rows.get(entry.key)?.show(this.#viewer, before.get(entry) ?? null);
  }

  /** @param {Entry[]} shown */
  #placeDays(shown) {
    /** @type {Map<string, Element[]>} */ const rows = new Map();
    for (const { key, params } of shown) {
      const day = dayOf(params.time);
      if (!rows.has(day)) rows.set(day, []);
      rows.get(day)?.push(/** @type {ActivityRow} */ (this.#rows.get(key)).element);
    }
    for (const day of this.#days.keys()) if (!rows.has(day)) this.#days.delete(day);
    arrange(this.#list, [...rows.keys()].map((day) => this.#day(day).element));
    for (const [day, elements] of rows) arrange(this.#day(day).list, elements);
  }

  /** @param {string} name */
  #day(name) {
    const known = this.#days.get(name);
    if (known) return known;
    const list = h("ol", { role: "list" });
    const day = { element: h("section", null, h("h3", null, name), list), list };
    this.#days.set(name, day);
    return day;
  }

  /** @param {number} all @param {number} shown */
  #showEnds(all, shown) {
    const { held, hasMore, isCutOff, isFull } = this.#feed;
    this.#heldBar.hidden = !held;
    setText(this.#heldBar, `${held.toLocaleString("en")} new: show`);
    this.#more.hidden = !hasMore;
    this.#lookForEnd();
    const last = isFull ? `The newest ${count(MAX_ENTRIES, "change")} are here; older ones make way.` : isCutOff ? "What is older is no longer kept." : "That is all that is kept.";
    setText(this.#end, hasMore || !all ? "" : last);
    this.#empty.hidden = shown > 0;
    if (shown) return;
    fill(this.#empty, h("h3", null, all ? "No change fits that." : "Nothing has happened yet."),
      h("p", { class: "quiet" }, all ? `Of the ${count(all, "change")} that were looked through.` : "What happens to your tokens comes up here, as it happens."),
      all > 0 && h("p", null, button("Show all", () => this.#showAll())));
  }
}

customElements.define("tw-activity", ActivityView);
