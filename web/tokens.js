/**
 * The caller's tokens, as they are by the last notification. It knows nothing of the page, so that it can be tested
 * without one.
 *
 * A page of tokens may have been read before a change whose notification has overtaken it. So what is heard while a
 * read is under way is heard again when that is over, and a change counts only for a token of a lower version.
 */
const PAGE = 100; // tokens read at a time: the server's most
const NOTIFICATIONS = ["created", "updated", "deleted", "enabled-changed", "permissions-changed"];

/** @typedef {import("./client.js").Token} Token */

export class Tokens {
  #api;
  #changed;
  /** @type {Map<string, Token>} */ #byId = new Map();
  /** @type {{ heard: [string, any][] } | null} */ #reading = null;
  isRead = false;

  /** @param {import("./client.js").Api} api
   * @param {(what?: string, token?: Token) => void} changed told after each change; without arguments, of many */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** Newest first, as the server's own order. */
  get all() { return [...this.#byId.values()].sort(newestFirst); }

  /** Hears of changes from now on. */
  follow() {
    for (const what of NOTIFICATIONS) this.#api.on(`/v1/api-tokens/${what}`, (params) => this.#hear(what, params));
  }

  /** Forgets all: they were another user's, or nobody is signed in. */
  clear() {
    this.#reading = null;
    this.isRead = false;
    this.#byId = new Map();
    this.#changed();
  }

  /** Reads all pages. A later read() takes the place of one that is under way. */
  async read() {
    const reading = (this.#reading = { heard: [] });
    try {
      const byId = await this.#readPages(reading);
      if (this.#reading !== reading) return;
      for (const [what, params] of reading.heard) apply(byId, what, params);
      this.#byId = byId;
      this.isRead = true;
      this.#changed();
    } finally {
      if (this.#reading === reading) this.#reading = null;
    }
  }

  async #readPages(reading) {
    const byId = new Map();
    let after; // undefined is not sent
    do {
      const page = await this.#api.call("/v1/api-tokens/read", { limit: PAGE, after });
      for (const token of page.tokens) byId.set(token.id, token);
      after = page.next;
    } while (after && this.#reading === reading);
    return byId;
  }

  #hear(what, params) {
    this.#reading?.heard.push([what, params]);
    const token = apply(this.#byId, what, params);
    if (token) this.#changed(what, token);
  }
}

/** Returns the token, if that changed it. @param {Map<string, Token>} byId @param {string} what @param {any} params */
function apply(byId, what, params) {
  const id = params.token?.id ?? params.tokenId;
  const known = byId.get(id);
  if (what === "deleted") return byId.delete(id) ? known : undefined;
  const { version } = params.token ?? params;
  if (known ? version <= known.version : !params.token) return undefined;
  const { enabled, permissions, effectivePermissions, time: updatedAt } = { ...known, ...params };
  const token = params.token ?? { ...known, enabled, permissions, effectivePermissions, updatedAt, version };
  byId.set(id, token);
  return token;
}

/** @param {Token} a @param {Token} b */
const newestFirst = (a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt) || (a.id < b.id ? 1 : -1);
