// A user in the list: made once, and changed in place, so that focus and selection stay where they are.

import { button, fill, h } from "./dom.js";
import { chips } from "./chips.js";
import { WAITING } from "./receipt.js";
import { Switch } from "./switch.js";
import { when } from "./words.js";

/** @typedef {import("./user-dialogs.js").User} User */
/** @typedef {{ onSwitch: (row: UserRow) => void, onPermissions: (row: UserRow) => void, onSessions: (row: UserRow) => void,
 *   onPassword: (row: UserRow) => void, onDelete: (row: UserRow) => void }} Handlers */

export class UserRow {
  /** @type {User} */ user;
  #state = h("span", { class: "badge wait", hidden: true }, WAITING);
  #chips = h("p", { class: "chips" });

  /** @param {User} user @param {boolean} isMe @param {Handlers} handlers */
  constructor(user, isMe, handlers) {
    const { username, createdAt } = user;
    const action = (/** @type {string} */ text, /** @type {string} */ label, /** @type {(row: UserRow) => void} */ fn) =>
      button(text, () => fn(this), { class: "small", "aria-label": `${label} ${username}` });
    this.switch = new Switch(() => handlers.onSwitch(this));
    this.switch.name(username);
    this.element = h("li", { class: "entry user" },
      h("div", { class: "who" }, h("h3", null, h("bdi", null, username), isMe && [" ", h("span", { class: "badge good" }, "you")]),
        h("p", { class: "quiet" }, `Created ${when(createdAt)} `, this.#state)),
      this.#chips,
      h("div", { class: "row actions" }, this.switch.element, action("Permissions", "Permissions of", handlers.onPermissions), action("Sessions", "Sessions of", handlers.onSessions),
        action("Password", "Password of", handlers.onPassword), action("Delete", "Delete", handlers.onDelete)));
    this.show(user);
  }

  /** @param {User} user */
  show(user) {
    if (JSON.stringify(user.permissions) !== JSON.stringify(this.user?.permissions)) fill(this.#chips, chips(Object.keys(user.permissions)));
    this.user = user;
    this.switch.show(user.enabled);
    this.#state.hidden = !this.switch.isWaiting;
    this.element.classList.toggle("off", !user.enabled);
  }
}
