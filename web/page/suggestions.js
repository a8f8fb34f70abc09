// What can be typed where an id is asked for: it is read when such a field is there, and now and then again.

import { fill, h, newId } from "./dom.js";

const FRESH_MS = 30_000;

/** @typedef {{ method: string, params: any[], items: (result: any) => [string, string][] }} Source */

const byName = (/** @type {string} */ name) => (/** @type {any} */ { id, [name]: text }) => /** @type {[string, string]} */ ([id, text]);

/** By the name of the field. @type {Record<string, Source>} */
const SOURCES = {
  permissions: { method: "/v1/permissions/read", params: [], items: (all) => all.map(byName("name")) },
  tokenId: { method: "/v1/api-tokens/read", params: [{ limit: 100 }], items: ({ tokens }) => tokens.map(byName("name")) },
  userId: { method: "/v1/users/read", params: [{ limit: 100 }], items: ({ users }) => users.map(byName("username")) },
  sessionId: { method: "/v1/sessions/read", params: [], items: ({ sessions }) => sessions.map(byName("agent")) },
};

export class Suggestions {
  #api;
  /** @type {Map<string, { list: any, time: number }>} */ #lists = new Map();
  element = h("div", { hidden: true });

  /** @param {import("../client.js").Api} api */
  constructor(api) { this.#api = api; }

  /** The id of the datalist for a field. @param {string} name @returns {string | undefined} */
  idFor(name) {
    if (!Object.hasOwn(SOURCES, name)) return undefined;
    const known = this.#lists.get(name);
    const list = known?.list ?? h("datalist", { id: newId() });
    if (known && Date.now() - known.time < FRESH_MS) return list.id;
    this.#lists.set(name, { list, time: Date.now() });
    this.element.append(list);
    this.#read(SOURCES[name], list);
    return list.id;
  }

  /** Who may not read them, or has no connection, gets none. @param {Source} source @param {Element} list */
  async #read({ method, params, items }, list) {
    try {
      fill(list, items(await this.#api.call(method, ...params)).map(([id, text]) => h("option", { value: id }, text)));
    } catch {}
  }
}
