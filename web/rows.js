// The list of tokens in the page: a row for each, changed in place, so that focus and selection stay where they are.

/** @typedef {import("./client.js").Token} Token */
/** @typedef {(token: Token, button: HTMLElement) => void} Handler */

export class Rows {
  #list;
  #template;
  #handlers;
  /** @type {Map<string, { element: HTMLElement, token: Token }>} */ #byId = new Map();

  /** @param {HTMLElement} list @param {HTMLTemplateElement} template
   * @param {{ onSwitch: Handler, onDelete: Handler }} handlers */
  constructor(list, template, handlers) {
    this.#list = list;
    this.#template = template;
    this.#handlers = handlers;
  }

  /** Shows these tokens, in this order. Returns whether the row that had the focus is gone.
   * @param {Token[]} tokens @param {(token: Token) => string} timesOf */
  draw(tokens, timesOf) {
    const hadFocus = this.#list.contains(document.activeElement);
    const wanted = new Set(tokens.map(({ id }) => id));
    for (const [id, { element }] of this.#byId) {
      if (wanted.has(id)) continue;
      element.remove();
      this.#byId.delete(id);
    }
    tokens.forEach((token, i) => this.#place(this.#fill(token, timesOf(token)), i));
    return hadFocus && !this.#list.contains(document.activeElement);
  }

  #place(element, i) {
    if (this.#list.children[i] !== element) this.#list.insertBefore(element, this.#list.children[i] ?? null);
  }

  #fill(token, times) {
    const row = this.#byId.get(token.id) ?? this.#make(token);
    row.token = token;
    const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (row.element.querySelector(`.${name}`));
    setText(part("name"), token.name);
    setText(part("prefix"), `${token.prefix}…`);
    setText(part("permissions"), permissionsOf(token));
    setText(part("times"), times);
    setText(part("switch-text"), token.enabled ? "On" : "Off");
    part("switch").ariaChecked = String(token.enabled);
    part("switch").ariaLabel = `${token.name}: enabled`;
    part("delete").ariaLabel = `Delete ${token.name}`;
    row.element.classList.toggle("off", !token.enabled);
    return row.element;
  }

  #make(token) {
    const element = /** @type {HTMLElement} */ (this.#template.content.cloneNode(true)).firstElementChild;
    const row = { element: /** @type {HTMLElement} */ (element), token };
    const onClick = (/** @type {string} */ name, /** @type {Handler} */ handle) => {
      const button = /** @type {HTMLElement} */ (element.querySelector(`.${name}`));
      button.addEventListener("click", () => handle(row.token, button));
    };
    onClick("switch", this.#handlers.onSwitch);
    onClick("delete", this.#handlers.onDelete);
    this.#byId.set(token.id, row);
    return row;
  }
}

/** What the token was given; what of it the owner does not hold has no effect. @param {Token} token */
function permissionsOf({ permissions, effectivePermissions }) {
  const ids = Object.keys(permissions).sort();
  if (!ids.length) return "No permissions";
  const idle = (/** @type {string} */ id) => (effectivePermissions.includes(id) ? "" : " (no effect: not held)");
  return ids.map((id) => id + idle(id)).join(", ");
}

/** Writing the same text again would clear a selection in it. @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
