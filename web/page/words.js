// What the page says: of errors, ends, times and changes.

/** @type {Record<string, string>} */
const REASONS = {
  "signed-out": "You have signed out in another window.",
  "password-changed": "The password was changed, which ended this session. Sign in with the new one.",
  "session-deleted": "This session was ended from elsewhere.",
  "user-disabled": "This user was switched off. An administrator can switch it on again.",
  "user-deleted": "This user was deleted.",
  expired: "The session has expired. Sign in again.",
};

export const OFFLINE = "There is no connection just now, so nothing was sent. Try again when it is live.";
const UNKNOWN = "The connection broke before the answer came. Whether it took effect is not known yet.";

/** Why the sign-in form is there. @param {string} [reason] of the session's end */
export const reasonOf = (reason) => REASONS[reason ?? ""] ?? "The session has ended. Sign in again.";

/** What went wrong, for people. @param {any} error @param {string} [where] "sign-in" */
export function problemOf(error, where) {
  if (error.code === 429) return `Too many attempts. Try again in ${duration(error.data?.retryAfterMs)}.`;
  if (error.code === 401 && where === "sign-in") return "Wrong username or password.";
  if (where === "sign-in" && typeof error.code !== "number") return "Tokenwire cannot be reached. Try again shortly.";
  if (error.code === "ended") return ""; // the sign-in form says why
  if (error.data?.outcome === "unknown") return UNKNOWN;
  if (error.data?.outcome === "not-sent") return OFFLINE;
  if (typeof error.code !== "number") return "Tokenwire cannot be reached. Try again shortly.";
  return sentence(error.message) + (NEXT[error.code]?.(error.data ?? {}) ?? "");
}

/** What to do next, where the server's message does not say it. @type {Record<string | number, (data: any) => string>} */
const NEXT = {
  403: ({ permission }) => (permission ? " Ask an administrator for it." : ""),
  404: () => " It may have been deleted meanwhile.",
  [-32603]: ({ requestId }) => (requestId ? ` The id to look for is ${requestId}.` : ""),
};

/** @param {string} text */
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** @param {number} [ms] */
export function duration(ms = 1_000) {
  const seconds = Math.max(1, Math.ceil(ms / 1_000));
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${number.format(n)} ${n === 1 ? one : many}`;

const number = new Intl.NumberFormat("en");
const dateAndTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const precisely = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A time, to the minute. @param {string | number | Date} time */
export const when = (time) => dateAndTime.format(new Date(time));
/** A time, to the second. @param {string | number | Date} time */
export const whenExactly = (time) => precisely.format(new Date(time));

/** A time of a day. @param {string | number | Date} time */
export const timeOfDay = (time) => clock.format(new Date(time));
/** A day, by how people call it. @param {string | number | Date} time @param {number} [now] */
export function dayOf(time, now = Date.now()) {
  const midnight = (/** @type {string | number | Date} */ at) => new Date(at).setHours(0, 0, 0, 0);
  const daysAgo = Math.round((midnight(now) - midnight(time)) / DAY_MS); // days of 23 and 25 hours, too
  return ["Today", "Yesterday"][daysAgo] ?? fullDay.format(new Date(time));
}

/** A time as an input for local times takes it; "" for what is none. @param {string} time RFC 3339 */
export function localText(time) {
  const at = new Date(time);
  if (!/^\d{4}-\d\d-\d\d[Tt]/.test(time) || Number.isNaN(at.getTime())) return "";
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, at.getMilliseconds() ? 23 : 19);
}

/** How long ago that is. @param {string} time @param {number} [now] */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(0, now - Date.parse(time)) / 1_000; // clocks differ
  if (seconds < 10) return "just now";
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? UNITS[UNITS.length - 1];
  return relative.format(-Math.floor(seconds / length), unit);
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} in seconds */
const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const DAY_MS = 86_400_000;
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const fullDay = new Intl.DateTimeFormat("en-GB", { dateStyle: "full" });
const relative = new Intl.RelativeTimeFormat("en");

let skew = 0; // of the server's clock before this one's
/** Takes in what time it is at the server, which decides what has expired. @param {string} time */
export const hearTime = (time) => void (skew = Date.parse(time) - Date.now());

/** @param {{ expiresAt: string | null }} token */
export const isExpired = ({ expiresAt }) => expiresAt !== null && Date.parse(expiresAt) <= Date.now() + skew;

/** @param {import("../client.js").Token} token */
export function timesOf(token) {
  const words = [`Created ${when(token.createdAt)}`, usedOf(token)];
  if (token.expiresAt) words.push(`${isExpired(token) ? "expired" : "expires"} ${when(token.expiresAt)}`);
  return words.join(" · ");
}

/** @param {import("../client.js").Token} token */
export const usedOf = ({ lastUsedAt }) => (lastUsedAt ? `last used ${when(lastUsedAt)}` : "never used");

/** What differs between two sets of permissions. @param {Record<string, any>} before @param {Record<string, any>} after */
export function permissionChanges(before, after) {
  const ids = new Set([...Object.keys(before), ...Object.keys(after)]);
  return givenAndTaken(Object.fromEntries([...ids].filter((id) => Boolean(before[id]) !== Boolean(after[id])).map((id) => [id, Boolean(after[id])])));
}

/** @param {Record<string, boolean>} changes */
export const givenAndTaken = (changes) => Object.entries(changes).map(([id, on]) => `${id} ${on ? "given" : "taken away"}`);
