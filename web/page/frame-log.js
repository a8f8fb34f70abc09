// The frames that were sent and received lately: bounded, and each answer with the time since its request. It knows nothing of the
// page, so that it can be tested without one.

const FRAMES_MAX = 500; // the oldest make way

/** @typedef {{ direction: "sent" | "received", text: string, time: number, via?: string }} Frame */
/** @typedef {Frame & { number: number, bytes: number, method: string, what: string, ms?: number }} Entry */

export class FrameLog {
  /** @type {Entry[]} */ entries = [];
  /** How many have come, those that have made way included. */ count = 0;
  /** By its id, what a request is to be answered to. @type {Map<any, { method: string, at: number }>} */ #open = new Map();
  #encoder = new TextEncoder();

  /** @param {Frame} frame @param {number} at in ms, by a clock that only goes on @returns {Entry} */
  add(frame, at) {
    const entry = { ...frame, number: this.count++, bytes: this.#encoder.encode(frame.text).length, ...this.#look(frame, at) };
    this.entries.push(entry);
    if (this.entries.length > FRAMES_MAX) this.entries.shift();
    return entry;
  }

  clear() { this.entries = []; }

  /** What a frame is, and of which method. @param {Frame} frame @param {number} at @returns {{ what: string, method: string, ms?: number }} */
  #look({ direction, text }, at) {
    const message = parsed(text);
    if (message === undefined) return { what: "not JSON", method: "" };
    if (Array.isArray(message)) return { what: `batch of ${message.length}`, method: "" };
    const { id, method = "", error } = message ?? {};
    if (method) {
      if (id !== undefined) this.#remember(id, { method, at });
      return { what: id === undefined ? "notification" : "request", method };
    }
    const request = direction === "received" ? this.#open.get(id) : undefined;
    this.#open.delete(id);
    return { what: error ? `error ${error.code}` : "answer", method: request?.method ?? "", ms: request && at - request.at };
  }

  /** Some are never answered. @param {any} id @param {{ method: string, at: number }} request */
  #remember(id, request) {
    this.#open.set(id, request);
    if (this.#open.size > FRAMES_MAX) this.#open.delete(this.#open.keys().next().value);
  }
}

/** Whether a frame has all the words that are looked for. @param {Entry} entry @param {string} shown its text as it is shown @param {string} filter */
export function passes({ method, what, direction }, shown, filter) {
  const text = `${direction} ${what} ${method} ${shown}`.toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** A frame's text over several lines. @param {string} text */
export function pretty(text) {
  const message = parsed(text);
  return message === undefined ? text : JSON.stringify(message, null, 2);
}

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
