/**
 * The Tokenwire client: one authenticated WebSocket to call methods over and to hear of every change.
 * One ES module without dependencies, for browsers and Node.js 22+ (20 with --experimental-websocket).
 *
 *     import { Api, ApiError } from "/client.js";
 *     const api = new Api();                  // in a page: this module's origin + /api, with the cookie's session
 *     const api = new Api("wss://tokens.example/api", { token: "twt_…" });             // anywhere else
 *     api.on("/v1/api-tokens/enabled-changed", ({ tokenId, enabled }) => console.log(tokenId, enabled));
 *     const token = await api.call("/v1/api-tokens/create", "name");                   // params by position
 *
 * It connects at the first call(), on() or connect(), and again whenever the connection breaks, until close().
 * client.d.ts beside it has the types, and the promises: of order, of resuming, of what is never repeated.
 */
const CALL_TIMEOUT_MS = 30_000; // a call's whole life, the wait for a connection included; 0 is none
const CONNECT_TIMEOUT_MS = 15_000; // browsers alone would try for minutes
const SILENCE_MS = 40_000; // two heartbeats of 15 s lost and some: the connection is dead, whatever TCP says
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 30_000; // and the most of Retry-After
const SETTLED_MS = 10_000; // a connection that lived this long was a good one: back-off starts again
const MEND_PAUSE_MS = 1_000; // at least this after the protocol was broken: the same may happen again
const UNDER_WAY_MAX = 32; // beyond that the server stops reading
const QUEUE_MAX = 1_000; // calls that wait for a connection or for a place among those under way
const FRAME_MAX_BYTES = 64 * 1024; // the server closes on more, which would cost every call under way

const CREDENTIAL_ENDED = 4401; // close codes
const PROTOCOL_BROKEN = [1003, 1007, 1008, 1009];
const SOCKET_OPEN = 1; // readyState
const SUBPROTOCOL = "tokenwire.v1";
const HALF_CHARACTER = /(?<!\\)(\\\\)*\\ud[89a-f]/; // as JSON.stringify writes it, and not a backslash before “ud8”
const TOKEN_FORM = /^[\w!#$%&'*+\-.^`|~]+$/; // what a sub-protocol may hold (RFC 9110)

/** @import { CallOptions, Options, Ready, SignIn, State } from "./client.d.ts" */
/** @typedef {{ id: number, method: string, text: string, sent: boolean, resolve: (result: any) => void,
 *   reject: (reason: any) => void, release: () => void }} Call */

/** Why a call failed. `code` is the server's number (404, -32602 …) or the client's own word: "connection-lost",
 * "timeout", "closed", "ended", "queue-full", "too-large"; the latter have `data.outcome`. */
export class ApiError extends Error {
  /** @param {number | string} code @param {string} message @param {{ data?: any, method?: string }} [details] */
  constructor(code, message, { data, method } = {}) {
    super(message);
    Object.assign(this, { name: "ApiError", code, data, method });
  }
}

export class Api {
  #url; #WebSocket; #timeout; #longestPause;
  #credential; // a function, because devtools show the values of private members
  /** @type {string | null} */ #position;
  /** @type {State} */ #state = "idle"; #ready = /** @type {Ready | null} */ (null);
  /** @type {any} */ #socket = null;
  /** @type {any} the silence watch, or the wait for the next attempt */ #timer;
  /** @type {any} */ #settling; #probing = /** @type {AbortController | null} */ (null);
  /** @type {{ resolve: Function, reject: Function }[]} what connect() has promised */ #waiters = [];
  /** @type {string | null} why nothing more can be called */ #over = null;
  #closing = new AbortController(); #attempt = 0; #lastId = 0; #endReason = /** @type {string | null} */ (null);
  /** @type {Map<number, Call>} in the order made */ #queue = new Map();
  /** @type {Map<number, Call>} */ #sent = new Map();
  /** @type {Map<string, Set<{ fn: Function }>>} */ #listeners = new Map();

  /** @param {string | URL} [url] ws(s):, http(s):, or relative to the page @param {Options} [options] */
  constructor(url, { token, since = null, timeout = CALL_TIMEOUT_MS, longestPause = BACKOFF_CAP_MS, WebSocket = globalThis.WebSocket } = {}) {
    if (!WebSocket) throw new TypeError("Tokenwire: no WebSocket here; Node.js 20 needs --experimental-websocket");
    this.#url = endpoint(url);
    this.#credential = credential(token);
    this.#position = since;
    this.#timeout = timeout;
    this.#longestPause = longestPause;
    this.#WebSocket = WebSocket;
    this.#hearPage(this.#closing.signal);
  }

  /** Signs in without connecting; in a page the session's cookie is set too. @param {string | URL | undefined} url
   * @param {string} username @param {string} password @returns {Promise<SignIn>} */
  static async signIn(url, username, password) {
    return post(endpoint(url), null, "/v1/session/sign-in", [username, password], AbortSignal.timeout(CALL_TIMEOUT_MS));
  }

  /** Connects as that user. @param {string} username @param {string} password @returns {Promise<SignIn>} */
  async signIn(username, password) {
    const answer = await Api.signIn(this.#url, username, password);
    this.#credential = credential(answer.session);
    if (this.#state !== "closed") this.#open();
    await this.connect();
    return answer;
  }

  /** @returns {State} */ get state() { return this.#state; }
  /** Up to where everything has been told; `new Api(url, { since })` goes on from there. */
  get position() { return this.#position; }
  /** The same as connect(). */ get ready() { return this.connect(); }
  get #isOpen() { return this.#state === "live" && this.#socket?.readyState === SOCKET_OPEN; }

  /** Resolves when the connection is live; rejects when it can no longer become so. @returns {Promise<Ready>} */
  connect() {
    const promise = new Promise((resolve, reject) => {
      if (this.#state === "live") return resolve(this.#ready);
      if (this.#over) throw failure(this.#state, this.#over);
      this.#waiters.push({ resolve, reject });
      if (this.#state === "idle") this.#open();
    });
    promise.catch(() => {}); // it need not be awaited: "state" tells as much
    return promise;
  }

  /** Tries now instead of when the pause is over; also after the credential has ended (there is a new cookie). */
  reconnect({ anew = false } = {}) { if ((anew || !this.#socket) && this.#state !== "closed") this.#open(); }

  /** Ends everything for good: calls under way fail with "closed", no timer or socket stays. */
  close() {
    if (this.#state === "closed") return;
    this.#closing.abort();
    this.#finish("closed", "by close()");
    this.#listeners.clear();
  }

  /** @param {string} method @param {...any} params by position @returns {Promise<any>} the result */
  call(method, ...params) { return this.#request(method, trimmed(params)); }
  /** @param {string} method @param {object} params by name @param {CallOptions} [options] @returns {Promise<any>} */
  callNamed(method, params, options) { return this.#request(method, params, options); }
  /** api.with({ signal }).call(method, ...params) @param {CallOptions} options @returns {{ call: Api["call"] }} */
  with(options) { return { call: (method, ...params) => this.#request(method, trimmed(params), options) }; }
  /** Sends what is not answered: now, or never if the connection is not live. @param {string} method @param {...any} params */
  notify(method, ...params) { if (this.#isOpen) this.#send(encode({ method, params: trimmed(params) })); }

  /** Hears a notification, "state", "reset", "frame", or "*" (every notification). Returns what unsubscribes.
   * @param {string} method @param {Function} fn @returns {() => void} */
  on(method, fn) {
    if (typeof fn !== "function") throw new TypeError("Tokenwire: on() needs a function");
    if (this.#state === "closed") return () => {};
    const entry = { fn }; // the same function may be given twice, and each time is its own
    const entries = this.#listeners.get(method) ?? new Set();
    this.#listeners.set(method, entries.add(entry));
    if (this.#state === "idle") this.#open();
    return () => void entries.delete(entry);
  }

  // Calls: made → #queue → #sent → answered. Whatever ends one goes through #forget.

  /** @param {string} method @param {any} params @param {CallOptions} [options] */
  #request(method, params, { signal, timeout = this.#timeout } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#over) throw failure(this.#state, this.#over, method);
      if (this.#queue.size >= QUEUE_MAX) throw failure("queue-full", `${QUEUE_MAX} calls are waiting`, method);
      const id = ++this.#lastId;
      const call = { id, method, text: encode({ id, method, params }), sent: false, resolve, reject, release: () => {} };
      const late = () => this.#abandon(call, failure("timeout", `no answer in ${timeout} ms`, method, call.sent));
      const abort = () => this.#abandon(call, signal?.reason);
      const timer = timeout > 0 && timeout < 2 ** 31 ? setTimeout(late, timeout) : 0;
      signal?.addEventListener("abort", abort);
      call.release = () => (clearTimeout(timer), signal?.removeEventListener("abort", abort));
      this.#queue.set(id, call);
      if (this.#state === "idle") this.#open();
      this.#flush();
    });
  }

  #flush() {
    for (const call of this.#queue.values()) {
      if (!this.#isOpen || this.#sent.size >= UNDER_WAY_MAX) return;
      this.#queue.delete(call.id);
      this.#sent.set(call.id, call);
      call.sent = true;
      this.#send(call.text);
    }
  }

  #forget(/** @type {Call} */ call) {
    for (const calls of [this.#queue, this.#sent]) calls.delete(call.id);
    call.release();
  }

  /** Nobody waits for this one any more. @param {Call} call @param {any} reason */
  #abandon(call, reason) {
    this.#forget(call);
    call.reject(reason);
    if (call.sent && this.#isOpen) this.#send(encode({ method: "$/cancelRequest", params: { id: call.id } }));
    this.#flush();
  }

  #failAll(/** @type {Map<number, Call>} */ calls, /** @type {string} */ code, /** @type {string} */ message) {
    for (const call of [...calls.values()]) {
      this.#forget(call);
      call.reject(failure(code, message, call.method, call.sent));
    }
  }

  // The connection: #open → #live → #lost → #wait → #open …, or #finish.

  /** The network or the user has come back: try now. @param {AbortSignal} signal */
  #hearPage(signal) {
    const page = globalThis.document;
    const wake = () => this.#state === "waiting" && this.#open();
    globalThis.addEventListener?.("online", wake, { signal });
    page?.addEventListener("visibilitychange", () => page.visibilityState === "visible" && wake(), { signal });
  }

  #open() {
    this.#drop();
    this.#over = null;
    this.#failAll(this.#sent, "connection-lost", "another connection takes this one's place");
    const [url, token] = [new URL(this.#url), this.#credential()];
    if (this.#position !== null) url.searchParams.set("since", this.#position);
    try {
      this.#socket = new this.#WebSocket(url.href, token ? [SUBPROTOCOL, `bearer.${token}`] : [SUBPROTOCOL]);
    } catch (error) { // such as ws: from an https: page, which no repetition mends
      return this.#finish("ended", String(error));
    }
    this.#attend(this.#socket);
    this.#enter("connecting");
  }

  /** Each event of a socket has its turn in a chain of promises, so that what awaits a reply runs before the next
   * message is handled, also where several arrive at once. @param {any} socket */
  #attend(socket) {
    let [opened, turns] = [false, Promise.resolve()];
    const inTurn = (/** @type {() => void} */ handle) => {
      turns = turns.then(() => void (socket === this.#socket && handle())).catch(report);
    };
    const watch = (/** @type {number} */ ms) => {
      if (socket !== this.#socket) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#lost(1006, "silence", opened), ms);
    };
    watch(CONNECT_TIMEOUT_MS);
    socket.onopen = () => watch((opened = true) && SILENCE_MS);
    socket.onmessage = (/** @type {MessageEvent} */ { data }) => {
      watch(SILENCE_MS);
      inTurn(() => this.#show("received", data)); // in a turn of its own: its listeners may close
      inTurn(() => this.#receive(data));
    };
    socket.onclose = (/** @type {CloseEvent} */ { code, reason }) => inTurn(() => this.#lost(code, reason, opened));
    // Node.js 20 says no close after a handshake that failed; once open, the close follows and knows more.
    socket.onerror = () => opened || inTurn(() => this.#lost(1006, "", false));
  }

  #send(/** @type {string} */ text) {
    this.#socket.send(text);
    this.#show("sent", text);
  }

  #receive(/** @type {string} */ data) {
    let messages;
    try {
      messages = [JSON.parse(data)].flat();
    } catch { // a change may have been in it: only starting again from the last position is sure to have it
      return this.#lost(1007, "not JSON", true);
    }
    for (const message of messages) {
      if (message?.method) this.#notified(message.method, message.params);
      else this.#answered(message ?? {});
    }
  }

  #answered(/** @type {any} */ { id, error, result }) {
    const call = this.#sent.get(id);
    if (!call) return; // whoever called has gone
    this.#forget(call);
    if (error) call.reject(new ApiError(error.code, error.message, { data: error.data, method: call.method }));
    else call.resolve(result);
    this.#flush();
  }

  /** The position moves only after the listeners have run: had the page died within one, its change is told again.
   * @param {string} method @param {any} params */
  #notified(method, params) {
    if (method === "/v1/session/ended") this.#endReason = params?.reason ?? "ended";
    const isReset = method === "/v1/session/ready" && this.#live(params);
    this.#emit(method, params);
    this.#emit("*", method, params);
    if (isReset) this.#emit("reset", params);
    if (params?.position != null) this.#position = String(params.position);
    if (this.#state === "live") for (const waiter of this.#waiters.splice(0)) waiter.resolve(this.#ready);
    this.#flush();
  }

  /** Tells whether the app must read anew. @param {Ready} ready */
  #live(ready) {
    const isOtherUser = this.#ready && this.#ready.user?.id !== ready.user?.id;
    this.#ready = ready;
    this.#settling = setTimeout(() => (this.#attempt = 0), SETTLED_MS);
    this.#enter("live");
    return ready.reset || isOtherUser;
  }

  async #lost(/** @type {number} */ code, /** @type {string} */ reason, /** @type {boolean} */ opened) {
    const endReason = this.#endReason ?? (code === CREDENTIAL_ENDED ? reason || "ended" : null);
    this.#drop();
    this.#failAll(this.#sent, "connection-lost", "the connection broke; whether the call took effect is unknown");
    if (endReason !== null) return this.#finish("ended", endReason);
    const probe = (this.#probing = new AbortController());
    const [refusal, retryAfterMs] = opened ? [0, 0] : await this.#refusal(probe);
    if (this.#probing !== probe) return; // close(), reconnect() or signIn() came first
    refusal === 401 ? this.#finish("ended", "unauthorized") : this.#wait(code, refusal, retryAfterMs);
  }

  /** A browser does not tell why a WebSocket could not open; a POST does, if it is answered. @param {AbortController} probe */
  #refusal(probe) {
    this.#timer = setTimeout(() => probe.abort(), CONNECT_TIMEOUT_MS);
    return post(this.#url, this.#credential(), "/v1/session/read", [], probe.signal).then(() => [0, 0], (error) => [Number(error.code) || 0, error.retryAfterMs ?? 0]);
  }

  /** Back-off with full jitter: clients of one dead server must not return as one. @param {number[]} why */
  #wait(...[code, refusal, retryAfterMs]) {
    const floor = PROTOCOL_BROKEN.includes(code) ? MEND_PAUSE_MS : Math.min(retryAfterMs, BACKOFF_CAP_MS);
    const growing = Math.min(this.#longestPause, BACKOFF_BASE_MS * 2 ** this.#attempt++);
    const inMs = Math.round(floor + Math.random() * (Math.max(growing, 2 * floor) - floor));
    this.#drop();
    this.#timer = setTimeout(() => this.#open(), inMs);
    this.#enter("waiting", { inMs, retryAt: Date.now() + inMs, code, ...(refusal && { refusal }) });
  }

  /** Lets go of the socket and of all that hangs on it; its later events are not heard. */
  #drop() {
    for (const timer of [this.#timer, this.#settling]) clearTimeout(timer);
    const [socket, probe] = [this.#socket, this.#probing];
    this.#socket = this.#probing = this.#endReason = null;
    probe?.abort();
    socket?.close();
  }

  #finish(/** @type {"ended" | "closed"} */ state, /** @type {string} */ reason) {
    this.#drop();
    const why = (this.#over = `${state}: ${reason}`);
    this.#enter(state, { reason });
    if (this.#over !== why) return; // a listener has reconnected or closed
    for (const calls of [this.#sent, this.#queue]) this.#failAll(calls, state, why);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(failure(state, why));
  }

  #enter(/** @type {State} */ state, /** @type {object} */ details = {}) {
    this.#state = state;
    this.#emit("state", { state, ...details });
  }

  /** For whoever watches the frames; nothing is made while nobody does. @param {string} direction @param {string} text */
  #show(direction, text) {
    if (this.#listeners.get("frame")?.size) this.#emit("frame", { direction, text, time: Date.now() });
  }

  #emit(/** @type {string} */ event, /** @type {any[]} */ ...values) {
    const entries = this.#listeners.get(event) ?? new Set();
    for (const entry of [...entries]) {
      if (!entries.has(entry)) continue; // an earlier listener has unsubscribed it
      new Promise((done) => done(entry.fn(...values))).catch(report); // runs at once; hears async faults, too
    }
  }
}

if (Symbol.dispose) Object.defineProperty(Api.prototype, Symbol.dispose, { value: Api.prototype.close }); // using api = new Api()

function endpoint(/** @type {string | URL | undefined} */ url) {
  const end = url === undefined ? new URL("/api", import.meta.url) : new URL(url, globalThis.location?.href);
  end.protocol = end.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(end.protocol)) throw new TypeError("Tokenwire: the URL must be ws(s): or http(s):");
  return Object.assign(end, { hash: "" });
}

/** Checks it first: the browser's own complaint would show the token. @param {string | null} [token] */
function credential(token) {
  if (token && !TOKEN_FORM.test(token)) throw new TypeError("Tokenwire: this is no session or API token; is it cut short?");
  return () => token || null;
}

/** Calls a method through its own door. @param {URL} end @param {string | null} token @param {string} method
 * @param {any[]} params @param {AbortSignal} signal @returns {Promise<any>} */
async function post(end, token, method, params, signal) {
  const url = new URL(end.href.replace(/^ws/, "http"));
  url.pathname = url.pathname.replace(/\/$/, "") + method;
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const init = { method: "POST", headers, body: JSON.stringify(params), signal };
  const response = await fetch(url, { ...init, credentials: "same-origin" }).catch((error) => {
    throw failure(signal.aborted ? "timeout" : "connection-lost", String(error), method, true);
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const { code = response.status, message = `HTTP ${response.status}`, data } = answer?.error ?? {};
  const retryAfterMs = 1000 * Number(response.headers.get("Retry-After")) || 0;
  throw Object.assign(new ApiError(code, message, { data, method }), retryAfterMs > 0 && { retryAfterMs });
}

/** @param {{ id?: number, method: string, params: any }} message @returns {string} its text, if the server would take it */
function encode(message) {
  const text = JSON.stringify({ jsonrpc: "2.0", ...message });
  if (HALF_CHARACTER.test(text)) throw new TypeError("Tokenwire: half of a surrogate pair is no text");
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > FRAME_MAX_BYTES) throw failure("too-large", `${bytes} bytes, of ${FRAME_MAX_BYTES}`, message.method);
  return text;
}

/** @param {string} code @param {string} message @param {string} [method] @param {boolean} [sent] */
function failure(code, message, method, sent = false) {
  return new ApiError(code, message, { method, data: { outcome: sent ? "unknown" : "not-sent" } });
}

/** @param {any[]} params without the undefined at the end, which JSON would make null */
const trimmed = (params) => params.slice(0, params.findLastIndex((param) => param !== undefined) + 1);

const report = (/** @type {unknown} */ error) => (globalThis.reportError ?? console.error)(error); // a listener's fault
