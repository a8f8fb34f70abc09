// A program that uses client.js as its users would, for its types alone: it is compiled by tsc and never run. What must not
// compile is marked so.

import { Api, ApiError, type Change, type PermissionsChanged, type Ready, type SignIn, type State, type Token, type Usage, type User } from "./client.js";

/** Compiles only where a value has exactly that type, and is not `any`. */
function is<Expected>() {
  return <Actual>(_: Actual, ..._same: (<T>() => T extends Actual ? 1 : 2) extends (<T>() => T extends Expected ? 1 : 2) ? [] : [never]) => {};
}

// Making one.

new Api();
new Api("wss://tokens.example/api");
new Api(new URL("https://tokens.example/api"), { token: "twt_x", since: "1-x", timeout: 0, longestPause: 5_000 });
new Api("/api", { token: null, since: null, WebSocket: class {} });
// @ts-expect-error the URL is text or a URL
new Api(8080);
// @ts-expect-error there is no such option
new Api("/api", { tokn: "twt_x" });
// @ts-expect-error a timeout is in milliseconds
new Api("/api", { timeout: "5s" });

const api = new Api();

// The connection.

is<State>()(api.state);
is<string | null>()(api.position);
is<Promise<Ready>>()(api.ready);
is<Promise<Ready>>()(api.connect());
is<void>()(api.reconnect());
is<void>()(api.close());
is<Promise<SignIn>>()(api.signIn("ada", "a password"));
is<Promise<SignIn>>()(Api.signIn(undefined, "ada", "a password"));
// @ts-expect-error it is told, and not set
api.state = "live";
// @ts-expect-error there is no such state
if (api.state === "open") api.close();
// @ts-expect-error a password is missing
Api.signIn("/api", "ada");

// Calls.

export async function calls() {
  const token = await api.call("/v1/api-tokens/create", "ci", { permissions: { "invoices:read": true }, expiresAt: "2030-01-01T00:00:00Z" });
  is<Token & { token: string }>()(token);
  is<Token>()(await api.call("/v1/api-tokens/set-enabled", token.id, false, { version: token.version }));
  is<Token>()(await api.call("/v1/api-tokens/update", token.id, { name: "cd", allowedIps: ["192.0.2.0/24"], rateLimit: null, version: token.version }));
  is<string[] | null>()(token.allowedIps);
  is<Token & { token: string }>()(await api.call("/v1/api-tokens/rotate", token.id, { overlap: 60 }));
  is<Token>()(await api.call("/v1/api-tokens/update-permissions", token.id, { "invoices:read": false }));
  is<{ tokens: Token[]; next: string | null; position: string }>()(await api.call("/v1/api-tokens/read", { where: { name: ["like", "c"] }, orderBy: [["name", "desc"]] }));
  is<Token>()(await api.callNamed("/v1/api-tokens/set-enabled", { tokenId: token.id, enabled: true }, { timeout: 5_000 }));
  is<Token>()(await api.with({ signal: AbortSignal.timeout(5_000) }).call("/v1/api-tokens/set-enabled", token.id, true));
  is<User>()((await api.call("/v1/session/read")).user);
  is<number>()((await api.call("/v1/events/count")).hours[0].changes);
  is<Usage>()(await api.call("/v1/api-tokens/usage", token.id, { from: "2030-01-01T00:00:00Z" }));
  is<any>()(await api.call("/v1/users/read"));
  is<void>()(api.notify("$/cancelRequest", 7));
  is<any>()(await api.callNamed("/v1/users/read", { options: { limit: 10 } }));

  // @ts-expect-error the method's name is missing
  api.call();
  // @ts-expect-error whether it is to be on is missing
  api.call("/v1/api-tokens/set-enabled", token.id);
  // @ts-expect-error on is a boolean
  api.call("/v1/api-tokens/set-enabled", token.id, "on");
  // @ts-expect-error a name cannot be taken away
  api.call("/v1/api-tokens/update", token.id, { name: null });
  // @ts-expect-error there is no such param
  api.call("/v1/session/read", 1);
  // @ts-expect-error there is no such order
  api.call("/v1/api-tokens/read", { orderBy: "age" });
  // @ts-expect-error a misspelt member of a result
  token.nam;
  // @ts-expect-error params by name are an object
  api.callNamed("/v1/users/read", 1);
  // @ts-expect-error there is no such option
  api.with({ retries: 3 });
}

// Hearing.

export const leave: () => void = api.on("/v1/api-tokens/created", ({ token, position, by }) => {
  is<Token>()(token);
  is<string>()(position);
  is<Change["by"]>()(by);
  if (by?.credential) is<"session" | "token">()(by.credential.kind);
  is<string | undefined>()(by?.username);
});
api.on("/v1/api-tokens/permissions-changed", (change) => is<PermissionsChanged>()(change));
api.on("/v1/api-tokens/enabled-changed", ({ tokenId, enabled, version }) => {
  is<string>()(tokenId);
  is<boolean>()(enabled);
  is<number>()(version);
});
api.on("/v1/api-tokens/expiring", ({ days }) => is<number>()(days));
api.on("/v1/api-tokens/leaked", ({ url }) => is<string | null>()(url));
api.on("/v1/session/ended", ({ reason }) => is<string>()(reason));
api.on("/v1/session/heartbeat", async ({ position }) => is<string>()(position));
api.on("state", ({ state, retryAt }) => {
  is<State>()(state);
  is<number | undefined>()(retryAt);
});
api.on("reset", (ready) => is<Ready>()(ready));
api.on("*", (method, params) => {
  is<string>()(method);
  is<any>()(params);
});
api.on("/v1/not-known-yet", (params) => is<any>()(params));
// @ts-expect-error it needs a function
api.on("state");
// @ts-expect-error it needs a function
api.on("state", "live");
// @ts-expect-error an event has no such member
api.on("/v1/api-tokens/deleted", ({ token }) => token);

// What fails.

export const isGone = (error: unknown) => error instanceof ApiError && (error.code === 404 || error.data?.outcome === "unknown");
export const read = (error: ApiError) => {
  is<number | string>()(error.code);
  is<string | undefined>()(error.method);
  is<string>()(error.message);
};
