/**
 * What a verifier (verifier.js) knows of tokens without asking anybody: whether a text can be one at all, the hash that it
 * is asked about by, and the facts that it was told, with where they count; and what it needs of clocks and promises.
 */
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const FORM = /^(twt_[\dA-Za-z]{20}_[\dA-Za-z]{43})_([\dA-Za-z]{6})$/;
const CRC_32 = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
const GROUPS = 8; // of an IPv6 address

const NODE = "node:crypto"; // not in browsers, which must not look for it
const node = /** @type {any} */ (globalThis).process?.versions?.node ? await import(NODE) : null;

/** @typedef {{ steady: number, wall: number }} Moment */
/** The server waits for whoever has one: until `ms` after the beat that was sent then.
 * @typedef {{ sent: Moment, ms: number, isOver?: boolean }} Lease */
/** @typedef {{ bytes: number[], bits: number }} Range */
/** @typedef {{ tokenId: string, userId: string, username: string, permissions: readonly string[], expiresAt: string | null,
 *   ranges: Range[] | null, asked: Moment, lifeMs: number, lease: Lease | null }} Facts */

/** By both clocks: the steady one stands still while a machine sleeps, and the other one can be set. @returns {Moment} */
export function now() { return { steady: performance.now(), wall: Date.now() }; }
/** The ms that have passed, by the clock that says more. @param {Moment} moment */
export function since({ steady, wall }) { return Math.max(performance.now() - steady, Date.now() - wall); }
/** One that is over stays so, also where the clock is put back afterwards. @param {Lease} lease */
export function lasts(lease) { return !(lease.isOver ||= !(since(lease.sent) < lease.ms)); }

/** A promise that is settled from elsewhere, and need not be awaited. */
export function settler() {
  /** @type {(value: any) => void} */ let resolve = () => {};
  /** @type {(reason: Error) => void} */ let reject = () => {};
  /** @type {Promise<any>} */ const promise = new Promise((...both) => ([resolve, reject] = both));
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** What a promise comes to if it is settled in time. @template Value @param {number} ms @param {Promise<Value>} promise
 * @param {() => Error} late @returns {Promise<Value>} */
export async function within(ms, promise, late) {
  const { promise: end, reject } = settler();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether it has the form of an API token, and its checksum. @param {unknown} text */
export function isWellFormed(text) {
  const [, body, sum] = FORM.exec(typeof text === "string" ? text : "") ?? [];
  if (!body) return false;
  let [crc, told] = [0xffffffff, 0];
  for (let i = 0; i < body.length; i++) crc = CRC_32[(crc ^ body.charCodeAt(i)) & 0xff] ^ (crc >>> 8);
  for (const digit of sum) told = told * DIGITS.length + DIGITS.indexOf(digit);
  return (crc ^ 0xffffffff) >>> 0 === told;
}

/** SHA-256 of a token, in hexadecimal: all that the server is sent of it. @param {string} token @returns {string | Promise<string>} */
export function digestOf(token) {
  if (node) return node.createHash("sha256").update(token).digest("hex");
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(token)).then((hash) =>
    Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join(""));
}

/** Throws where an answer is not whole. @param {any} answer @param {Moment} asked @param {Lease | null} lease @returns {Facts} */
export function factsOf({ active, tokenId, userId, username, permissions, expiresAt, allowedIps, expiresInMs }, asked, lease) {
  const isWhole = active === true && typeof tokenId === "string" && Array.isArray(permissions)
    && (allowedIps === null || Array.isArray(allowedIps)) && (expiresInMs === null || typeof expiresInMs === "number");
  if (!isWhole) throw new TypeError("Tokenwire: an answer without the facts");
  return {
    tokenId, userId, username, permissions: Object.freeze(permissions), expiresAt, ranges: allowedIps?.map(rangeOf) ?? null,
    asked, lifeMs: expiresInMs ?? Infinity, lease,
  };
}

/** Facts by the hash of their token. Those used longest ago make way. */
export class Held {
  #size;
  /** @type {Map<string, Facts>} in the order of their use */ #facts = new Map();
  /** @type {Map<string, Set<string>>} a token that is being rotated has two secrets */ #keys = new Map();

  constructor(/** @type {number} */ size) { this.#size = size; }
  get size() { return this.#facts.size; }

  get(/** @type {string} */ key) {
    const facts = this.#facts.get(key);
    if (facts && this.#facts.delete(key)) this.#facts.set(key, facts);
    return facts;
  }

  put(/** @type {string} */ key, /** @type {Facts} */ facts) {
    this.drop(key);
    this.#facts.set(key, facts);
    this.#keys.set(facts.tokenId, (this.#keys.get(facts.tokenId) ?? new Set()).add(key));
    const [oldest] = this.#facts.keys();
    if (this.size > this.#size) this.drop(oldest);
  }

  drop(/** @type {string} */ key) {
    const tokenId = this.#facts.get(key)?.tokenId ?? "";
    const keys = this.#keys.get(tokenId);
    this.#facts.delete(key);
    if (keys?.delete(key) && keys.size === 0) this.#keys.delete(tokenId);
  }

  dropToken(/** @type {string} */ tokenId) { for (const key of this.#keys.get(tokenId) ?? []) this.drop(key); }
  clear() { for (const all of [this.#facts, this.#keys]) all.clear(); }
}

// Addresses, as the server has them: one mapped from IPv4 to IPv6 is its IPv4, and each kind has ranges of its own.

/** @param {Range[] | null} ranges null: any address @param {string} address */
export function contain(ranges, address) {
  if (ranges === null) return true;
  const bytes = bytesOf(address.replace(/%.*$/, "")); // a zone tells of the host, not of the peer
  const behind = (/** @type {Range} */ range, /** @type {number} */ i) => Math.max(0, Math.min(8, 8 * (i + 1) - range.bits)); // bits of byte i
  const isIn = (/** @type {Range} */ range) => bytes.length === range.bytes.length
    && bytes.every((byte, i) => (byte ^ range.bytes[i]) >> behind(range, i) === 0);
  return bytes.length > 0 && ranges.some(isIn);
}

/** An address is a range of one. @param {string} text @returns {Range} */
export function rangeOf(text) {
  const [address, bits] = text.split("/");
  const bytes = bytesOf(address);
  return { bytes, bits: bits ? Number(bits) : 8 * bytes.length };
}

/** 4 or 16, or none if it is no address. @param {string} text @returns {number[]} */
function bytesOf(text) {
  const quad = /^(?:(.*:))?(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const four = (quad ?? []).slice(2).map(Number);
  if (four.some((byte, i) => byte > 255 || String(byte) !== quad?.[i + 2])) return [];
  if (quad && !quad[1]) return four;
  const six = quad ? `${quad[1]}${(256 * four[0] + four[1]).toString(16)}:${(256 * four[2] + four[3]).toString(16)}` : text;
  const [head, tail, more] = six.split("::").map((half) => half ? half.split(":") : []);
  const gap = tail ? GROUPS - head.length - tail.length : 0;
  const groups = [...head, ...Array(Math.max(0, gap)).fill("0"), ...tail ?? []];
  if (more || tail && gap < 1 || groups.length !== GROUPS || !groups.every((group) => /^[\da-f]{1,4}$/i.test(group))) return [];
  const bytes = groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]);
  const isMapped = bytes.slice(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
  return isMapped ? bytes.slice(12) : bytes;
}
