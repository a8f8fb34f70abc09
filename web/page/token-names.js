// What tokens are called: notifications mostly name them by id. Names are learnt from what tells them, and asked for one by
// one otherwise; a token that has been deleted keeps the name that was known.

const SIDE_BY_SIDE = 4; // leaves room on the connection for what else the page asks
const NOT_FOUND = 404;

export class TokenNames {
  #api;
  #changed;
  /** @type {Map<string, string>} */ #names = new Map();
  /** What has been asked for, once each. */ #asked = new Set();
  /** @type {string[]} */ #waiting = [];
  #working = 0;

  /** @param {Pick<import("../client.js").Api, "call">} api @param {() => void} changed */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** @param {string} id */
  get(id) { return this.#names.get(id); }

  /** @param {{ id: string, name: string }} token @param {{ isOld?: boolean }} [options] what is old counts only where nothing is known */
  learn({ id, name }, { isOld = false } = {}) {
    if (!(isOld && this.#names.has(id))) this.#names.set(id, name);
  }

  /** Asks for those that are not known. @param {Iterable<string>} ids */
  want(ids) {
    for (const id of ids) {
      if (this.#names.has(id) || this.#asked.has(id)) continue;
      this.#asked.add(id);
      this.#waiting.push(id);
    }
    while (this.#working < SIDE_BY_SIDE && this.#waiting.length) this.#work();
  }

  async #work() {
    this.#working++;
    for (let id = this.#waiting.shift(); id; id = this.#waiting.shift()) await this.#ask(id);
    this.#working--;
  }

  /** @param {string} id */
  async #ask(id) {
    try {
      const { tokens: [token] } = await this.#api.call("/v1/api-tokens/read", { id });
      this.learn(token, { isOld: true });
      this.#changed();
    } catch (/** @type {any} */ error) {
      if (error.code !== NOT_FOUND) this.#asked.delete(id); // to be asked for again when it is wanted next
    }
  }
}
