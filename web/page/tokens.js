/**
 * The caller's tokens as a list shows them: those that a question asks for, in its order, as far as they have been read,
 * and as they are by the last notification. It knows nothing of the page, so that it can be tested without one.
 *
 * A page of tokens may have been read before a change whose notification has overtaken it. So what is heard while a
 * read is under way is heard again when that is over, and a change never counts for a token of a higher version.
 *
 * A change leaves a token where it stands in the list, also where it no longer fits the question: nothing jumps. Reading anew puts
 * that right.
 */
import { isExpired } from "./words.js";

const PAGE = 100; // tokens read at a time: the server's most
const NOTIFICATIONS = ["created", "updated", "deleted", "enabled-changed", "permissions-changed"];

/** @typedef {import("../client.js").Token} Token */
/** @typedef {{ search: string, enabled?: boolean, expired?: boolean, orderBy: "createdAt" | "name" | "lastUsedAt" | "enabled", desc: boolean }} Question */
/** @typedef {{ ids: string[], byId: Map<string, Token>, next: string | null }} Page what has been read */

/** What a list tells: a notification's name, "read" (anything may be different), or "elsewhere" (a token that is not shown has
 * come to fit the question). @typedef {(what: string, token?: Token) => void} Changed */

export class Tokens {
  #api;
  #changed;
  /** @type {Page} */ #page = emptyPage();
  /** @type {{ heard: [string, any][] } | null} */ #reading = null;
  /** @type {Question} */ question = { search: "", orderBy: "createdAt", desc: true };
  isRead = false;

  /** @param {Pick<import("../client.js").Api, "call">} api @param {Changed} changed */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** In the list's order. @returns {Token[]} */
  get all() { return this.#page.ids.map((id) => /** @type {Token} */ (this.#page.byId.get(id))); }
  /** Whether there are more to be read. */
  get hasMore() { return this.#page.next !== null; }
  /** @param {string} id */
  get(id) { return this.#page.byId.get(id); }

  /** Asks another question. @param {Partial<Question>} question */
  ask(question) {
    this.question = { ...this.question, ...question };
    return this.#read(PAGE);
  }

  /** Reads as much anew as has been read. */
  read() { return this.#read(Math.max(PAGE, this.#page.ids.length)); }

  /** Reads all that there is. */
  async readAll() { if (this.hasMore) await this.#read(Infinity, this.#page); }

  /** What is asked for, as the server takes it. */
  get where() { return whereOf(this.question); }

  /** Reads the next page. */
  more() { return this.#reading || !this.hasMore ? undefined : this.#read(this.#page.ids.length + PAGE, this.#page); }

  /** A later read takes the place of one that is under way. @param {number} wanted @param {Page} [from] */
  async #read(wanted, from = emptyPage()) {
    /** @type {{ heard: [string, any][] }} */ const reading = (this.#reading = { heard: [] });
    const question = this.question;
    const page = { ids: [...from.ids], byId: new Map(from.byId), next: from.next };
    try {
      do {
        const answer = await this.#api.call("/v1/api-tokens/read", { ...optionsOf(question), limit: PAGE, after: page.next ?? undefined });
        if (this.#reading !== reading) return;
        for (const token of answer.tokens) {
          if (!page.byId.has(token.id)) page.ids.push(token.id);
          page.byId.set(token.id, token);
        }
        page.next = answer.next;
      } while (page.next && page.ids.length < wanted);
      const isLate = reading.heard.filter(([what, params]) => !apply(page, question, what, params) && comesToFit(page, question, what, params)).length > 0;
      this.#page = page;
      this.isRead = true;
      this.#changed("read");
      if (isLate) this.#changed("elsewhere");
    } finally {
      if (this.#reading === reading) this.#reading = null;
    }
  }

  /** Takes in a notification, or what a call answered. @param {string} what @param {any} params */
  hear(what, params) {
    this.#reading?.heard.push([what, params]);
    const token = apply(this.#page, this.question, what, params);
    if (token) this.#changed(what, token);
    else if (comesToFit(this.#page, this.question, what, params)) this.#changed("elsewhere");
  }

  /** Hears of changes from now on. @param {(method: string, fn: (params: any) => void) => void} on */
  follow(on) {
    for (const what of NOTIFICATIONS) on(`/v1/api-tokens/${what}`, (params) => this.hear(what, params));
  }
}

/** @returns {Page} */
const emptyPage = () => ({ ids: [], byId: new Map(), next: null });

/** @param {Question} question @returns {import("../client.js").TokensOptions} */
const optionsOf = (/** @type {Question} */ question) => ({ where: whereOf(question), orderBy: [[question.orderBy, question.desc ? "desc" : "asc"]] });

/** @param {Question} question @returns {NonNullable<import("../client.js").TokensOptions["where"]>} */
const whereOf = ({ search, enabled, expired }) => ({ name: search ? ["like", search] : undefined, enabled, expired });

/** Returns the token, if that changed it. @param {Page} page @param {Question} question @param {string} what @param {any} params */
function apply(page, question, what, params) {
  const id = params.token?.id ?? params.tokenId;
  const known = page.byId.get(id);
  if (what === "deleted") return remove(page, id);
  if (!known) return what === "created" ? insert(page, question, params.token) : undefined;
  if ((params.token ?? params).version < known.version) return undefined;
  const token = tokenAfter(known, params);
  if (JSON.stringify(token) === JSON.stringify(known)) return undefined;
  page.byId.set(id, token);
  return token;
}

/** What a notification makes of a token. @param {Token} known @param {any} params @returns {Token} */
export function tokenAfter(known, params) {
  const { enabled, permissions, effectivePermissions, version, time } = { ...known, ...params };
  return params.token ?? { ...known, enabled, permissions, effectivePermissions, version, updatedAt: version > known.version ? time : known.updatedAt };
}

/** @param {Page} page @param {string} id */
function remove(page, id) {
  const known = page.byId.get(id);
  if (known) page.ids.splice(page.ids.indexOf(id), 1);
  page.byId.delete(id);
  return known;
}

/** Puts a new token where the question's order has it, if it belongs to what has been read.
 * @param {Page} page @param {Question} question @param {Token} token */
function insert(page, question, token) {
  if (isBeyond(question, token) || !fits(question, token)) return undefined;
  const before = comparator(question);
  const i = page.ids.findIndex((id) => before(token, /** @type {Token} */ (page.byId.get(id))) < 0);
  if (i < 0 && page.next) return undefined; // it comes with the pages that are not read yet
  page.ids.splice(i < 0 ? page.ids.length : i, 0, token.id);
  page.byId.set(token.id, token);
  return token;
}

/** @param {Question} question @param {Token} token */
function fits({ search, enabled, expired }, token) {
  const isAsked = (/** @type {boolean | undefined} */ wanted, /** @type {boolean} */ is) => wanted === undefined || wanted === is;
  return isAsked(enabled, token.enabled) && isAsked(expired, isExpired(token)) && token.name.toLowerCase().includes(search.toLowerCase());
}

/** Whether a token that is not in the list may belong there now, which only the server can tell.
 * @param {Page} page @param {Question} question @param {string} what @param {any} params */
function comesToFit(page, question, what, params) {
  if (what === "created") return isBeyond(question, params.token);
  const { enabled, orderBy } = question;
  return what === "enabled-changed" && !page.byId.has(params.tokenId) && (enabled === params.enabled || orderBy === "enabled");
}

/** Whether names are compared that the server folds and orders in another way than this does. @param {Question} question @param {Token} token */
const isBeyond = ({ search, orderBy }, { name }) => (search !== "" || orderBy === "name") && /[^\x00-\x7f]/.test(search + name);

/** @param {Question} question @returns {(a: Token, b: Token) => number} */
function comparator({ orderBy, desc }) {
  const value = {
    name: (/** @type {Token} */ token) => token.name.toLowerCase(),
    createdAt: (/** @type {Token} */ token) => Date.parse(token.createdAt),
    lastUsedAt: (/** @type {Token} */ token) => Date.parse(token.lastUsedAt ?? "1970-01-01"),
    enabled: (/** @type {Token} */ token) => Number(token.enabled),
  }[orderBy];
  const compare = (/** @type {any} */ a, /** @type {any} */ b) => (a < b ? -1 : Number(a > b));
  const sign = desc ? -1 : 1;
  return (a, b) => sign * (compare(value(a), value(b)) || compare(a.id, b.id));
}
