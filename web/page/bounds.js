// What bounds a token, between the fields that people fill in and what the server takes. Nothing here needs a page.

import { localText } from "./words.js";

const DAY_MS = 86_400_000;

/** What can be edited of a token. @typedef {Pick<import("../client.js").Token, "name" | "expiresAt" | "allowedIps" | "rateLimit">} Editable */
/** What is in the fields. `life`: "" for ever, "at" for a time of its own (`at`), or so many days from now.
 * @typedef {{ name: string, life: string, at: string, addresses: string, requests: string, window: string }} Filled */

/** What fields hold that say what a token has. @param {Editable} token @returns {Filled} */
export function filledOf({ name, expiresAt, allowedIps, rateLimit }) {
  return {
    name, life: expiresAt ? "at" : "", at: expiresAt ? localText(expiresAt) : "", addresses: (allowedIps ?? []).join("\n"),
    requests: String(rateLimit?.requests ?? ""), window: String(rateLimit?.window ?? ""),
  };
}

/** What fields say. @param {Filled} filled @param {number} [now] @returns {Editable} */
export function editableOf({ name, life, at, addresses, requests, window }, now = Date.now()) {
  const listed = addresses.split(/[\s,;]+/).filter(Boolean);
  return {
    name: name.trim(),
    expiresAt: life === "" ? null : new Date(life === "at" ? at : now + Number(life) * DAY_MS).toISOString(),
    allowedIps: listed.length ? listed : null,
    rateLimit: requests || window ? { requests: Number(requests), window: Number(window) } : null,
  };
}

/** Which members' fields hold something else. @param {Filled} before @param {Filled} after */
export function editedMembers(before, after) {
  const differ = (/** @type {(keyof Filled)[]} */ ...fields) => fields.some((field) => before[field] !== after[field]);
  return /** @type {(keyof Editable)[]} */ ([differ("name") && "name", differ("life", "at") && "expiresAt", differ("addresses") && "allowedIps", differ("requests", "window") && "rateLimit"].filter(Boolean));
}

/** What becomes of the fields when somebody else has changed the token: what was edited here stays, the rest follows.
 * @param {Filled} before what they held before anybody edited them @param {Filled} mine @param {Filled} theirs @returns {Filled} */
export function rebased(before, mine, theirs) {
  const members = editedMembers(before, mine);
  const kept = (/** @type {keyof Editable} */ member, /** @type {(keyof Filled)[]} */ ...fields) => Object.fromEntries(members.includes(member) ? fields.map((field) => [field, mine[field]]) : []);
  return { ...theirs, ...kept("name", "name"), ...kept("expiresAt", "life", "at"), ...kept("allowedIps", "addresses"), ...kept("rateLimit", "requests", "window") };
}
