// A program that uses verifier.js as its users would, for its types alone: it is compiled by tsc and never run. What must not
// compile is marked so.

import { RateLimited, Unavailable, Verifier, type Counts, type Decision, type Middleware } from "./verifier.js";
import type { State } from "./client.js";

/** Compiles only where a value has exactly that type, and is not `any`. */
function is<Expected>() {
  return <Actual>(_: Actual, ..._same: (<T>() => T extends Actual ? 1 : 2) extends (<T>() => T extends Expected ? 1 : 2) ? [] : [never]) => {};
}

// Making one.

new Verifier();
new Verifier(new URL("https://tokens.example/api"), { token: "twt_x", lease: 2.5, size: 0, grace: 60, timeout: 1_000 });
new Verifier("/api", { token: null, address: (req) => req.headers["x-real-ip"], WebSocket: class {} });
// @ts-expect-error there is no such option
new Verifier("/api", { ttl: 60 });
// @ts-expect-error a lease is in seconds
new Verifier("/api", { lease: "5s" });

const verifier = new Verifier("wss://tokens.example/api", { token: "twt_x" });
is<State>()(verifier.state);
is<Counts>()(verifier.counts);
is<number>()(verifier.counts.stale);
is<Promise<void>>()(verifier.close());
is<Promise<void>>()(verifier.ready);
is<Promise<Error>>()(verifier.ended);
// @ts-expect-error it is told, and not set
verifier.counts.hits = 0;

// Asking.

export async function ask(token: string) {
  const decision = await verifier.verify(token);
  is<Decision>()(decision);
  is<boolean>()(decision.allowed);
  is<boolean>()(decision.stale);
  is<boolean>()(decision.has("repo:read"));
  is<boolean>()(decision.from("192.0.2.7"));
  // @ts-expect-error nobody knows whose a bad one is
  decision.userId;
  if (!decision.active) return is<false>()(decision.allowed);
  is<string>()(decision.userId);
  is<readonly string[]>()(decision.permissions);
  is<string | null>()(decision.expiresAt);
  // @ts-expect-error it is told, and not set
  decision.permissions.push("admin");
  is<Decision>()(await verifier.verify(token, { permissions: ["repo:read"], ip: "2001:db8::1" }));
  // @ts-expect-error there is no such question
  verifier.verify(token, { permission: "repo:read" });
  // @ts-expect-error the token is missing
  verifier.verify();
}

is<Middleware>()(verifier.require());
is<Middleware>()(verifier.require("repo:read", "repo:write"));
// @ts-expect-error ids, one by one
verifier.require(["repo:read"]);

// What fails.

export const isLater = (error: unknown) => error instanceof Unavailable || (error instanceof RateLimited && error.retryAfterMs > 0);
