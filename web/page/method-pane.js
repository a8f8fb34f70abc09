// One method: what it is for, a form for its params, and what came of the last call. Its docs and the lines to copy are for the
// console to place.

import { button, fill, h, setText } from "./dom.js";
import { Answer } from "./answer.js";
import { callMethod } from "./calling.js";
import { isForAnybody, isPostOnly, lacking } from "./methods.js";
import { ParamsEditor } from "./params-editor.js";
import { withoutSecrets } from "./redact.js";
import { methodDocs } from "./schema-docs.js";
import { copyable, curlOf, fetchOf, javaScriptOf } from "./snippets.js";
import { OFFLINE } from "./words.js";

/** @typedef {import("./methods.js").Method} Method */

export class MethodPane {
  #app; #tell; #doc; #editor;
  /** Of the call that is under way. @type {AbortController | null} */ #calling = null;
  #answer = new Answer();
  #problem = h("p", { class: "problem", role: "alert" });
  #lacking = h("p", { class: "notice", hidden: true });
  #call = h("button", { class: "primary" }, "Call");
  #cancel = button("Cancel", () => this.#calling?.abort(), { hidden: true });

  /** @param {import("./app.js").App} app @param {Method} method @param {Omit<import("./schema-form.js").Context, "changed">} context
   * @param {(frame: import("./frame-log.js").Frame) => void} tell is told of what does not go over the connection */
  constructor(app, method, context, tell) {
    this.method = method;
    this.#app = app;
    this.#tell = tell;
    this.#doc = context.doc;
    this.code = h("div", { class: "part" });
    this.docs = methodDocs(method, context.doc);
    this.#editor = new ParamsEditor(method, context, () => this.#drawCode());
    this.heading = h("h3", { tabindex: "-1" }, h("code", null, method.name));
    this.element = h("div", { class: "method" }, this.heading, h("p", null, method.summary), this.#notes(),
      h("form", { class: "card", "aria-label": "Call", novalidate: true, onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
        h("h4", null, "Call"), this.#editor.element, h("div", { class: "row" }, this.#call, this.#cancel), this.#problem),
      this.#answer.element);
    this.#drawCode();
  }

  #notes() {
    return [
      h("p", { class: "quiet" }, this.method.description),
      this.#lacking,
      isPostOnly(this.method) && h("p", { class: "notice" }, "The connection has no such method: it is called by POST",
        isForAnybody(this.method) ? ", without the page’s cookie, so that your own session stays as it is." : "."),
    ];
  }

  /** Says whether the user may not call it: that changes. */
  showAccess() {
    const lacks = lacking(this.method, (permission) => this.#app.holds(permission));
    this.#lacking.hidden = !lacks.length;
    setText(this.#lacking, lacks.length ? `This takes the permission ${lacks.join(" and ")}, which you do not hold: the server will refuse it.` : "");
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (!this.#calling) this.#start();
  }

  async #start() {
    setText(this.#problem, "");
    let params;
    try {
      params = this.#editor.params;
    } catch (/** @type {any} */ error) {
      setText(this.#problem, `Nothing was sent. ${error.message}`);
      return this.#editor.focusWrong();
    }
    if (this.#app.api.state !== "live" && !isPostOnly(this.method)) return setText(this.#problem, OFFLINE);
    await this.#run(params);
  }

  /** @param {any} params */
  async #run(params) {
    const calling = (this.#calling = new AbortController());
    this.#show();
    this.#answer.wait();
    const outcome = await callMethod(this.#app.api, this.method, params, calling.signal, this.#tell);
    this.#calling = null;
    const hadFocus = document.activeElement === this.#cancel;
    this.#show();
    if (hadFocus) this.#call.focus();
    this.#answer.show(this.method, outcome);
    this.#answer.element.scrollIntoView({ block: "nearest" });
  }

  #show() {
    this.#call.ariaDisabled = this.#calling ? "true" : null;
    this.#cancel.hidden = !this.#calling;
  }

  /** The lines to copy hold what is sent, but no passwords and no credential: both would stay in a shell's history. */
  #drawCode() {
    if (!this.#editor) return; // it is just being made
    let params;
    try {
      params = withoutSecrets(this.#editor.params, this.method, this.#doc);
    } catch {
      return fill(this.code, h("p", { class: "quiet" }, "What is filled in cannot be sent as it is."));
    }
    const { name } = this.method;
    const isOpen = isForAnybody(this.method);
    const stands = ["With an API token of yours, or a session, in place of ", h("code", null, "$TOKENWIRE_TOKEN"), " and ", h("code", null, "twt_…"), ". "];
    fill(this.code, copyable("curl", curlOf(name, params, isOpen ? null : undefined)),
      copyable("JavaScript", isOpen || isPostOnly(this.method) ? fetchOf(name, params) : javaScriptOf(name, params)),
      h("p", { class: "quiet" }, !isOpen && stands, "Passwords are left out."));
  }
}
