/**
 * The types of client.js, the Tokenwire client, and what it promises.
 *
 *     import { Api, ApiError } from "/client.js";
 *     const api = new Api();                                              // in a page, with the cookie's session
 *     const token = await api.call("/v1/api-tokens/create", "name");                         // params by position
 *     await api.with({ signal, timeout: 5_000 }).call("/v1/api-tokens/delete", token.id);
 *     await api.callNamed("/v1/api-tokens/read", { options: { limit: 10 } }, { signal });    // params by name
 *
 * - Order. Calls are sent in the order made. Notifications arrive in the server's order; what awaits a reply runs
 *   before the listeners of notifications that came after it.
 * - Resume. A new connection starts after the last notification whose listeners have returned: nothing is missed.
 *   Where that cannot be, or another user has signed in, "reset" comes before any later notification: read anew.
 *   User and permissions are told by each "/v1/session/ready"; they may have changed while there was no connection.
 * - At most once. A call that was sent is never sent again. One whose answer cannot come fails with an ApiError (or
 *   the signal's reason); its `data.outcome` is "unknown", or "not-sent" if it never left.
 * - An end is an end. Once the credential has ended, only signIn() or reconnect() connects again.
 * - No secret is in a URL, a message, a log or what console.log(api) shows.
 *
 * It will not repeat calls, keep the app's data, wait for promises that listeners return, or renew a credential.
 */

/** So many requests in so many seconds. */
export interface RateLimit {
  requests: number;
  window: number;
}

export interface Token {
  id: string;
  name: string;
  /** The first characters of the secret, to recognise it by. */
  prefix: string;
  enabled: boolean;
  /** What the token was given. */
  permissions: Record<string, true>;
  /** What of it the owner holds, in order. */
  effectivePermissions: string[];
  /** Grows by 1 with each change. */
  version: number;
  createdAt: string;
  updatedAt: string;
  expiresAt: string | null;
  /** The addresses and ranges that it is good from; null: anywhere. */
  allowedIps: string[] | null;
  /** For the services that verify it; null: without a limit. */
  rateLimit: RateLimit | null;
  lastUsedAt: string | null;
  /** Until when the secret before the present one is good, or was: only where it was replaced with an overlap. */
  previousUntil?: string;
  /** The secret: only in the results of create and rotate, and never to be had again. */
  token?: string;
}

/** How often a token was good for what it was used for, and how often it was not. */
export interface Usage {
  lastUsedAt: string | null;
  allowed: number;
  denied: number;
  /** Those that had any, oldest first, each with its beginning. */
  hours: { from: string; allowed: number; denied: number }[];
  from: string;
  to: string;
}

export interface User {
  id: string;
  username: string;
}

export interface SignIn {
  session: string;
  expiresAt: string;
  user: User;
}

export interface Credential {
  kind: "session" | "token";
  id: string;
}

/** Who made a change. The credential is told to its own user only. */
export interface By {
  userId: string;
  username: string;
  credential?: Credential;
}

/** What every notification of a change holds. */
export interface Change {
  position: string;
  time: string;
  /** null: nobody, such as at an expiry. */
  by: By | null;
}

export interface Ready {
  connectionId: string;
  user: User;
  permissions: Record<string, boolean>;
  position: string;
  /** What came before position cannot be told: read anew. */
  reset: boolean;
}

export type State = "idle" | "connecting" | "live" | "waiting" | "ended" | "closed";

export interface StateChange {
  state: State;
  /** Of "waiting": the pause before the next attempt. */
  inMs?: number;
  /** Of "waiting": when that will be, in ms since 1970. */
  retryAt?: number;
  /** Of "waiting": the close code of the connection that broke. */
  code?: number;
  /** Of "waiting": what the server answered instead, an HTTP status or an error's code, where it could not be opened and that can be told. */
  refusal?: number;
  /** Of "ended" and "closed". */
  reason?: string;
}

export interface PermissionsChanged extends Change {
  tokenId: string;
  permissions: Record<string, true>;
  effectivePermissions: string[];
  version: number;
}

/** A frame as it was on the wire. It may hold secrets, such as a password that is set or a new token's: never the credential. */
export interface Frame {
  direction: "sent" | "received";
  text: string;
  /** In ms since 1970. */
  time: number;
}

/** What on() can hear, and what its listeners are given. */
export interface Events {
  "/v1/api-tokens/created": Change & { token: Token };
  "/v1/api-tokens/updated": Change & { token: Token };
  "/v1/api-tokens/expiring": Change & { tokenId: string; expiresAt: string; days: number };
  "/v1/api-tokens/expired": Change & { tokenId: string; expiresAt: string };
  /** The token was found where it should not be, and is switched off. */
  "/v1/api-tokens/leaked": Change & { tokenId: string; url: string | null };
  "/v1/api-tokens/deleted": Change & { tokenId: string };
  "/v1/api-tokens/enabled-changed": Change & { tokenId: string; enabled: boolean; version: number };
  "/v1/api-tokens/permissions-changed": PermissionsChanged;
  "/v1/session/permissions-changed": Change & { permissions: Record<string, boolean> };
  "/v1/session/ended": { reason: string };
  "/v1/session/ready": Ready;
  "/v1/session/heartbeat": { position: string };
  /** The client's own: what has become of the connection. */
  state: StateChange;
  /** The client's own: changes have been missed, or the user is another one; read anew. */
  reset: Ready;
  /** The client's own: a frame was sent, or has been received and is about to be handled. For tools and tests: what listens
   * sees each as it is, and while nothing does it costs nothing. */
  frame: Frame;
}

export interface Permission {
  id: string;
  name: string;
  description: string;
}

export interface Session {
  id: string;
  userId: string;
  address: string;
  agent: string;
  createdAt: string;
  lastSeenAt: string;
  expiresAt: string;
  /** It is the one that asks. */
  current: boolean;
}

type TokenOrder = "name" | "createdAt" | "lastUsedAt" | "enabled";

export interface TokensOptions {
  id?: string;
  where?: { name?: string | ["like", string]; enabled?: boolean; expired?: boolean };
  orderBy?: TokenOrder | [TokenOrder, "asc" | "desc"][];
  limit?: number;
  /** A `next` from an earlier answer with the same orderBy. */
  after?: string;
  offset?: number;
}

/** What bounds a token beside its permissions. */
export interface Bounds {
  expiresAt?: string | null;
  allowedIps?: string[] | null;
  rateLimit?: RateLimit | null;
}

type None = Record<string, never>;

/** The methods for tokens and for oneself: their params by position, and their results. docs/protocol.md has all methods; those
 * that are not here can be called as well. */
export interface Methods {
  "/v1/session/read": () => { user: User; credential: Credential; permissions: Record<string, true> };
  "/v1/session/set-password": (current: string, next: string) => None;
  "/v1/session/sign-out": () => None;
  "/v1/sessions/read": (options?: { userId?: string }) => { sessions: Session[] };
  "/v1/sessions/delete": (sessionId: string) => None;
  "/v1/api-tokens/count": (options?: Pick<TokensOptions, "where">) => { total: number; enabled: number; disabled: number; expired: number; position: string };
  "/v1/api-tokens/create": (name: string, options?: { permissions?: Record<string, boolean> } & Bounds) => Token & { token: string };
  "/v1/api-tokens/delete": (tokenId: string) => None;
  "/v1/api-tokens/get-connections": (tokenId: string) => { connections: number };
  "/v1/api-tokens/get-permissions": (tokenId: string) => (Permission & { enabled: boolean })[];
  "/v1/api-tokens/read": (options?: TokensOptions) => { tokens: Token[]; next: string | null; position: string };
  "/v1/api-tokens/rotate": (tokenId: string, options?: { overlap?: number; version?: number }) => Token & { token: string };
  "/v1/api-tokens/set-enabled": (tokenId: string, enabled: boolean, options?: { version?: number }) => Token;
  "/v1/api-tokens/set-permissions": (tokenId: string, permissions: Record<string, boolean>, options?: { version?: number }) => Token;
  "/v1/api-tokens/update": (tokenId: string, changes: { name?: string; version?: number } & Bounds) => Token;
  "/v1/api-tokens/update-permissions": (tokenId: string, permissions: Record<string, boolean>, options?: { version?: number }) => Token;
  "/v1/api-tokens/usage": (tokenId: string, options?: { from?: string; to?: string }) => Usage;
  "/v1/events/count": () => { hours: { from: string; changes: number }[]; from: string; complete: boolean };
  "/v1/events/read": (options?: { after?: string; limit?: number }) => { events: { method: string; params: any }[]; next: string | null; position: string };
  "/v1/permissions/read": () => Permission[];
}

/** A method's name: those of Methods, and any other. */
type Method = keyof Methods | (string & {});
type Params<M> = M extends keyof Methods ? Parameters<Methods[M]> : any[];
type Result<M> = M extends keyof Methods ? ReturnType<Methods[M]> : any;

/** Calls a method with params by position, and resolves with its result. */
export type Call = <M extends Method>(method: M, ...params: Params<M>) => Promise<Result<M>>;

export interface CallOptions {
  /** Gives the call up; the server is told, so that it stops working on it. */
  signal?: AbortSignal;
  /** Of the whole call, in ms; 0 is none. */
  timeout?: number;
}

export interface Options {
  /** A session (tws_…) or an API token (twt_…); without one a browser sends the cookie that sign-in has set. */
  token?: string | null;
  /** A `position` to start after. */
  since?: string | null;
  /** Of calls that name none, in ms; 30,000 by default, 0 is none. */
  timeout?: number;
  /** To how long the random pauses before it connects again grow, in ms; 30,000 by default. A server's Retry-After may ask for more. */
  longestPause?: number;
  /** A class to use instead of globalThis.WebSocket. */
  WebSocket?: any;
}

/** Why a call failed. */
export class ApiError extends Error {
  constructor(code: number | string, message: string, details?: { data?: any; method?: string });
  /** The server's number (404, -32602 …) or the client's own word: "connection-lost", "timeout", "closed", "ended",
   * "queue-full", "too-large". The latter have `data.outcome`. */
  code: number | string;
  data: any;
  method: string | undefined;
  /** Of an HTTP answer with Retry-After: so long the server wants not to be asked again. */
  retryAfterMs?: number;
}

export class Api {
  /** @param url ws(s):, http(s):, or relative to the page; by default /api where client.js came from. */
  constructor(url?: string | URL, options?: Options);

  /** Signs in without connecting; in a page the session's cookie is set too. */
  static signIn(url: string | URL | undefined, username: string, password: string): Promise<SignIn>;

  /** Signs in and connects with the new session. */
  signIn(username: string, password: string): Promise<SignIn>;

  readonly state: State;
  /** Up to where everything has been told; `new Api(url, { since })` goes on from there. */
  readonly position: string | null;
  /** The same as connect(). */
  readonly ready: Promise<Ready>;

  /** Resolves when the connection is live; rejects when it can no longer become so. */
  connect(): Promise<Ready>;
  /** Tries now instead of when the pause is over; also after the credential has ended (there is a new cookie). With `anew`
   * also where there is a connection, which may be dead or another session's: what was under way on it fails. */
  reconnect(options?: { anew?: boolean }): void;
  /** Ends everything for good: calls under way fail with "closed", no timer or socket stays. */
  close(): void;

  /** Calls a method with params by position, and resolves with its result. */
  call: Call;
  /** Calls a method with params by name. */
  callNamed<M extends Method>(method: M, params: object, options?: CallOptions): Promise<Result<M>>;
  /** Options for a call by position: `api.with({ signal, timeout }).call(method, ...params)`. */
  with(options: CallOptions): { call: Call };
  /** Sends a notification, with params by position: now, or never if the connection is not live. Nothing tells what became of it. */
  notify(method: string, ...params: any[]): void;

  /** Hears a notification, "state", "reset", "frame", or "*" (every notification). Returns what unsubscribes. */
  on<M extends keyof Events>(method: M, fn: (params: Events[M]) => void): () => void;
  on(method: "*", fn: (method: string, params: any) => void): () => void;
  on<M extends string>(method: M extends keyof Events ? never : M, fn: (params: any) => void): () => void;
}
