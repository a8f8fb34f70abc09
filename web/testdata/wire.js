// What the tests of client.js, and of the verifier that stands on it, share.

/** A WebSocket whose other end is the test. */
export class Wire {
  static all = [];
  static get last() { return Wire.all.at(-1); }
  readyState = 0;
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url: new URL(url), protocols });
    Wire.all.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = 3; this.closed = true; }
  // the other end
  async open(ready = {}) {
    this.readyState = 1;
    this.onopen({});
    if (ready) await this.notify("/v1/session/ready", { position: "1", reset: false, user: { id: "u1" }, ...ready });
  }
  say(message) { this.onmessage({ data: JSON.stringify({ jsonrpc: "2.0", ...message }) }); return turn(); }
  notify(method, params) { return this.say({ method, params }); }
  answer(request, result) { return this.say({ id: request.id, result }); }
  break(code = 1006, reason = "") { this.readyState = 3; this.onclose({ code, reason }); return turn(); }
}

/** Lets every promise that can go on do so (setImmediate is not mocked). */
export const turn = () => new Promise(setImmediate);

/** What a promise has become, without waiting for it. */
export function outcome(promise) {
  const seen = { is: "pending" };
  promise.then((value) => Object.assign(seen, { is: "resolved", value }), (error) => Object.assign(seen, { is: "rejected", error }));
  return seen;
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** An API token's text: of an id of 20 characters, or with another body. */
export function mint(id, body = `twt_${id}_${"0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}`) {
  let crc = ~0;
  for (const byte of Buffer.from(body)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  let [sum, rest] = ["", ~crc >>> 0];
  for (; sum.length < 6; rest = Math.floor(rest / 62)) sum = DIGITS[rest % 62] + sum;
  return `${body}_${sum}`;
}
