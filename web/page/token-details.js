// The dialog about a token: what bounds it, how it was used, and what else can be done with it.

import { button, fill, h, setText } from "./dom.js";
import { act } from "./actions.js";
import { boundWords } from "./changes.js";
import { openDialog } from "./dialog.js";
import { FollowedToken } from "./follow-token.js";
import { UsageView } from "./usage.js";
import { isExpired, when } from "./words.js";

const REREAD_MS = 15_000; // no notification tells of use

/** @typedef {import("../client.js").Token} Token */

/** @param {import("./app.js").App} app @param {Token} token @param {(token: Token) => void} changed */
export function tokenDialog(app, token, changed) {
  const facts = h("dl", { class: "facts" });
  const usage = new UsageView();
  const followed = new FollowedToken(app, token, () => (show(), read()));
  const take = (/** @type {Token} */ now) => {
    changed((followed.token = now));
    show();
  };
  const edit = button("Edit", () => act(app, edit, async () => (await import("./edit-token.js")).editTokenDialog(app, followed.token, take)));
  const rotate = button("Rotate", () => act(app, rotate, async () => void (await import("./rotate-token.js")).rotateTokenDialog(app, followed.token, take)));
  const dialog = openDialog({
    title: `“${token.name}”`,
    body: [followed.news, facts, h("div", { class: "row" }, edit, rotate), usage.element],
    actions: [button("Done", () => dialog.close())],
  });

  function show() {
    const { name } = followed.token;
    setText(/** @type {Element} */ (dialog.querySelector("h2")), `“${name}”`);
    fill(facts, factsOf(followed.token).map(([what, value]) => h("div", null, h("dt", null, what), h("dd", null, value))));
  }

  const read = () => usage.read(app, followed.token);
  const timer = setInterval(() => document.visibilityState === "visible" && app.api.state === "live" && (show(), read()), REREAD_MS); // an end may have come
  const leave = app.api.on("/v1/api-tokens/expired", () => (show(), read()));
  dialog.addEventListener("close", () => (followed.end(), leave(), clearInterval(timer)));
  show();
  read();
}

/** What is still good beside its secret. @param {Token} token @returns {[string, any][]} */
function previousOf({ previousUntil }) {
  return previousUntil && !isExpired({ expiresAt: previousUntil }) ? [["Previous secret", `Works until ${when(previousUntil)}`]] : [];
}

/** @param {Token} token @returns {[string, any][]} */
function factsOf(token) {
  const { expiresAt, allowedIps, rateLimit } = boundWords(token);
  const upper = (/** @type {string} */ text) => `${text[0].toUpperCase()}${text.slice(1)}`;
  return [
    ["Secret", h("code", null, `${token.prefix}…`)], ...previousOf(token), ["State", isExpired(token) ? "Expired" : token.enabled ? "On" : "Off"],
    ["Created", when(token.createdAt)], ["Last changed", when(token.updatedAt)],
    ["Good", `${upper(expiresAt.text)}, ${allowedIps.text}`], ["Rate limit", upper(rateLimit.text)],
  ];
}
