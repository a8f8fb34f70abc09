/**
 * The Tokenwire verifier: it tells a service whether the API tokens that it is shown are good, mostly from what it holds.
 * An ES module beside client.js and verifier-facts.js, without dependencies, for Node.js 22+ (20 with --experimental-websocket) and browsers.
 *
 *     import { RateLimited, Unavailable, Verifier } from "./verifier.js";
 *     const verifier = new Verifier("wss://tokens.example/api", { token: "twt_…" });     // one with tokens:verify
 *     verifier.ended.then((why) => { throw why; });                        // another token is needed
 *     await verifier.ready;                                                // throws what is wrong with the URL or the token
 *     app.use(verifier.require("repo:read"));                              // Express, Connect, node:http: (req, res, next)
 *     const decision = await verifier.verify(token, { permissions: ["repo:read"], ip });     // by hand
 *     if (decision.allowed) …                                              // what could not be found out is thrown
 *     await verifier.close();
 *
 * What it holds are facts, never a verdict: whose the token is, what it may do, until when and from where. They count while
 * the server is sure to reach this verifier with every change: that is its lease. Whoever revokes a token waits for it.
 * verifier.d.ts beside it has the types, and the promises.
 */
import { Api } from "./client.js";
import { Held, contain, digestOf, factsOf, isWellFormed, lasts, now, settler, since, within } from "./verifier-facts.js";

const LEASE_S = { usual: 5, least: 1, most: 60 };
const BEATS_PER_LEASE = 3; // one may be late
const SIZE = 10_000; // tokens held
const TIMEOUT_MS = 5_000; // of a question: somebody waits behind it
const STALE_AFTER_MS = 500; // how long to wait for an answer where a stale one is there
const BEAT_TIMEOUT_MS = 10_000; // then the connection is dead, whatever TCP says
const PLACES = 28; // of the 32 calls that may be under way: a beat must not wait behind questions
const WAITING_MAX = 1_000; // questions that wait for a place; whoever asks for more is flooding
const TRIES = 3; // to get facts that no change has overtaken
const REPORT_MS = 10_000;
const REPORT_MAX = 500; // tokens in a report
const LONGEST_PAUSE_MS = 5_000; // before it connects again: a service refuses everybody meanwhile. The server puts a crowd off, by Retry-After
const CLOSE_MS = 2_000; // for the last words
const NEEDED = "one that holds tokens:verify"; // a token

/** @import { Options, Question } from "./verifier.d.ts" */
/** @import { Facts, Lease, Moment } from "./verifier-facts.js" */
/** A live connection. `isUp`: its first beat is settled; `seq`: the last change told on it. Each question under way collects the
 * changes that it meets. @typedef {{ end: AbortController, beating: any, reporting: any, isUp: boolean, seq: number,
 *   lease: Lease | null, asking: Set<Map<string, number>> }} Link */
/** What came of a question, for all who asked before it was sent if it is shared.
 * @typedef {{ facts: Facts | null, isShared: boolean }} Answer */
/** @typedef {{ isSent: boolean, answer: Promise<Answer> }} Flight */

/** Nobody can say now whether the token is good; `cause` is why. It is neither good nor bad: try again. */
export class Unavailable extends Error {
  name = "Unavailable";
}

/** The token is good, and was used too often. */
export class RateLimited extends Error {
  name = "RateLimited";
  constructor(/** @type {number} */ retryAfterMs) {
    super(`Tokenwire: over the token's rate limit, for ${retryAfterMs} ms`);
    this.retryAfterMs = retryAfterMs;
  }
}

/** What is known of a token at one moment. */
class Decision {
  #facts;
  /** @param {Facts | null} facts @param {boolean} isStale @param {Question} [question] */
  constructor(facts, isStale, { permissions = [], ip } = {}) {
    this.#facts = facts;
    const { tokenId, userId, username, expiresAt } = facts ?? {};
    if (facts) Object.assign(this, { tokenId, userId, username, permissions: facts.permissions, expiresAt });
    this.active = facts !== null;
    this.stale = isStale;
    this.allowed = this.active && permissions.every((id) => this.has(id)) && (ip === undefined || this.from(ip));
  }

  /** @param {string} id */ has(id) { return this.#facts?.permissions.includes(id) ?? false; }
  /** @param {string} ip */ from(ip) { return this.#facts !== null && contain(this.#facts.ranges, ip); }
}

export class Verifier {
  #api; #held; #leaseMs; #graceMs; #timeoutMs; #address; #path;
  /** @type {Link | null} */ #link = null;
  /** @type {Map<string, Flight>} the last question about each token */ #flights = new Map();
  /** @type {Set<{ enter: () => void, refuse: (why: string) => void }>} */ #waiting = new Set();
  #asking = 0; #isDown = false; // known to have no connection
  /** @type {Map<string, { allowed: number, denied: number }>} by token, since the last report */ #uses = new Map();
  #counts = { hits: 0, asked: 0, stale: 0, unavailable: 0 };
  /** @type {Promise<void> | null} */ #closing = null;
  #ready = settler(); #ended = settler();

  /** @param {string | URL} [url] @param {Options} [options] */
  constructor(url, options = {}) {
    const { lease = LEASE_S.usual, size = SIZE, grace = 0, timeout = TIMEOUT_MS, address = addressOf } = options;
    if (!(lease >= LEASE_S.least && lease <= LEASE_S.most)) throw new RangeError("Tokenwire: a lease has 1 to 60 seconds");
    if (!(size >= 0 && grace >= 0 && timeout > 0)) throw new RangeError("Tokenwire: size, grace and timeout are not negative");
    if (!options.token && !globalThis.location) throw new TypeError(`Tokenwire: there is no token: give it ${NEEDED}`); // nor a page's cookie
    this.#api = new Api(url, { token: options.token, longestPause: LONGEST_PAUSE_MS, WebSocket: options.WebSocket });
    this.#held = new Held(size);
    this.#leaseMs = lease * 1000;
    this.#graceMs = grace * 1000;
    this.#timeoutMs = timeout;
    this.#address = address;
    this.#path = new URL(url ?? "/api", globalThis.location?.href ?? import.meta.url).pathname;
    this.#api.on("/v1/verifier/changed", (/** @type {any} */ { seq, tokenIds }) => this.#changed(seq, tokenIds));
    this.#api.on("state", (/** @type {import("./client.js").StateChange} */ change) => this.#entered(change));
  }

  /** The connection's. */ get state() { return this.#api.state; }
  /** @returns {Promise<void>} */ get ready() { return this.#ready.promise; }
  /** @returns {Promise<Error>} */ get ended() { return this.#ended.promise; }
  /** What has been answered and from where, and how many tokens are held. */
  get counts() { return { ...this.#counts, held: this.#held.size }; }

  /** @param {string} token @param {Question} [question] @returns {Promise<any>} a Decision */
  async verify(token, question) {
    if (!isWellFormed(token)) return new Decision(null, false);
    const key = await digestOf(token);
    const { facts, isStale } = await this.#know(key);
    const decision = new Decision(facts, isStale, question);
    if (facts) this.#used(facts.tokenId, Number(decision.allowed), Number(!decision.allowed));
    return decision;
  }

  /** A middleware that lets requests pass whose bearer token is good, has all these permissions, and comes from where it may.
   * @param {...string} permissions */
  require(...permissions) {
    if (!permissions.every((id) => /^[\w:./-]+$/.test(id))) throw new TypeError("Tokenwire: these are no ids of permissions");
    return async (/** @type {any} */ req, /** @type {any} */ res, /** @type {(error?: unknown) => void} */ next) => {
      const [scheme, token, ...more] = (req.headers.authorization ?? "").split(/ +/);
      if (scheme.toLowerCase() !== "bearer") return answer(res, 401, "unauthorized", challenge());
      if (!token || token.includes(",") || more.length > 0) return answer(res, 400, "invalid_request", challenge("invalid_request"));
      try {
        const decision = await this.verify(token, { permissions, ip: String(this.#address(req) ?? "") });
        if (!decision.active) return answer(res, 401, "invalid_token", challenge("invalid_token"));
        const isWithin = permissions.every((id) => decision.has(id));
        if (!isWithin) return answer(res, 403, "insufficient_scope", challenge("insufficient_scope", permissions.join(" ")));
        if (!decision.allowed) return answer(res, 403, "address_refused");
        req.auth = decision;
      } catch (error) {
        if (error instanceof RateLimited) return answer(res, 429, "rate_limited", pause(error.retryAfterMs));
        if (error instanceof Unavailable) return answer(res, 503, "unavailable", pause(0));
        return next(error);
      }
      next();
    };
  }

  /** Reports what is left to report, gives the lease back and disconnects, all for good. @returns {Promise<void>} */
  close() { return (this.#closing ??= this.#close()); }

  async #close() {
    this.#unlink(); // no beat must follow the release
    const enough = new AbortController();
    const timer = setTimeout(() => enough.abort(), CLOSE_MS);
    const calls = this.#api.with({ signal: enough.signal });
    const release = () => calls.call("/v1/verifier/release").catch(() => {}); // if it is not heard the lease runs out
    if (this.state === "live") await Promise.all([this.#report(calls), release()]);
    clearTimeout(timer);
    this.#api.close();
  }

  // The lease: as long as beats are answered, on one connection. Whatever becomes of the connection ends it.

  /** @param {import("./client.js").StateChange} change */
  #entered({ state, reason, refusal = 0 }) {
    this.#isDown = state !== "live" && (state !== "connecting" || this.#isDown || this.#link !== null); // at first nothing is known
    this.#unlink();
    const isOver = state === "ended" || state === "closed"; // the server is not away: it wants nothing more of us
    if (isOver || !this.#graceMs) this.#held.clear();
    if (this.#isDown) this.#refuseWaiting("there is no connection");
    const end = state === "ended" && new Error(`Tokenwire: the verifier's own token is no good (${reason}): start it again with ${NEEDED}`);
    if (end) for (const tell of [this.#ready.reject, this.#ended.resolve]) tell(end);
    if (state === "closed") this.#ready.reject(new Error("Tokenwire: the verifier was closed"));
    if (isLasting(refusal)) this.#ready.reject(new Error(`Tokenwire: the server answered ${refusal} at ${this.#path}, which should be /api`));
    if (state !== "live" || this.#closing) return;
    const reporting = setInterval(() => this.#report(), REPORT_MS);
    this.#link = { end: new AbortController(), beating: 0, reporting, isUp: false, seq: 0, lease: null, asking: new Set() };
    this.#beat(this.#link);
    this.#report();
  }

  #unlink() {
    clearTimeout(this.#link?.beating);
    clearInterval(this.#link?.reporting);
    this.#link?.end.abort();
    this.#link = null;
  }

  async #beat(/** @type {Link} */ link) {
    const sent = now();
    const calls = this.#api.with({ timeout: BEAT_TIMEOUT_MS, signal: link.end.signal });
    try {
      const answer = await calls.call("/v1/verifier/beat", { lease: this.#leaseMs / 1000, confirmed: link.seq });
      this.#renew(link, sent, answer);
    } catch (/** @type {any} */ error) { // the lease runs out unless a later one is answered
      if (error.code === "timeout") this.#api.reconnect({ anew: true });
      if (error.code === 403) this.#ready.reject(new Error(`Tokenwire: the verifier's own token may not verify: give it ${NEEDED}`, { cause: error }));
    }
    if (link !== this.#link) return;
    link.isUp = true;
    this.#admit();
    link.beating = setTimeout(() => this.#beat(link), Math.max(0, this.#leaseMs / BEATS_PER_LEASE - since(sent)));
  }

  /** @param {Link} link @param {Moment} sent @param {{ lease: number, seq: number }} answer */
  #renew(link, sent, { lease, seq }) {
    if (seq > link.seq) return this.#api.reconnect({ anew: true }); // it has read less than it was told
    const renewed = { sent, ms: Math.min(this.#leaseMs, lease * 1000) };
    if (link.lease && lasts(link.lease)) return void Object.assign(link.lease, renewed);
    this.#ready.resolve(undefined);
    link.lease = renewed; // another one: what is held under one that had run out may have changed unheard
    this.#held.clear(); // nor is it of use as stale: the server is back
  }

  #changed(/** @type {number} */ seq, /** @type {string[]} */ tokenIds) {
    if (!this.#link) return;
    if (seq !== this.#link.seq + 1) return this.#api.reconnect({ anew: true }); // one is missing
    for (const id of tokenIds) {
      this.#held.dropToken(id);
      for (const met of this.#link.asking) met.set(id, seq);
    }
    this.#link.seq = seq;
    this.#api.notify("/v1/verifier/confirm", seq);
  }

  // Questions: what is held, or one request about each token at a time.

  /** What is held of a token and may be answered from: under the lease that there is; with grace, where there is none, so long after
   * the one that there was. @param {string} key @param {number} [graceMs] */
  #usable(key, graceMs = 0) {
    const [facts, lease] = [this.#held.get(key), this.#link?.lease];
    if (!facts?.lease || !(since(facts.asked) < facts.lifeMs)) return null;
    if (lease && lasts(lease)) return facts.lease === lease ? facts : null;
    return graceMs > 0 && since(facts.lease.sent) < facts.lease.ms + graceMs ? facts : null;
  }

  /** @param {string} key @returns {Promise<{ facts: Facts | null, isStale: boolean }>} */
  async #know(key) {
    if (this.#closing) throw new Unavailable("Tokenwire: the verifier is closed");
    const held = this.#usable(key);
    if (held) this.#counts.hits++;
    if (held) return { facts: held, isStale: false };
    const hasStale = this.#usable(key, this.#graceMs) !== null;
    try {
      return { facts: await (hasStale ? within(STALE_AFTER_MS, this.#ask(key), slow) : this.#ask(key)), isStale: false };
    } catch (error) {
      const stale = isAway(error) && this.#usable(key, this.#graceMs);
      if (stale) this.#counts.stale++;
      else if (error instanceof Unavailable) this.#counts.unavailable++;
      if (stale) return { facts: stale, isStale: true };
      throw error;
    }
  }

  /** Answers by a request that is sent after this, and shared with whoever asks before it is sent; or by what one that was
   * under way has brought to be held. @param {string} key @returns {Promise<Facts | null>} */
  async #ask(key) {
    const [began, before] = [now(), this.#flights.get(key)];
    if (before && !before.isSent) {
      const { facts, isShared } = await before.answer;
      return isShared ? facts : (await this.#fly(key, { isSent: false }, began)).facts;
    }
    /** @type {any} */ const flight = { isSent: false };
    flight.answer = this.#fly(key, flight, began, before);
    this.#flights.set(key, flight);
    try {
      return (await flight.answer).facts;
    } finally {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    }
  }

  /** @param {string} key @param {{ isSent: boolean }} flight @param {Moment} began @param {Flight} [before]
   * @returns {Promise<Answer>} */
  async #fly(key, flight, began, before) {
    await before?.answer.catch(() => {});
    const held = before && this.#usable(key);
    if (held) return { facts: held, isShared: true };
    await this.#place(this.#timeoutMs - since(began));
    try {
      flight.isSent = true;
      for (let tries = 0; tries < TRIES; tries++) {
        const answer = await this.#question(key, Math.max(1, this.#timeoutMs - since(began)));
        if (answer) return answer;
      }
    } catch (error) {
      throw refusalOf(error);
    } finally {
      this.#asking--;
      this.#admit();
    }
    throw new Unavailable(`Tokenwire: the token has changed ${TRIES} times while it was asked about`);
  }

  /** Waits for a place among the questions under way; for the connection only where it may be there at once. */
  #place(/** @type {number} */ ms) {
    return new Promise((resolve, reject) => {
      const fail = (/** @type {string} */ why) => reject(new Unavailable(`Tokenwire: ${why}`));
      if (this.#closing || this.#isDown) return fail("there is no connection");
      if (this.#waiting.size >= WAITING_MAX) return fail(`${WAITING_MAX} questions are waiting`);
      const settle = (/** @type {Function} */ how) => (clearTimeout(timer), this.#waiting.delete(wait), how());
      const wait = {
        enter: () => settle(() => (this.#asking++, resolve(null))),
        refuse: (/** @type {string} */ why) => settle(() => fail(why)),
      };
      const timer = setTimeout(() => wait.refuse("no answer in time"), ms);
      this.#waiting.add(wait);
      this.#admit();
    });
  }

  #admit() {
    for (const wait of this.#waiting) {
      if (!this.#link?.isUp || this.#asking >= PLACES) return;
      wait.enter();
    }
  }

  #refuseWaiting(/** @type {string} */ why) { for (const wait of this.#waiting) wait.refuse(why); }

  /** Asks once. null: a change that came first has made the answer out of date. Between the answer and its being held nothing
   * must be awaited, or the next change would find nothing to drop.
   * @param {string} key @param {number} timeout @returns {Promise<Answer | null>} */
  async #question(key, timeout) {
    this.#counts.asked++;
    const [link, lease, asked] = [this.#link, this.#link?.lease ?? null, now()];
    /** @type {Map<string, number>} */ const met = new Map();
    link?.asking.add(met);
    try {
      const answer = await this.#api.callNamed("/v1/verifier/verify", { digest: key, options: { hold: true } }, { timeout });
      if (answer.active === false) return this.#held.drop(key), { facts: null, isShared: true };
      const facts = factsOf(answer, asked, lease);
      if ((met.get(facts.tokenId) ?? 0) > (answer.seq ?? 0)) return null;
      if (answer.held) this.#held.put(key, facts);
      else this.#held.drop(key);
      return { facts, isShared: answer.held === true };
    } finally {
      link?.asking.delete(met);
    }
  }

  // Uses.

  #used(/** @type {string} */ tokenId, /** @type {number} */ allowed, /** @type {number} */ denied) {
    const use = this.#uses.get(tokenId) ?? { allowed: 0, denied: 0 };
    use.allowed += allowed;
    use.denied += denied;
    this.#uses.set(tokenId, use);
  }

  async #report(calls = this.#api.with({ timeout: REPORT_MS })) {
    if (this.state !== "live") return;
    const uses = [...this.#uses];
    this.#uses.clear();
    for (let at = 0; at < uses.length; at += REPORT_MAX) {
      const batch = uses.slice(at, at + REPORT_MAX);
      await calls.call("/v1/verifier/report", batch.map(([tokenId, use]) => ({ tokenId, ...use }))).catch((error) => {
        const isUncounted = error.code === 503 || error.data?.outcome === "not-sent";
        if (isUncounted) for (const [tokenId, { allowed, denied }] of batch) this.#used(tokenId, allowed, denied);
      });
    }
  }
}

if (Symbol.asyncDispose) Object.defineProperty(Verifier.prototype, Symbol.asyncDispose, { value: Verifier.prototype.close });

/** Whether the URL is wrong: with that answer no repetition opens a WebSocket. @param {number} refusal */
function isLasting(refusal) { return refusal === -32601 || refusal >= 400 && refusal < 500 && ![408, 425, 429].includes(refusal); }

/** What comes too late where there is a stale answer. */
function slow() { return new Unavailable("Tokenwire: the server takes its time"); }

/** What the caller of verify() is thrown. @param {any} error */
function refusalOf(error) {
  if (error.code === 429 && error.data?.retryAfterMs > 0) return new RateLimited(error.data.retryAfterMs);
  return new Unavailable(`Tokenwire: the token could not be verified: ${error.message}`, { cause: error });
}

/** Whether the server is away, or its database, and has not refused to answer. @param {any} error */
function isAway(error) { return error instanceof Unavailable && !(/** @type {any} */ (error.cause)?.code < 500); }

/** Tells what is missing (RFC 6750, section 3). @param {string} [error] @param {string} [scope] */
function challenge(error, scope) {
  const members = Object.entries({ realm: "tokenwire", error, scope }).filter(([, value]) => value !== undefined);
  return { "WWW-Authenticate": `Bearer ${members.map(([name, value]) => `${name}="${value}"`).join(", ")}` };
}

function pause(/** @type {number} */ ms) { return { "Retry-After": Math.max(1, Math.ceil(ms / 1000)) }; }

/** No cache may keep what was true of one request. @param {any} res @param {number} status @param {string} error
 * @param {Record<string, string | number>} [headers] */
function answer(res, status, error, headers) {
  res.statusCode = status;
  const all = { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers };
  for (const [name, value] of Object.entries(all)) res.setHeader(name, value);
  res.end(JSON.stringify({ error }));
}

/** Of the peer; behind a proxy Express knows the client's if it trusts the proxy. @param {any} req */
function addressOf(req) { return req.ip ?? req.socket?.remoteAddress; }
