// The fields of what a token has beside its permissions: its name, when it expires, from where and how often it may be used. What the
// server refuses is said at the field.

import { h, labelled, newId, setAttribute } from "./dom.js";
import { editableOf, editedMembers, filledOf, rebased } from "./bounds.js";
import { problemOf } from "./words.js";

const LIVES = [["Never", ""], ["In 7 days", 7], ["In 30 days", 30], ["In 90 days", 90], ["In a year", 365], ["At …", "at"]];
const MAX_REQUESTS = 1_000_000; // the server's
const MAX_WINDOW = 86_400; // the server's, a day
/** @type {import("./bounds.js").Editable} */
const BLANK = { name: "", expiresAt: null, allowedIps: null, rateLimit: null };

/** @typedef {import("./bounds.js").Editable} Editable */
/** @typedef {import("./bounds.js").Filled} Filled */

export class TokenFields {
  /** What is saved. @type {Filled} */ #saved;
  /** @type {Map<any, any>} where the problem of a field is said */ #problems = new Map();
  #name = h("input", { maxlength: "100", required: true, autocomplete: "off", autofocus: true, dir: "auto" });
  #life = h("select", { onchange: () => this.#lifeChanged() }, LIVES.map(([text, value]) => h("option", { value: String(value) }, text)));
  #at = h("input", { type: "datetime-local", step: "any" });
  #addresses = h("textarea", { rows: "3", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  #requests = h("input", { type: "number", min: "1", max: String(MAX_REQUESTS), oninput: () => this.#rateChanged() });
  #window = h("input", { type: "number", min: "1", max: String(MAX_WINDOW), oninput: () => this.#rateChanged() });
  #atField = this.#field("Expires at", this.#at, "In your own time zone.");

  /** @param {Editable} [token] a new one by default */
  constructor(token = BLANK) {
    this.usual = [this.#field("Name", this.#name, "What it is for: “ci”, “backup of the wiki”."), this.#field("Expires", this.#life), this.#atField];
    this.unusual = [
      this.#field("Good from", this.#addresses, "Addresses and ranges, one in each line, such as 192.0.2.7 or 2001:db8::/32. From anywhere, if there is none."),
      h("fieldset", { class: "field" }, h("legend", null, "Rate limit"), h("div", { class: "fields" },
        this.#field("Requests at most", this.#requests), this.#field("In so many seconds", this.#window)),
        h("small", null, "For the services that take the token. None, if both are empty.")),
    ];
    this.#saved = saved(token);
    this.#fill(this.#saved);
  }

  /** @param {string} label @param {any} field @param {string} [hint] */
  #field(label, field, hint) {
    const problem = h("p", { class: "problem", id: newId() });
    const element = labelled(label, field, hint);
    element.append(problem);
    setAttribute(field, "aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${problem.id}`.trim());
    for (const event of ["input", "change"]) field.addEventListener(event, () => this.#say(field, ""));
    field.addEventListener("invalid", () => show(field)); // the browser says it there
    this.#problems.set(field, problem);
    return element;
  }

  #lifeChanged() {
    this.#atField.hidden = this.#life.value !== "at";
    this.#at.required = !this.#atField.hidden;
  }

  #rateChanged() {
    this.#requests.required = this.#window.value !== "";
    this.#window.required = this.#requests.value !== "";
  }

  // What is in them.

  /** @returns {Filled} */
  get #filled() {
    return { name: this.#name.value, life: this.#life.value, at: this.#at.value, addresses: this.#addresses.value, requests: this.#requests.value, window: this.#window.value };
  }

  /** @param {Filled} filled */
  #fill(filled) {
    const fields = { name: this.#name, life: this.#life, at: this.#at, addresses: this.#addresses, requests: this.#requests, window: this.#window };
    for (const [member, field] of Object.entries(fields)) field.value = filled[/** @type {keyof Filled} */ (member)];
    this.#lifeChanged();
    this.#rateChanged();
  }

  get value() { return editableOf(this.#filled); }

  /** What differs from what is saved. @returns {Partial<Editable>} */
  get changes() {
    const { value } = this;
    return Object.fromEntries(editedMembers(this.#saved, this.#filled).map((member) => [member, value[member]]));
  }

  get isEdited() { return editedMembers(this.#saved, this.#filled).length > 0; }

  /** Something else is saved now. What was edited here stays; the rest follows. @param {Editable} token */
  rebase(token) {
    const now = saved(token);
    this.#fill(rebased(this.#saved, this.#filled, now));
    this.#saved = now;
  }

  /** Takes back what was edited here. */
  reset() { this.#fill(this.#saved); }

  // What is wrong with them.

  /** Says at its field what the server refuses. @param {any} error @returns {string | undefined} "" if it is said there */
  explain(error) {
    const field = this.#fieldOf(error.data?.param ?? "");
    if (!field) return undefined;
    show(field);
    this.#say(field, error.data.param.endsWith("expiresAt") && error.code !== 403 ? "It must expire in the future." : problemOf(error));
    field.focus();
    return "";
  }

  /** @param {string} param */
  #fieldOf(param) {
    const member = param.replace(/^(changes|options)\./, "");
    if (member.startsWith("allowedIps")) return this.#addresses;
    if (member === "rateLimit.window") return this.#window;
    if (member.startsWith("rateLimit")) return this.#requests;
    if (member === "expiresAt") return this.#atField.hidden ? this.#life : this.#at;
    return member === "name" ? this.#name : null;
  }

  /** @param {any} field @param {string} text */
  #say(field, text) {
    this.#problems.get(field).textContent = text;
    setAttribute(field, "aria-invalid", text ? "true" : null);
  }
}

/** What is folded away cannot have the focus. @param {Element} field */
function show(field) {
  const around = field.closest("details");
  if (around) around.open = true;
}

/** What fields hold, as they give it back: a time loses the seconds that are none. @param {Editable} token */
function saved(token) {
  const filled = filledOf(token);
  return { ...filled, at: h("input", { type: "datetime-local", step: "any", value: filled.at }).value };
}
