// What a change of the feed says to people: what happened, to which token, and by whom. Nothing here needs a page.

import { permissionChanges, when } from "./words.js";

/** @typedef {import("./feed.js").Entry} Entry */
/** A sentence's parts: what somebody named stands apart, as it may be written in another direction.
 * @typedef {(string | { name: string })[]} Words */
/** What a subject had before a change. @typedef {{ permissions: Record<string, any>, effectivePermissions?: string[] }} Held */
/** Who looks at it. @typedef {{ userId?: string, sessionId?: string | null, nameOf: (tokenId: string) => string | undefined }} Viewer */

const NAMED = 10; // permissions that are named; the rest is counted

/** The kinds to choose from, by what the filter calls them. @type {Record<string, string>} */
export const KINDS = { "": "All changes", created: "Created", deleted: "Deleted", enabled: "Switched on or off", permissions: "Permissions" };

/** @param {Entry} entry @returns {{ kind: string, title: string, look: "good" | "wait" | "bad" | "" }} */
export function titleOf({ method, params }) {
  switch (method) {
    case "/v1/api-tokens/created": return { kind: "created", title: "Created", look: "good" };
    case "/v1/api-tokens/deleted": return { kind: "deleted", title: "Deleted", look: "bad" };
    case "/v1/api-tokens/enabled-changed":
      return { kind: "enabled", title: params.enabled ? "Switched on" : "Switched off", look: params.enabled ? "good" : "wait" };
    case "/v1/api-tokens/permissions-changed": return { kind: "permissions", title: "Permissions", look: "" };
    case "/v1/session/permissions-changed": return { kind: "permissions", title: "Your permissions", look: "" };
    default: return { kind: "", title: "Changed", look: "" };
  }
}

/** What there is to say of it beside its title. @param {Entry} entry @param {Held | null} before as far as that is known
 * @param {number} [most] permissions that are named */
export function detailOf({ method, params }, before, most = NAMED) {
  const { permissions, effectivePermissions = [], expiresAt } = params.token ?? params;
  if (!permissions) return "";
  const idle = Object.keys(permissions).filter((id) => !effectivePermissions.includes(id));
  const all = listed(Object.keys(permissions).sort().map((id) => (idle.includes(id) ? `${id} (no effect: not held)` : id)), most);
  if (method === "/v1/api-tokens/created") return `${all ? `with ${all}` : "without permissions"}${expiresAt ? `, until ${when(expiresAt)}` : ""}`;
  const changes = before ? permissionChanges(before.permissions, permissions) : [];
  const effects = before ? effectChanges(before.effectivePermissions ?? [], effectivePermissions) : [];
  return listed(changes.length ? changes : effects, most) || (all ? `now ${all}` : "now none");
}

/** @param {string[]} texts @param {number} most */
const listed = (texts, most) => texts.slice(0, most).join(", ") + (texts.length > most ? ` and ${texts.length - most} more` : "");

/** A token's permissions have an effect while its owner holds them. @param {string[]} before @param {string[]} after */
function effectChanges(before, after) {
  const words = (/** @type {string[]} */ ids, /** @type {string[]} */ others, /** @type {string} */ text) => ids.filter((id) => !others.includes(id)).map((id) => `${id} ${text}`);
  return [...words(after, before, "has an effect again"), ...words(before, after, "has no effect any more")];
}

/** Who did it. @param {Entry} entry @param {Viewer} viewer @returns {Words} */
export function whoOf({ params: { by } }, { userId, sessionId, nameOf }) {
  if (!by) return ["by itself"];
  if (by.userId !== userId) return ["by ", { name: by.username }];
  const { kind, id } = by.credential ?? {};
  if (kind === "token") return ["by you, with the token ", { name: nameOf(id) ?? prefixOf(id) }];
  if (kind !== "session") return ["by you"];
  return [id === sessionId ? "by you, in this browser" : "by you, in another session"];
}

/** How a token is recognised whose name is not known. @param {string} id */
export const prefixOf = (id) => `twt_${id}…`;

/** What was known before each change of permissions, as far as the entries tell it. @param {readonly Entry[]} entries newest first
 * @returns {Map<Entry, Held>} */
export function heldBefore(entries) {
  const before = new Map(), now = new Map();
  for (const entry of [...entries].reverse()) {
    const held = entry.params.token ?? entry.params;
    if (!held.permissions) continue;
    if (now.has(entry.tokenId)) before.set(entry, now.get(entry.tokenId));
    now.set(entry.tokenId, held);
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
