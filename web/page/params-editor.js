// The params of a call, as a form or as JSON. What is in the one is in the other when that is chosen.

import { fill, h, newId, setAttribute, setText } from "./dom.js";
import { parseJson } from "./json-text.js";
import { paramsSchema, toNames, toPositions } from "./methods.js";
import { membersForm } from "./schema-form.js";

/** @typedef {import("./methods.js").Method} Method */

export class ParamsEditor {
  #method; #context; #schema; #changed;
  /** @type {import("./drafts.js").Draft} */ #draft;
  #form = h("div", { class: "members-form" });
  #text = h("textarea", { class: "code", spellcheck: "false", autocapitalize: "none", rows: "6", oninput: () => this.#typed() });
  #wrong = h("small", { class: "warning", id: newId() });
  #json;
  #editors; #styles;

  /** @param {Method} method @param {Omit<import("./schema-form.js").Context, "changed">} context @param {() => void} changed */
  constructor(method, context, changed) {
    this.#method = method;
    this.#schema = paramsSchema(method);
    this.#changed = changed;
    this.#context = { ...context, changed };
    this.#draft = context.drafts.make(this.#schema);
    const id = newId();
    setAttribute(this.#text, "aria-describedby", this.#wrong.id);
    this.#text.id = id;
    this.#json = h("div", { class: "field", hidden: true }, h("label", { for: id }, "Params as JSON"), this.#text, this.#wrong);
    this.#editors = segmented("Edit params as", [["form", "Form"], ["json", "JSON"]], (value) => this.#edit(value));
    this.#styles = segmented("Send params by", [["position", "Position"], ["name", "Name"]], (value) => this.#style(value));
    const hasParams = method.params.length > 0;
    this.element = h("div", { class: "part" }, hasParams ? h("div", { class: "row choices" }, this.#editors.element, this.#styles.element) : h("p", { class: "quiet" }, "It takes no params."),
      this.#form, this.#json);
    this.#drawForm();
  }

  /** What is to be sent. @returns {any[] | Record<string, any>} @throws {Error} that says what is wrong */
  get params() { return this.#editors.value === "json" ? this.#fromText() : this.#fromForm(); }

  /** Goes to what cannot be sent. */
  focusWrong() { this.element.querySelector(":not([hidden]) > [data-stops]")?.focus(); }

  #drawForm() { fill(this.#form, membersForm(this.#context, this.#schema, this.#draft)); }

  #fromForm() {
    const { value = {}, problems } = this.#context.drafts.read(this.#schema, this.#draft);
    if (problems.length) throw new Error(`${problems.map(({ path, text }) => `${path} ${text}`).join(", ")}.`);
    return this.#styles.value === "name" ? value : toPositions(this.#method, value);
  }

  #fromText() {
    const text = this.#text.value;
    if (text.trim() === "") return this.#styles.value === "name" ? {} : [];
    const params = parseJson(text);
    if (params === null || typeof params !== "object") throw new TypeError("Params are an array or an object.");
    return params;
  }

  /** @param {string} editor @throws {Error} */
  #edit(editor) {
    if (editor === "json") this.#showText(this.#fromForm());
    else this.#showForm(this.#fromText());
    this.#form.hidden = editor === "json";
    this.#json.hidden = editor !== "json";
    this.#changed();
  }

  /** @param {any} params */
  #showText(params) {
    this.#text.value = Object.keys(params).length ? JSON.stringify(params, null, 2) : "";
    this.#text.rows = Math.min(20, Math.max(6, this.#text.value.split("\n").length));
    this.#typed();
  }

  /** @param {any} params */
  #showForm(params) {
    this.#draft = this.#context.drafts.from(this.#schema, Array.isArray(params) ? toNames(this.#method, params) : params);
    this.#drawForm();
  }

  /** @param {string} style @throws {Error} */
  #style(style) {
    if (this.#editors.value === "json") {
      const params = this.#fromText();
      const named = Array.isArray(params) ? toNames(this.#method, params) : params;
      this.#showText(style === "name" ? named : toPositions(this.#method, named));
    }
    this.#changed();
  }

  /** The text itself says whether it is by position or by name. */
  #typed() {
    let wrong = "";
    try {
      if (this.#text.value.trim()) this.#styles.value = Array.isArray(this.#fromText()) ? "position" : "name";
    } catch (/** @type {any} */ error) {
      wrong = error.message;
    }
    setText(this.#wrong, wrong);
    setAttribute(this.#text, "aria-invalid", wrong ? "true" : null);
    setAttribute(this.#text, "data-stops", wrong !== "");
    this.#changed();
  }
}

/** A choice of few. Where `choose` throws, it stays as it was, and says why.
 * @param {string} label @param {[string, string][]} options value and text; the first is chosen @param {(value: string) => void} choose */
function segmented(label, options, choose) {
  const name = newId();
  let chosen = options[0][0];
  const problem = h("small", { class: "warning", role: "alert" });
  const inputs = options.map(([value]) => h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => {
    setText(problem, "");
    const before = chosen;
    chosen = value;
    try {
      choose(value);
    } catch (/** @type {any} */ error) {
      chosen = before;
      setText(problem, error.message);
    }
    check();
  } }));
  const check = () => inputs.forEach((input) => (input.checked = input.value === chosen));
  const element = h("fieldset", { class: "segmented" }, h("legend", null, label),
    h("div", { class: "row" }, options.map(([, text], i) => h("label", { class: "check" }, inputs[i], text))), problem);
  return {
    element,
    get value() { return chosen; },
    set value(value) {
      chosen = value;
      check();
    },
  };
}
