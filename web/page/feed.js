/**
 * The owner's changes, newest first: what has been read of his feed, backwards, and above it what was heard since. It knows
 * nothing of the page, so that it can be tested without one.
 *
 * What is heard is one stretch of the feed without a gap, and so is an answer. So an answer counts once the two meet: where
 * a notification has overtaken it, it is asked for again. Positions are compared for equality only.
 */
export const MAX_ENTRIES = 1_000; // in the page; older ones make way for new ones
const KEYS_MAX = 3 * MAX_ENTRIES; // of what is shown and what is held, and then some: forgetting the rest takes a while
const PAGE = 100; // events read at a time: the server's most
const TRIES = 5; // to meet what was heard; it takes two at most, unless there are more changes than can be read
const GONE = 410;

/** What the feed tells of. */
export const NOTIFICATIONS = ["/v1/api-tokens/created", "/v1/api-tokens/updated", "/v1/api-tokens/deleted", "/v1/api-tokens/enabled-changed",
  "/v1/api-tokens/permissions-changed", "/v1/api-tokens/expiring", "/v1/api-tokens/expired", "/v1/api-tokens/leaked", "/v1/session/permissions-changed"];

/** A change. `isHeard`: it was told live, and not read.
 * @typedef {{ key: string, method: string, params: any, tokenId: string | null, isHeard: boolean }} Entry */

export class Feed {
  #api;
  #changed;
  /** @type {Entry[]} */ #all = [];
  #keys = new Set();
  /** What came while paused, newest first. @type {Entry[]} */ #held = [];
  #heldCount = 0;
  #isPaused = false;
  /** What is heard until an answer counts. @type {{ heard: Entry[] } | null} */ #reading = { heard: [] };
  /** @type {string | null} */ #next = null;
  #isReadingOlder = false;
  #isCutOff = false;

  /** @param {Pick<import("../client.js").Api, "call">} api @param {() => void} changed */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** Newest first. @returns {readonly Entry[]} */
  get all() { return this.#all; }
  get isRead() { return this.#reading === null; }
  get isFull() { return this.#all.length >= MAX_ENTRIES; }
  /** Whether older ones can be read. */
  get hasMore() { return this.isRead && this.#next !== null && !this.isFull; }
  /** Whether what is older was deleted by now. */
  get isCutOff() { return this.#isCutOff; }
  /** How many new ones are held back. */
  get held() { return this.#heldCount; }
  get isPaused() { return this.#isPaused; }

  /** Reads anew. A later read takes the place of one under way; after one that failed, all that is heard waits for the next. */
  async read() {
    /** @type {{ heard: Entry[] }} */ const reading = (this.#reading = { heard: [] });
    for (let tries = 1; ; tries++) {
      const { events, next } = await this.#api.call("/v1/events/read", { limit: PAGE });
      if (this.#reading !== reading) return;
      const entries = events.map((/** @type {any} */ { method, params }) => entryOf(method, params, false));
      const newer = newerThan(entries, reading.heard, next === null || tries === TRIES);
      if (newer) return this.#start([...newer, ...entries], next);
    }
  }

  /** @param {Entry[]} entries @param {string | null} next */
  #start(entries, next) {
    this.#all = entries.slice(0, MAX_ENTRIES);
    this.#keys = keysOf(this.#all);
    this.#next = next;
    this.#reading = null;
    this.#isCutOff = false;
    this.#held = [];
    this.#heldCount = 0;
    this.#changed();
  }

  /** Reads the next page of older ones, if there is one and none is on its way. */
  async more() {
    if (!this.hasMore || this.#isReadingOlder) return;
    const keys = this.#keys;
    this.#isReadingOlder = true;
    try {
      const { events, next } = await this.#api.call("/v1/events/read", { limit: PAGE, after: this.#next ?? undefined });
      if (this.#keys !== keys) return; // read anew meanwhile
      const older = events.map((/** @type {any} */ { method, params }) => entryOf(method, params, false))
        .filter((/** @type {Entry} */ { key }) => !keys.has(key)).slice(0, MAX_ENTRIES - this.#all.length);
      for (const { key } of older) keys.add(key);
      this.#all = [...this.#all, ...older];
      this.#next = next;
    } catch (/** @type {any} */ error) {
      if (error.code !== GONE) throw error;
      if (this.#keys !== keys) return;
      this.#next = null;
      this.#isCutOff = true;
    } finally {
      this.#isReadingOlder = false;
    }
    this.#changed();
  }

  /** Takes in a notification. @param {string} method @param {any} params */
  hear(method, params) {
    const entry = entryOf(method, params, true);
    if (this.#reading) return void (this.#reading.heard = newest([entry], this.#reading.heard));
    if (this.#keys.has(entry.key)) return;
    this.#keys.add(entry.key);
    if (this.#isPaused) {
      this.#held = newest([entry], this.#held);
      this.#heldCount++;
    } else this.#put([entry]);
    if (this.#keys.size > KEYS_MAX) this.#keys = keysOf([...this.#held, ...this.#all]);
    this.#changed();
  }

  /** From now on what comes is held back and counted. */
  pause() {
    this.#isPaused = true;
    this.#changed();
  }

  resume() {
    this.#isPaused = false;
    this.release();
  }

  /** Shows what was held back. */
  release() {
    this.#put(this.#held);
    this.#held = [];
    this.#heldCount = 0;
    this.#changed();
  }

  /** @param {Entry[]} entries newer than all */
  #put(entries) { this.#all = newest(entries, this.#all); }
}

/** The rest of what was heard once an answer has been taken in, or null where the two do not meet.
 * @param {Entry[]} entries newest first @param {Entry[]} heard newest first @param {boolean} isAll there is nothing before them
 * @returns {Entry[] | null} */
function newerThan(entries, heard, isAll) {
  const keys = keysOf(entries);
  const met = heard.findIndex(({ key }) => keys.has(key));
  if (met >= 0) return heard.slice(0, met);
  return isAll || heard.length === 0 ? heard : null;
}

/** @param {Entry[]} newer @param {Entry[]} older */
const newest = (newer, older) => [...newer, ...older].slice(0, MAX_ENTRIES);

/** @param {Entry[]} entries */
const keysOf = (entries) => new Set(entries.map(({ key }) => key));

/** Two notifications may bear the same position. @param {string} method @param {any} params @param {boolean} isHeard @returns {Entry} */
function entryOf(method, params, isHeard) {
  const tokenId = params.token?.id ?? params.tokenId ?? null;
  return { key: `${params.position} ${method} ${tokenId}`, method, params, tokenId, isHeard };
}
