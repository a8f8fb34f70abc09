// What a change of the feed says to people: what happened, to which token, and by whom. Nothing here needs a page.

import { permissionChanges, when } from "./words.js";

/** @typedef {import("./feed.js").Entry} Entry */
/** A sentence's parts: what somebody named stands apart, as it may be written in another direction.
 * @typedef {(string | { name: string })[]} Words */
/** What bounds a token. @typedef {{ expiresAt?: string | null, allowedIps?: string[] | null, rateLimit?: import("../client.js").RateLimit | null }} Bounds */
/** What a subject had before a change. Without a name little is known of it.
 * @typedef {{ permissions: Record<string, any>, effectivePermissions?: string[], name?: string } & Bounds} Held */
/** Who looks at it. @typedef {{ userId?: string, sessionId?: string | null, nameOf: (tokenId: string) => string | undefined }} Viewer */

const NAMED = 10; // permissions that are named; the rest is counted

/** The kinds to choose from, by what the filter calls them. @type {Record<string, string>} */
export const KINDS = { "": "All changes", created: "Created", deleted: "Deleted", enabled: "Switched on or off", permissions: "Permissions", expiry: "Expiry", leaked: "Leaks",
  updated: "Other changes" };

/** @param {Entry} entry @returns {{ kind: string, title: string, look: "good" | "wait" | "bad" | "" }} */
export function titleOf({ method, params }) {
  switch (method) {
    case "/v1/api-tokens/created": return { kind: "created", title: "Created", look: "good" };
    case "/v1/api-tokens/deleted": return { kind: "deleted", title: "Deleted", look: "bad" };
    case "/v1/api-tokens/enabled-changed":
      return { kind: "enabled", title: params.enabled ? "Switched on" : "Switched off", look: params.enabled ? "good" : "wait" };
    case "/v1/api-tokens/permissions-changed": return { kind: "permissions", title: "Permissions", look: "" };
    case "/v1/api-tokens/updated": return { kind: "updated", title: "Changed", look: "" };
    case "/v1/api-tokens/expiring": return { kind: "expiry", title: "Expires soon", look: "wait" };
    case "/v1/api-tokens/expired": return { kind: "expiry", title: "Expired", look: "bad" };
    case "/v1/api-tokens/leaked": return { kind: "leaked", title: "Leaked", look: "bad" };
    case "/v1/session/permissions-changed": return { kind: "permissions", title: "Your permissions", look: "" };
    default: return { kind: "", title: "Changed", look: "" };
  }
}

/** What there is to say of it beside its title. @param {Entry} entry @param {Held | null} before as far as that is known
 * @param {number} [most] permissions that are named */
export function detailOf({ method, params }, before, most = NAMED) {
  if (method === "/v1/api-tokens/expiring") return `good until ${when(params.expiresAt)}`;
  if (method === "/v1/api-tokens/expired") return `was good until ${when(params.expiresAt)}`;
  if (method === "/v1/api-tokens/leaked") return params.url ? `found at ${isolated(params.url)}` : "found where it should not be";
  const { permissions, effectivePermissions } = params.token ?? params;
  if (!permissions) return "";
  const isIdle = (/** @type {string} */ id) => effectivePermissions !== undefined && !effectivePermissions.includes(id); // a user's own are none
  const all = listed(Object.keys(permissions).sort().map((id) => (isIdle(id) ? `${id} (no effect: not held)` : id)), most);
  if (method === "/v1/api-tokens/created") return [all ? `with ${all}` : "without permissions", ...boundsOf(params.token)].join(", ");
  if (method === "/v1/api-tokens/updated") return updateOf(params.token, before).join(", ");
  const changes = before ? permissionChanges(before.permissions, permissions) : [];
  const effects = before ? effectChanges(before.effectivePermissions ?? [], effectivePermissions ?? []) : [];
  return listed(changes.length ? changes : effects, most) || (all ? `now ${all}` : "now none");
}

/** @param {string[]} texts @param {number} most */
const listed = (texts, most) => texts.slice(0, most).join(", ") + (texts.length > most ? ` and ${texts.length - most} more` : "");

/** What bounds a token, in words. @param {Bounds} token */
const boundsOf = (token) => Object.values(boundWords(token)).filter(({ isBound }) => isBound).map(({ text }) => text);

/** @param {Bounds} token @returns {Record<string, { isBound: boolean, text: string }>} */
export function boundWords({ expiresAt, allowedIps, rateLimit }) {
  const word = (/** @type {any} */ value, /** @type {() => string} */ bound, /** @type {string} */ free) => ({ isBound: Boolean(value), text: value ? bound() : free });
  return {
    expiresAt: word(expiresAt, () => `until ${when(/** @type {string} */ (expiresAt))}`, "without an end"),
    allowedIps: word(allowedIps, () => `from ${listed(allowedIps ?? [], NAMED)}`, "from anywhere"),
    rateLimit: word(rateLimit, () => `${rateLimit?.requests} requests in ${rateLimit?.window} s`, "without a rate limit"),
  };
}

/** What is different about a token, or how it is now where it is not known how it was. @param {any} token @param {Held | null} before */
function updateOf(token, before) {
  if (before?.name === undefined) return [`now ${isolated(token.name)}`, ...boundsOf(token)];
  const all = updatesOf(/** @type {Held & { name: string }} */ (before), token);
  return all.length ? all : ["a new secret"]; // all else that an update changes is to be seen
}

/** What is different about a token's name and bounds. @param {Bounds & { name: string }} before @param {Bounds & { name: string }} token */
export function updatesOf(before, token) {
  const words = boundWords(token);
  const isOther = (/** @type {keyof Bounds} */ member) => JSON.stringify(token[member] ?? null) !== JSON.stringify(before[member] ?? null);
  const changed = /** @type {(keyof Bounds)[]} */ (Object.keys(words)).filter(isOther);
  const renamed = token.name === before.name ? [] : [`renamed from ${isolated(before.name)} to ${isolated(token.name)}`];
  return [...renamed, ...changed.map((member) => `now ${words[member].text}`)];
}

/** What somebody named, which may be written in another direction. @param {string} name */
const isolated = (name) => `\u2068${name}\u2069`;

/** A token's permissions have an effect while its owner holds them. @param {string[]} before @param {string[]} after */
function effectChanges(before, after) {
  const words = (/** @type {string[]} */ ids, /** @type {string[]} */ others, /** @type {string} */ text) => ids.filter((id) => !others.includes(id)).map((id) => `${id} ${text}`);
  return [...words(after, before, "has an effect again"), ...words(before, after, "has no effect any more")];
}

/** Of whom nothing is known: who found a token is not told. @type {Record<string, string>} */
const NOBODY = { "/v1/api-tokens/leaked": "reported by somebody", "/v1/api-tokens/enabled-changed": "as it was leaked" };

/** Who did it. @param {Entry} entry @param {Viewer} viewer @returns {Words} */
export function whoOf({ method, params: { by } }, { userId, sessionId, nameOf }) {
  if (!by) return [NOBODY[method] ?? "by itself"];
  if (by.userId !== userId) return ["by ", { name: by.username }];
  const { kind, id } = by.credential ?? {};
  if (kind === "token") return ["by you, with the token ", { name: nameOf(id) ?? prefixOf(id) }];
  if (kind !== "session") return ["by you"];
  return [id === sessionId ? "by you, in this browser" : "by you, in another session"];
}

/** How a token is recognised whose name is not known. @param {string} id */
export const prefixOf = (id) => `twt_${id}…`;

/** What was known of the subject before each change, as far as the entries tell it. @param {readonly Entry[]} entries newest first
 * @returns {Map<Entry, Held>} */
export function heldBefore(entries) {
  const before = new Map(), now = new Map();
  for (const entry of [...entries].reverse()) {
    const held = entry.params.token ?? entry.params;
    if (!held.permissions) continue;
    if (now.has(entry.tokenId)) before.set(entry, now.get(entry.tokenId));
    now.set(entry.tokenId, { ...now.get(entry.tokenId), ...held });
  }
  return before;
}

/** What a filter looks through: what is shown, with each permission that it is about. @param {Entry} entry @param {Viewer} viewer
 * @param {Held | null} before */
export function textOf(entry, viewer, before) {
  const { tokenId, params } = entry;
  const who = whoOf(entry, viewer).map((part) => (typeof part === "string" ? part : part.name));
  return [titleOf(entry).title, tokenId && `${viewer.nameOf(tokenId) ?? ""} ${prefixOf(tokenId)}`, ...who, detailOf(entry, before, Infinity), params.by?.username]
    .join(" ").toLowerCase();
}
