/**
 * The types of verifier.js, the Tokenwire verifier, and what it promises.
 *
 *     import { RateLimited, Unavailable, Verifier } from "./verifier.js";   // beside it: verifier-facts.js and client.js
 *     const verifier = new Verifier("wss://tokens.example/api", { token: process.env.TOKENWIRE });
 *     verifier.ended.then((why) => { throw why; });                     // ends a process that would answer 503 for ever
 *     await verifier.ready;
 *     app.use("/repos", verifier.require("repo:read"));
 *     app.get("/repos", (req, res) => res.json(repositoriesOf(req.auth.userId)));
 *
 * Its own credential needs the permission tokens:verify.
 *
 * - Revoked means revoked. What is held is answered from only while the server is bound to tell this verifier of every change
 *   and to wait for it: `lease` seconds from when the last beat that was answered was sent, on the same connection. A change
 *   drops the token's facts before it is confirmed. A process that was stopped, a machine that slept and a connection that
 *   was lost find their lease over: time passes by the steady clock or by that on the wall, whichever says more. A clock that is
 *   put back prolongs nothing; one that is put forward has all asked anew. What neither clock shows is not known, as where a
 *   virtual machine goes on with the time of when it was paused: have its host set the clock at once.
 * - Facts are held, never a verdict, and of good tokens only: a bad one is asked about each time, a new one is good at once.
 *   What a token may do and from where is decided anew at each question, and when it expires by what the server says is left, and both clocks.
 * - Of a token the server is sent its SHA-256 and nothing else. It is in no message, log or error; what is no token by its
 *   form and checksum is not even asked about.
 * - What is not held is answered by a request that is sent after the question. Those who ask about one token at the same time
 *   share it, but for tokens with a rate limit: there each use counts.
 * - What cannot be found out is thrown, as Unavailable, within `timeout`: nothing that fails makes a token good or bad. Where the
 *   connection is known to be down that is at once; only the first one is waited for.
 * - Only with `grace` is anything answered that may be out of date, and only while there is no lease: with `stale: true`, and
 *   `counts.stale` tells how often.
 * - Every use of a good token is reported, in numbers, within 10 s and at close(). What could not be reported is lost rather
 *   than reported twice.
 *
 * It connects when it is made, again whenever the connection breaks, and keeps its process alive until close(). While the server
 * is away its random pauses grow to 5 s, and no further, as a service refuses everybody meanwhile; a busy server may put it off for
 * longer, by Retry-After. `ready` tells whether it connects at all, and `ended` when it does not any more, as its own token has been
 * switched off, say.
 */
import type { State } from "./client.js";

export interface Options {
  /** A session (tws_…) or an API token (twt_…) with tokens:verify. */
  token?: string | null;
  /** In seconds, 1 to 60; 5 by default. The longer it is, the longer whoever revokes a token may have to wait when this verifier
   * cannot be reached; the shorter, the sooner a pause of the network means that all is asked anew. */
  lease?: number;
  /** How many tokens are held, 10,000 by default; those used longest ago make way. */
  size?: number;
  /** For so many seconds after the lease, what is held is still answered while the server is away. 0 by default: a token that is
   * revoked meanwhile stays good for so long. */
  grace?: number;
  /** How long one verify() may take, in ms; 5,000 by default. */
  timeout?: number;
  /** The address that a request comes from, for require(). By default `req.ip`, which Express has (behind a proxy set its
   * "trust proxy"), or the peer's. */
  address?: (req: any) => string | undefined;
  /** A class to use instead of globalThis.WebSocket. */
  WebSocket?: any;
}

/** What `allowed` is to be about, beside the token's being good. */
export interface Question {
  /** All of these. */
  permissions?: readonly string[];
  /** The address that the token is used from. */
  ip?: string;
}

/** What is known of a token at the moment of asking: for the next request, ask again. */
export type Decision = Good | Bad;

interface Answers {
  /** Nothing is told of why a token is bad. */
  readonly active: boolean;
  /** It is good, and for all that was asked. This counts as a use: allowed or denied. */
  readonly allowed: boolean;
  /** It was held for longer than the lease, for the server is away. */
  readonly stale: boolean;
  /** Whether it has a permission: its owner holds it, too. */
  has(permission: string): boolean;
  /** Whether it is good from an IPv4 or IPv6 address. */
  from(ip: string): boolean;
}

export interface Good extends Answers {
  readonly active: true;
  readonly tokenId: string;
  readonly userId: string;
  readonly username: string;
  /** The effective ones, in order. */
  readonly permissions: readonly string[];
  readonly expiresAt: string | null;
}

export interface Bad extends Answers {
  readonly active: false;
  readonly allowed: false;
}

/** Nobody can say now whether the token is good: it is neither good nor bad. `cause` is why, such as an ApiError. */
export class Unavailable extends Error {
  name: "Unavailable";
}

/** The token is good, and was used more often than its rate limit allows. */
export class RateLimited extends Error {
  constructor(retryAfterMs: number);
  name: "RateLimited";
  retryAfterMs: number;
}

export interface Counts {
  /** Answers from what was held. */
  readonly hits: number;
  /** Requests to the server. */
  readonly asked: number;
  /** Answers that `grace` allowed. */
  readonly stale: number;
  /** Questions that ended with Unavailable. */
  readonly unavailable: number;
  /** Tokens held now. */
  readonly held: number;
}

/** A middleware of Express, Connect or node:http. */
export type Middleware = (req: any, res: any, next: (error?: unknown) => void) => Promise<void>;

export class Verifier {
  /** @param url ws(s):, http(s):, or relative to the page; by default /api where client.js came from.
   * @throws TypeError where there is no token, nor a page that may have a session. */
  constructor(url?: string | URL, options?: Options);

  /** Resolves when it has its first lease. Rejects, with what to do, where it cannot get one: its own token is no good, or may not
   * verify; the server has something else at the URL's path (where that can be told: not from another origin's page); or it
   * was closed. While the server is away it waits. It need not be awaited. But for the first and the last of these cases the
   * verifier goes on trying until close(). */
  readonly ready: Promise<void>;
  /** Resolves, with what to do, when the verifier's own token is no good any more, or never was. That is for good: each question is
   * Unavailable from then on. It never does after close(). */
  readonly ended: Promise<Error>;
  /** The connection's; "ended" is for good: the verifier's own credential is no longer good. */
  readonly state: State;
  /** Since it was made. */
  readonly counts: Counts;

  /** Whether a token is good, and for what. @throws Unavailable, RateLimited */
  verify(token: string, question?: Question): Promise<Decision>;

  /** Lets requests pass whose `Authorization: Bearer` token is good, has all these permissions, and comes from where it may; the
   * Decision is then `req.auth`. Others are answered, as RFC 6750 has it where it has anything, with `{"error": …}`:
   * 401 unauthorized (no token) or invalid_token, 400 invalid_request (half a token, or two), 403 insufficient_scope or
   * address_refused, 429 rate_limited with Retry-After, and 503 unavailable where nobody can say. */
  require(...permissions: string[]): Middleware;

  /** Reports what is left to report, gives the lease back, so that nobody waits for it, and disconnects, all for good. */
  close(): Promise<void>;
}
