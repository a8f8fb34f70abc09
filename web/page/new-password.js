// A field for a new password: typed or generated, shown and copied, and handed over where nobody else has it yet.

import { button, h, labelled, setAttribute } from "./dom.js";
import { copy } from "./actions.js";
import { openDialog } from "./dialog.js";
import { generatePassword } from "./password.js";
import { copyable } from "./snippets.js";

const MIN = 8; // characters

export class NewPassword {
  #show = button("Show", () => this.#reveal(this.input.type === "password"), { class: "small", "aria-pressed": "false" });
  #copy = button("Copy", async () => (this.#isCopied = await copy(this.#copy, this.value)), { class: "small", "aria-label": "Copy the password", hidden: true });
  #isGenerated = false;
  #isCopied = false;
  /** Called when one was generated. */ ongenerate = () => {};

  /** @param {string} label @param {{ hint?: string, required?: boolean, autofocus?: boolean }} [options] */
  constructor(label, { hint = `At least ${MIN} characters.`, required = true, autofocus } = {}) {
    this.input = h("input", { type: "password", autocomplete: "new-password", minlength: MIN, required, autofocus, spellcheck: "false", autocapitalize: "none",
      oninput: () => this.#changed(false) });
    this.element = labelled(label, this.input, hint);
    this.element.append(h("div", { class: "row" }, this.#show, button("Generate", () => this.#generate(), { class: "small", "aria-label": "Generate a password" }), this.#copy));
  }

  get value() { return this.input.value; }
  /** Whether it was made here, and nobody has it yet. */
  get isUnknown() { return this.#isGenerated && !this.#isCopied; }

  clear() {
    this.input.value = "";
    this.#reveal(false);
    this.#changed(false);
  }

  #generate() {
    this.input.value = generatePassword();
    this.#reveal(true);
    this.#changed(true);
    this.ongenerate();
  }

  /** @param {boolean} isGenerated */
  #changed(isGenerated) {
    [this.#isGenerated, this.#isCopied] = [isGenerated, false];
    this.#copy.hidden = this.value === "";
  }

  /** @param {boolean} is */
  #reveal(is) {
    this.input.type = is ? "text" : "password";
    this.#show.textContent = is ? "Hide" : "Show";
    setAttribute(this.#show, "aria-pressed", String(is));
  }
}

/** Shows a generated password once more, for the one whom it is for. @param {string} title @param {string} password */
export function handOver(title, password) {
  const dialog = openDialog({
    title,
    body: [h("p", null, "Give this password to whom it is for. It is not shown again, but you can set another one at any time."), copyable("Password", password)],
    actions: [button("Done", () => dialog.close(), { class: "primary", autofocus: true })],
  });
}
