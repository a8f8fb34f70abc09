// The secret of a token, which is shown once: after it was made, and after it was rotated.

import { button, fill, h, labelled } from "./dom.js";
import { announce, copy } from "./actions.js";
import { copyable, curlOf, javaScriptOf } from "./snippets.js";
import { whenExactly } from "./words.js";

/** Turns a dialog into one that shows a secret, which is nowhere else in the page.
 * @param {HTMLDialogElement} dialog @param {{ title: string, secret: string, lines: string[], unseen: string }} shown
 * `lines`: what there is to say of it; `unseen`: what is said if nobody has copied it */
export function showSecret(dialog, { title: text, secret, lines, unseen }) {
  let isCopied = false; // or one does not want it
  const warning = h("div", { class: "notice", hidden: true, role: "alert" });
  const copied = (/** @type {boolean} */ done) => (isCopied ||= done) && (warning.hidden = true);
  const done = button("Done", () => close());
  const mayClose = () => {
    if (isCopied) return true;
    if (warning.hidden) {
      warning.hidden = false;
      fill(warning, h("p", null, "You have not copied the secret, and it will not be shown again."),
        h("div", { class: "row" }, button("Close without it", () => (isCopied = true) && dialog.close(), { class: "danger" })));
    }
    return false;
  };
  const close = () => mayClose() && dialog.close();
  const hold = (/** @type {any} */ event) => (event.key === undefined || event.key === "Escape") && !mayClose() && event.preventDefault();
  dialog.addEventListener("cancel", hold);
  dialog.addEventListener("keydown", hold);
  dialog.addEventListener("close", () => {
    fill(dialog); // the secret is nowhere any more
    if (!isCopied) announce(unseen); // one has gone elsewhere with it open
  });
  const field = h("input", { readonly: true, value: secret, spellcheck: "false", autocomplete: "off", class: "secret", onfocus: () => (field.select(), (field.scrollLeft = 0)), oncopy: () => copied(true) });
  const copySecret = button("Copy", async () => copied(await copy(copySecret, secret)), { class: "primary", "aria-label": "Copy the secret" });
  const [title, toasts] = ["h2", ".toasts"].map((part) => /** @type {Element} */ (dialog.querySelector(part)));
  title.textContent = text;
  fill(dialog, title, h("p", null, "This is its secret. Copy it now: it is shown only this once."),
    h("div", { class: "copyable" }, labelled("Secret", field), copySecret),
    lines.map((line) => h("p", { class: "quiet" }, line)),
    h("details", null, h("summary", null, "Use it"), copyable("curl", curlOf("/v1/session/read", [], secret), copied),
      copyable("JavaScript, in a browser", javaScriptOf("/v1/session/read", [], secret), copied)),
    warning, h("p", { class: "problem", role: "alert" }), h("div", { class: "row end" }, done), toasts);
  field.focus();
}

/** @param {string | null} expiresAt of its token */
export const goodUntil = (expiresAt) => (expiresAt ? `It is good until ${whenExactly(expiresAt)}.` : "It is good until it is switched off or deleted.");
