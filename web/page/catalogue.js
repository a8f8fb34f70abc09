// The view of the catalogue: every permission that there is, and who has it. For administrators. No notification tells of it,
// so it reads anew what may have changed.

import { arrange, button, h, labelled, setText } from "./dom.js";
import { act, announce } from "./actions.js";
import { confirmDialog, openDialog } from "./dialog.js";
import { heirOf } from "./focus.js";
import { countHolders, holdersDialog } from "./holders.js";
import { searchField } from "./lists.js";
import { holdTo, PERMISSION, ruleOf } from "./names.js";
import { byGroup } from "./permission-matrix.js";
import { receipted, receiptSentence } from "./receipt.js";
import { View } from "./view.js";
import { count } from "./words.js";

const BUILT_IN = ["admin", "tokens:manage", "tokens:verify"];
const CONFLICT = 409;

/** @typedef {{ id: string, name: string, description: string }} Permission */

class CatalogueView extends View {
  /** @type {Permission[]} */ #all = [];
  #search = "";
  /** @type {Map<string, { key: string, element: HTMLElement }>} */ #rows = new Map();
  /** @type {Map<string, { element: HTMLElement, list: HTMLElement }>} */ #groups = new Map();
  #list = h("div", { class: "groups" });
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #numbers = h("p", { class: "quiet", role: "status" });
  #empty = h("div", { class: "empty", hidden: true }, h("h3", null, "No permission fits that."), h("p", { class: "quiet" }, "Try other words, or make it with “New permission”."));

  show() {
    const refresh = button("Refresh", () => act(this.app, refresh, () => this.#read()));
    const create = button("New permission", () => this.#create(), { class: "primary" });
    const search = searchField("Search by id, name or description", (text) => {
      this.#search = text.toLowerCase();
      this.#draw();
    }, { dir: "auto" });
    this.append(this.heading("Permissions", refresh, create),
      h("p", { class: "quiet" }, "What users can be allowed to do, and can allow their tokens to do."),
      h("div", { role: "search", "aria-label": "Permissions" }, search), this.#numbers, this.#status, this.#empty, this.#list);
    this.keepFresh(() => this.#read());
    this.#read();
  }

  #read() {
    return this.attempt(this.#status, async () => {
      this.#all = await this.app.api.call("/v1/permissions/read");
      if (!this.signal.aborted) this.#draw();
    });
  }

  /** What does not change stays where it is, and keeps the focus. */
  #draw() {
    const { activeElement } = document;
    const refocus = activeElement && this.#list.contains(activeElement) ? heirOf(activeElement) : undefined;
    const found = this.#all.filter((permission) => Object.values(permission).some((text) => text.toLowerCase().includes(this.#search)));
    const rows = new Map(this.#all.map((permission) => [permission.id, this.#row(permission)]));
    const sections = [...byGroup(found)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, permissions]) => {
      const { element, list } = this.#group(name);
      arrange(list, permissions.map(({ id }) => /** @type {any} */ (rows.get(id)).element));
      return element;
    });
    this.#rows = rows;
    arrange(this.#list, sections);
    refocus?.();
    this.#empty.hidden = found.length > 0;
    setText(this.#numbers, this.#search ? `${found.length} of ${count(this.#all.length, "permission")}` : count(this.#all.length, "permission"));
  }

  /** @param {string} name */
  #group(name) {
    const known = this.#groups.get(name);
    if (known) return known;
    const list = h("ul", { class: "entries", role: "list" });
    const made = { element: h("section", { class: "part" }, h("h3", null, name), list), list };
    this.#groups.set(name, made);
    return made;
  }

  /** @param {Permission} permission */
  #row(permission) {
    const { id, name, description } = permission;
    const key = JSON.stringify(permission);
    const known = this.#rows.get(id);
    if (known?.key === key) return known;
    const remove = BUILT_IN.includes(id) ? h("span", { class: "badge" }, "built in")
      : button("Delete", () => this.#delete(id), { class: "small", "aria-label": `Delete ${id}` });
    const element = h("li", { class: "entry permission" },
      h("div", { class: "who" }, h("h4", null, h("code", null, id)), name !== id && h("p", { dir: "auto" }, name), h("p", { class: "quiet", dir: "auto" }, description)),
      h("div", { class: "row actions" }, button("Who has it", () => holdersDialog(this.app, id), { class: "small", "aria-label": `Who has it: ${id}` }), remove));
    return { key, element };
  }

  #create() {
    const id = holdTo(h("input", { required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false", autofocus: true }), PERMISSION);
    const name = h("input", { maxlength: "100", autocomplete: "off", dir: "auto" });
    const description = h("textarea", { maxlength: "1000", dir: "auto" });
    const submit = h("button", { class: "primary", form: "create-permission" }, "Create permission");
    const form = h("form", { id: "create-permission", class: "stack" },
      labelled("Id", id, `Such as “invoices:read”. ${ruleOf(PERMISSION)} What is before the colon is its group.`),
      labelled("Name", name, "For people. The id, if you leave it out."), labelled("Description", description, "What it allows."));
    const dialog = openDialog({
      title: "New permission",
      body: [form, h("p", { class: "quiet" }, "You are given it, so that you can give it to others.")],
      actions: [button("Cancel", () => dialog.close()), submit],
    });
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      const wanted = id.value.trim();
      act(this.app, submit, async () => {
        await this.app.api.call("/v1/permissions/create", wanted, { name: name.value, description: description.value });
        announce(`The permission ${wanted} was created, and you hold it.`);
        dialog.close();
        this.#read();
      }, {
        explain: ({ code, data }) => (code === CONFLICT && data?.permission ? `There is a permission ${wanted} already. Take another id.` : undefined),
        settle: async () => ((await this.#isThere(wanted)) ? `The connection is back, and there is a permission ${wanted}.` : `The connection is back, and ${wanted} was not created. Try again.`),
      });
    });
  }

  /** @param {string} id */
  async #isThere(id) {
    await this.#read();
    return this.#all.some((permission) => permission.id === id);
  }

  /** @param {string} id */
  async #delete(id) {
    const users = h("li", null, "Looking for who has it…");
    const tokens = h("li", { hidden: true });
    const closed = new AbortController();
    const dialog = confirmDialog({
      title: `Delete ${id}?`,
      body: [h("p", null, "It is taken from every user and token that has it. It cannot be undone: a new one of the same id has to be given anew."),
        h("ul", { class: "facts", role: "list" }, users, tokens)],
      verb: "Delete",
      work: (from) => act(this.app, from, async () => {
        const { receipt } = await receipted(this.app, "/v1/permissions/delete", [id]);
        this.#all = this.#all.filter((permission) => permission.id !== id);
        this.#draw();
        announce(`The permission ${id} was deleted.${receiptSentence(receipt, "gone")}`);
        this.#read();
      }, { settle: async () => ((await this.#isThere(id)) ? `The connection is back, and ${id} was not deleted. Try again.` : `The connection is back, and ${id} was deleted.`) }),
    });
    dialog.addEventListener("close", () => closed.abort());
    try {
      const found = await countHolders(this.app, id, closed.signal);
      const orMore = found.isAll ? "" : ", or more: they are too many to count here";
      users.textContent = `${count(found.users, "user")} will lose it${orMore}.`;
      tokens.textContent = `${count(found.tokens, "token")} will lose it${orMore}.`;
      tokens.hidden = false;
    } catch {
      users.textContent = "How many have it is not known just now.";
    }
  }
}

customElements.define("tw-catalogue", CatalogueView);
