// One token, as a dialog follows it: what others change of it meanwhile arrives there, is told, and is never overwritten unseen.

import { button, fill, h } from "./dom.js";
import { receipted } from "./receipt.js";
import { tokenAfter } from "./tokens.js";
import { whenExactly } from "./words.js";

const CONFLICT = 409;

/** @typedef {import("../client.js").Token} Token */
/** Is told that the token is another one. `who`: who changed it; `isLate`: that came while one's own change was under way, and may tell of it.
 * @typedef {(before: Token, who: string, isLate: boolean) => void} Changed */

export class FollowedToken {
  /** As it is now. @type {Token} */ token;
  /** Where it is said what others have done. */
  news = h("div", { class: "notice", role: "status", hidden: true });
  #app; #changed; #leave;
  /** What came while one's own change was under way. @type {[string, any][] | null} */ #late = null;

  /** @param {import("./app.js").App} app @param {Token} token @param {Changed} changed */
  constructor(app, token, changed) {
    this.#app = app;
    this.token = token;
    this.#changed = changed;
    this.#leave = ["permissions-changed", "enabled-changed", "updated", "deleted"].map((what) => app.api.on(`/v1/api-tokens/${what}`, (params) => {
      if ((params.token?.id ?? params.tokenId) !== token.id) return;
      if (this.#late) this.#late.push([what, params]);
      else this.#hear(what, params, false);
    }));
  }

  /** @param {string} what @param {any} params @param {boolean} isLate */
  #hear(what, params, isLate) {
    if (what === "deleted") return this.tell([`${this.#who(params, "deleted")}. Nothing of it is left.`]);
    if ((params.token ?? params).version >= this.token.version) this.#takeIn(tokenAfter(this.token, params), this.#who(params, "changed"), isLate);
  }

  /** @param {any} params @param {string} did */
  #who({ by, time }, did) {
    const who = !by ? "Somebody" : by.userId === this.#app.user?.id ? "You, in another window or with a token," : by.username;
    return `${who} ${did} this token at ${whenExactly(time)}`;
  }

  /** @param {Token} now @param {string} who @param {boolean} isLate */
  #takeIn(now, who, isLate) {
    const before = this.token;
    this.token = now;
    this.#changed(before, who, isLate);
  }

  /** Makes a change of one's own, which names the version that was seen. Where somebody else was first with what it is about, it is not made, and
   * he who changes it is to decide anew; where with something else, it is made by the version of now. Its notification may come before its
   * answer, which waits for verifiers. @param {string} method @param {(version: number) => any[]} params @param {(a: Token, b: Token) => boolean} isOther
   * whether two differ in what the change is about @returns {Promise<import("./receipt.js").Receipt | null>} null: it was not made */
  async save(method, params, isOther) {
    /** @type {[string, any][]} */ const late = (this.#late = []);
    try {
      return await this.#send(method, params);
    } catch (/** @type {any} */ error) {
      const now = error.code === CONFLICT && error.data?.token;
      if (!now) throw error;
      const isOvertaken = isOther(this.token, now);
      this.#takeIn(now, "Not saved, since the token was changed meanwhile", false);
      return isOvertaken ? null : await this.#send(method, params);
    } finally {
      this.#late = null;
      for (const [what, params] of late) this.#hear(what, params, true);
    }
  }

  /** @param {string} method @param {(version: number) => any[]} params */
  async #send(method, params) {
    const { result, receipt } = await receipted(this.#app, method, params(this.token.version));
    this.token = result;
    return receipt;
  }

  // Saying it.

  /** @param {string[]} lines @param {any[]} [more] */
  tell(lines, more = []) {
    this.news.hidden = false;
    fill(this.news, lines.map((line) => h("p", null, line)), more);
  }

  /** @param {string} who @param {string[]} theirs what was changed @param {string[]} mine what of that is not saved yet @param {() => void} take takes theirs */
  tellChanges(who, theirs, mine, take) {
    this.tell([`${who}: ${theirs.join(", ")}.`, mine.length ? `Yours is not saved yet: ${mine.join(", ")}. Save to set that over it, or` : "You see it as it is now."],
      mine.length ? [button("Take theirs", () => (take(), (this.news.hidden = true)), { class: "small" })] : []);
  }

  end() { this.#leave.forEach((leave) => leave()); }
}
