// What the page says: of errors, ends and times.

const REASONS = {
  "signed-out": "You have signed out in another window.",
  "password-changed": "The password was changed, which ended this session. Sign in with the new one.",
  "session-deleted": "This session was ended from elsewhere.",
  "user-disabled": "This user was switched off.",
  "user-deleted": "This user was deleted.",
  expired: "The session has expired. Sign in again.",
};

const UNKNOWN = "The connection broke before the answer came. The list shows what took effect. "
  + "The secret of a token that was created then is lost: delete it and create another.";

/** Why the sign-in form is there. @param {string} [reason] of the session's end */
export const reasonOf = (reason) => REASONS[reason] ?? "The session has ended. Sign in again.";

/** What went wrong, for people. @param {any} error @param {string} [where] "sign-in" */
export function problemOf(error, where) {
  if (error.code === 429) return `Too many attempts. Try again in ${duration(error.data?.retryAfterMs)}.`;
  if (error.code === 401 && where === "sign-in") return "Wrong username or password.";
  if (where === "sign-in" && typeof error.code !== "number") return "Tokenwire cannot be reached. Try again shortly.";
  if (error.code === "ended") return ""; // the sign-in form says why
  if (error.data?.outcome === "unknown") return UNKNOWN;
  if (error.data?.outcome === "not-sent") return "There is no connection, and nothing was sent. Try again.";
  if (typeof error.code !== "number") return "Tokenwire cannot be reached. Try again shortly.";
  return `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.`;
}

/** @param {number} [ms] */
export function duration(ms = 1_000) {
  const seconds = Math.max(1, Math.ceil(ms / 1_000));
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

const format = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** @param {import("./client.js").Token} token */
export function timesOf({ createdAt, lastUsedAt, expiresAt }) {
  const time = (/** @type {string} */ text) => format.format(new Date(text));
  const words = [`Created ${time(createdAt)}`, lastUsedAt ? `last used ${time(lastUsedAt)}` : "never used"];
  if (expiresAt) words.push(`${Date.parse(expiresAt) < Date.now() ? "expired" : "expires"} ${time(expiresAt)}`);
  return words.join(" · ");
}
