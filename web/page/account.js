// The view of oneself: who one is, what one holds, one's password and one's sessions.

import { button, fill, h, labelled } from "./dom.js";
import { act, announce } from "./actions.js";
import { signOutEverywhereDialog } from "./end-sessions.js";
import { NewPassword } from "./new-password.js";
import { View } from "./view.js";
import { duration } from "./words.js";
import "./sessions.js";

const FORBIDDEN = 403;
const TOO_MANY = 429;

class AccountView extends View {
  #permissions = h("ul", { class: "held-permissions", role: "list" });
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  /** @type {import("./sessions.js").Sessions} */ #sessions = h("tw-sessions");
  #current = h("input", { type: "password", autocomplete: "current-password", required: true });
  #new = new NewPassword("New password");
  #again = h("input", { type: "password", autocomplete: "new-password", required: true });
  #save = h("button", { class: "primary" }, "Change password");

  show() {
    this.#sessions.app = this.app;
    const signOut = button("Sign out", () => this.app.signOut(signOut));
    this.append(this.heading("Account", signOut), this.#who(), this.#passwordForm(), this.#sessionList());
    const again = () => this.#readPermissions();
    this.hear("/v1/session/permissions-changed", again);
    this.hear("/v1/session/ready", again);
    again();
  }

  #who() {
    return h("section", { class: "card" },
      h("h3", null, "You are ", h("bdi", null, this.app.user?.username)), h("p", { class: "quiet" }, "You hold these permissions, and can give them to your tokens:"), this.#status, this.#permissions);
  }

  #readPermissions() {
    return this.attempt(this.#status, async () => {
      const all = await this.app.api.call("/v1/permissions/read");
      const held = all.filter((/** @type {any} */ { id }) => this.app.holds(id));
      const item = (/** @type {any} */ { id, name, description }) =>
        h("li", null, h("span", { class: "chip" }, id), name !== id && [" ", h("bdi", null, name)], description && h("small", { dir: "auto" }, description));
      fill(this.#permissions, held.length ? held.map(item) : h("li", { class: "quiet" }, "None yet. An administrator can give you some."));
    });
  }

  // The password.

  #passwordForm() {
    const check = () => this.#again.setCustomValidity(this.#again.value === this.#new.value ? "" : "This is not the same as the new password.");
    this.#new.ongenerate = () => {
      this.#again.value = this.#new.value;
      check();
    };
    const form = h("form", { class: "card", oninput: check, onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#changePassword();
    } },
    h("h3", null, "Password"), h("p", { class: "quiet" }, "Your other sessions end when you change it. This one and your tokens stay."),
    h("input", { autocomplete: "username", value: this.app.user?.username, hidden: true, readonly: true }), // for password managers
    labelled("Current password", this.#current), this.#new.element, labelled("New password, again", this.#again),
    h("p", { class: "problem", role: "alert" }), h("div", { class: "row" }, this.#save));
    return form;
  }

  #changePassword() {
    const [before, after] = [this.#current.value, this.#new.value];
    return act(this.app, this.#save, async () => {
      await this.app.api.call("/v1/session/set-password", before, after);
      this.#changed();
    }, { explain: (error) => this.#explain(error), settle: async () => {
      if (!(await this.#isPassword(after))) return "The connection is back, and your password was not changed. Try again.";
      this.#changed();
      return "";
    } });
  }

  #changed() {
    this.#current.value = this.#again.value = "";
    this.#new.clear();
    announce("Your password was changed, and your other sessions have ended.");
    this.#sessions.read();
  }

  /** Finds out by setting it to what it is. @param {string} password */
  async #isPassword(password) {
    try {
      await this.app.api.call("/v1/session/set-password", password, password);
      return true;
    } catch (/** @type {any} */ error) {
      if (error.code !== FORBIDDEN) throw error;
      return false;
    }
  }

  /** @param {any} error */
  #explain({ code, data }) {
    if (code === TOO_MANY) return `Too many wrong passwords. Try again in ${duration(data?.retryAfterMs)}.`;
    if (code !== FORBIDDEN || data?.param !== "current") return undefined;
    this.#current.focus();
    this.#current.select();
    return "That is not your current password.";
  }

  // The sessions.

  #sessionList() {
    const everywhere = button("Sign out everywhere", () => signOutEverywhereDialog(this.app), { class: "danger" });
    return h("section", { class: "part" }, h("div", { class: "title" }, h("h3", null, "Sessions"), everywhere),
      h("p", { class: "quiet" }, "Where you are signed in. End what you do not know, and change your password then."), h("p", { class: "problem", role: "alert" }), this.#sessions);
  }
}

customElements.define("tw-account", AccountView);
