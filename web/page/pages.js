/**
 * A list that is read a page at a time: what a question asks for, as far as it has been read. It knows nothing of the page
 * that shows it, so that it can be tested without one.
 *
 * A later read takes the place of one under way, so that an old answer never overwrites a newer one.
 */

/** @template T @typedef {{ rows: T[], next: string | null }} Answer of one call */

/** @template T */
export class Pages {
  #fetch;
  #key;
  /** @type {Map<string, T>} */ #rows = new Map();
  /** @type {string | null} */ #next = null;
  /** @type {object | null} */ #reading = null;
  isRead = false;

  /** @param {(after: string | undefined) => Promise<Answer<T>>} fetch reads a page @param {(row: T) => string} key */
  constructor(fetch, key) {
    this.#fetch = fetch;
    this.#key = key;
  }

  /** In the order read. @returns {T[]} */
  get all() { return [...this.#rows.values()]; }
  /** Whether there are more to be read. */
  get hasMore() { return this.#next !== null; }
  /** @param {string} key */
  get(key) { return this.#rows.get(key); }

  /** Reads the first page, and no more: the question is another one. Resolves whether that has become the list. */
  ask() { return this.#read(1, new Map(), null); }

  /** Reads as much anew as has been read. Resolves whether that has become the list. */
  read() { return this.#read(this.#rows.size, new Map(), null); }

  /** Reads the next page. Resolves whether that has become the list. */
  async more() {
    return this.#reading || !this.hasMore ? false : this.#read(this.#rows.size + 1, new Map(this.#rows), this.#next);
  }

  /** @param {number} wanted @param {Map<string, T>} rows @param {string | null} next where to go on */
  async #read(wanted, rows, next) {
    const reading = (this.#reading = {});
    try {
      do {
        const answer = await this.#fetch(next ?? undefined);
        if (this.#reading !== reading) return false;
        for (const row of answer.rows) rows.set(this.#key(row), row);
        next = answer.next;
      } while (next && rows.size < wanted);
      [this.#rows, this.#next, this.isRead] = [rows, next, true];
      return true;
    } finally {
      if (this.#reading === reading) this.#reading = null;
    }
  }

  /** Takes in what a call answered for a row of the list. @param {T} row */
  take(row) {
    if (this.#rows.has(this.#key(row))) this.#rows.set(this.#key(row), row);
  }

  /** @param {string} key */
  remove(key) { this.#rows.delete(key); }
}
