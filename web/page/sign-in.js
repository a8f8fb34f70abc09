// Signing in, and why it is asked for.

import { Api } from "../client.js";
import { h, labelled } from "./dom.js";
import { problemOf } from "./words.js";

class SignIn extends HTMLElement {
  /** @type {import("./app.js").App} */ app;
  reason = "";
  #username = h("input", { autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, autofocus: true });
  #password = h("input", { type: "password", autocomplete: "current-password", required: true });
  #button = h("button", { class: "primary" }, "Sign in");
  #problem = h("p", { class: "problem", role: "alert" });

  connectedCallback() {
    this.append(
      h("h2", null, "Sign in"),
      h("p", { role: "status" }, this.reason),
      h("form", { onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
        labelled("Username", this.#username), labelled("Password", this.#password), this.#button, this.#problem),
      h("p", { class: "quiet" }, "The first start of Tokenwire printed the administrator’s name and password. Other users are made by an administrator."),
    );
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    if (this.#button.ariaDisabled === "true") return;
    this.#button.ariaDisabled = "true";
    this.#problem.textContent = "";
    try {
      const { session } = await Api.signIn(undefined, this.#username.value, this.#password.value);
      this.#password.value = "";
      if (!(await this.app.signedIn())) this.#refuseOrigin(session);
    } catch (error) {
      this.#problem.textContent = problemOf(error, "sign-in");
      this.#password.select();
    } finally {
      this.#button.ariaDisabled = null;
    }
  }

  /** The cookie does not count for pages of this address, so a session would be of no use. @param {string} session */
  #refuseOrigin(session) {
    fetch("/api/v1/session/sign-out", { method: "POST", headers: { Authorization: `Bearer ${session}` } }).catch(() => {});
    this.#problem.textContent = `Tokenwire does not take sign-ins from pages at ${location.origin}. `
      + `Whoever runs it can allow that by starting it with --origin ${location.origin}`;
  }
}

customElements.define("tw-sign-in", SignIn);
