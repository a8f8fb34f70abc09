// The view of all users, for administrators. No notification tells of users, so it reads anew what may have changed.

import { arrange, button, h, setText } from "./dom.js";
import { act } from "./actions.js";
import { choice, searchField, watchEnd } from "./lists.js";
import { Pages } from "./pages.js";
import { receipted, receiptWords } from "./receipt.js";
import { createUserDialog, deleteUserDialog, lastAdministrator, readUser, sessionsDialog, setPasswordDialog, switchOffMyselfDialog } from "./user-dialogs.js";
import { userPermissionsDialog } from "./user-permissions.js";
import { UserRow } from "./user-row.js";
import { View } from "./view.js";
import { count, timeOfDay } from "./words.js";

const PAGE = 50; // users read at a time
const GONE = 404;

/** @type {Record<string, [string, string, string]>} */
const ORDERS = {
  name: ["Name, A to Z", "username", "asc"], "name-desc": ["Name, Z to A", "username", "desc"], newest: ["Newest first", "createdAt", "desc"],
  oldest: ["Oldest first", "createdAt", "asc"], on: ["On first", "enabled", "desc"], off: ["Off first", "enabled", "asc"],
};

/** @typedef {import("./user-dialogs.js").User} User */

class UsersView extends View {
  #question = { search: "", state: "", order: "name" };
  /** @type {Pages<User>} */ #users = new Pages((after) => this.#fetch(after), ({ id }) => id);
  /** @type {Map<string, UserRow>} */ #rows = new Map();
  #lookForEnd = () => {};
  #isLate = false; // the list has another order than it shows
  #list = h("ul", { class: "entries", role: "list" });
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #numbers = h("p", { class: "quiet", role: "status" });
  #empty = h("div", { class: "empty", hidden: true }, h("h3", null, "No user fits that."), h("p", { class: "quiet" }, "Try other words, or show all of them."));
  #more = button("Show more", () => act(this.app, this.#more, () => this.#readOn()), { hidden: true });

  show() {
    const refresh = button("Refresh", () => act(this.app, refresh, () => this.#read()));
    const create = button("New user", () => createUserDialog(this.app, () => this.#read()), { class: "primary" });
    const tools = h("div", { class: "row tools", role: "search", "aria-label": "Users" },
      h("div", { class: "grow" }, searchField("Search by name", (search) => this.#ask({ search }), { autocapitalize: "none", spellcheck: "false" })),
      h("div", null, choice("Which users", [["", "All"], ["true", "On"], ["false", "Off"]], (state) => this.#ask({ state }))),
      h("div", null, choice("Order", Object.entries(ORDERS).map(([value, [text]]) => [value, text]), (order) => this.#ask({ order }))));
    this.append(this.heading("Users", refresh, create), tools, this.#numbers, this.#status, this.#empty, this.#list, h("div", { class: "row" }, this.#more));
    this.keepFresh(() => this.#read());
    for (const leave of ["pointerleave", "focusout"]) {
      this.#list.addEventListener(leave, () => requestAnimationFrame(() => this.#isLate && !this.#isHeld() && this.#place()));
    }
    this.#lookForEnd = watchEnd(this.#more, this.signal, () => this.#readOn().catch(() => {})); // the button says what is wrong
    this.#ask({});
  }

  // Reading and drawing.

  /** @param {string} [after] */
  async #fetch(after) {
    const { search, state, order } = this.#question;
    const [, column, direction] = ORDERS[order];
    const where = { username: search ? ["like", search] : undefined, enabled: state ? state === "true" : undefined };
    const { users, next } = await this.app.api.call("/v1/users/read", { where, orderBy: [[column, direction]], limit: PAGE, after });
    return { rows: users, next };
  }

  /** @param {object} question */
  #ask(question) {
    this.#question = { ...this.#question, ...question };
    return this.attempt(this.#status, async () => (await this.#users.ask()) && this.#place());
  }

  #read() { return this.attempt(this.#status, async () => (await this.#users.read()) && this.#draw()); }
  async #readOn() { return (await this.#users.more()) && this.#place(); }

  /** Whether something of the list is under the pointer or has the focus: then nothing in it may move. */
  #isHeld() { return this.#list.matches(":hover") || this.#list.contains(document.activeElement); }

  /** Shows what each user has become, and where all of them stand when nothing is held. */
  #draw() {
    if (!this.#isHeld()) return this.#place();
    this.#isLate = true;
    for (const [id, row] of this.#rows) row.show(this.#users.get(id) ?? row.user);
    this.#tell();
  }

  #place() {
    if (this.signal.aborted) return;
    const hadFocus = this.#list.contains(document.activeElement);
    const users = this.#users.all;
    this.#rows = new Map(users.map((user) => [user.id, this.#row(user)]));
    arrange(this.#list, [...this.#rows.values()].map(({ element }) => element));
    if (hadFocus && !this.#list.contains(document.activeElement)) this.querySelector("h2")?.focus();
    this.#isLate = false;
    this.#tell();
  }

  #tell() {
    const { all, hasMore, isRead } = this.#users;
    this.#more.hidden = !hasMore;
    this.#lookForEnd();
    this.#empty.hidden = !isRead || all.length > 0;
    setText(this.#numbers, all.length ? `${hasMore ? "The first " : ""}${count(all.length, "user")}, as of ${timeOfDay(Date.now())}` : "");
  }

  /** @param {User} user */
  #row(user) {
    const known = this.#rows.get(user.id);
    if (!known) return this.#newRow(user);
    known.show(user);
    return known;
  }

  /** @param {User} user */
  #newRow(user) {
    const { app } = this;
    return new UserRow(user, user.id === app.user?.id, {
      onSwitch: (row) => this.#switch(row),
      onPermissions: (row) => userPermissionsDialog(app, row.user, (changed) => this.#take(changed)),
      onSessions: (row) => sessionsDialog(app, row.user),
      onPassword: (row) => setPasswordDialog(app, row.user),
      onDelete: (row) => this.#delete(row),
    });
  }

  /** What a call answered. A read that is under way may have come before it. @param {User} user */
  #take(user) {
    this.#users.take(user);
    this.#rows.get(user.id)?.show(user);
    if (!this.signal.aborted) this.#read();
  }

  // What can be done with one.

  /** @param {UserRow} row */
  #switch(row) {
    if (row.switch.isBusy) return;
    const isMe = row.user.id === this.app.user?.id;
    if (isMe && row.user.enabled) switchOffMyselfDialog((from) => this.#setEnabled(row, from));
    else this.#setEnabled(row, row.switch.element);
  }

  /** @param {UserRow} row @param {HTMLElement} from the button */
  #setEnabled(row, from) {
    const { id, username, enabled } = row.user;
    return act(this.app, from, async () => {
      try {
        const call = (/** @type {(isWaiting: boolean) => void} */ tell) => receipted(this.app, "/v1/users/set-enabled", [id, !enabled], tell);
        const { result, receipt } = await row.switch.set(!enabled, call, () => row.show(row.user));
        this.#take(result);
        if (receipt.verifiers) row.switch.tell(!enabled, `“${username}” is ${receiptWords(receipt, enabled ? "off" : "on")}.`);
      } catch (/** @type {any} */ error) {
        if (error.code === GONE) this.#read();
        throw error;
      }
    }, { explain: enabled ? lastAdministrator(username) : undefined, settle: async () => {
      const now = await readUser(this.app, id);
      if (!now) return `The connection is back, and “${username}” has been deleted.`;
      this.#take(now);
      const state = `“${username}” is ${now.enabled ? "on" : "off"}`;
      return now.enabled === enabled ? `The connection is back, and ${state}: nothing was changed. Try again.` : `The connection is back, and ${state}.`;
    } });
  }

  /** @param {UserRow} row */
  #delete({ user }) {
    deleteUserDialog(this.app, user, () => {
      this.#users.remove(user.id);
      this.#place();
      this.#read();
    });
  }
}

customElements.define("tw-users", UsersView);
