// The dialog that makes a token: its name, its end, its permissions; then its secret, which is shown this once.

import { button, fill, h, labelled } from "./dom.js";
import { act, copy } from "./actions.js";
import { openDialog } from "./dialog.js";
import { copyable, curlOf, javaScriptOf } from "./snippets.js";
import { whenExactly } from "./words.js";
import "./permission-matrix.js";

const DAY_MS = 86_400_000;
const LIVES = [["Never", ""], ["In 7 days", 7], ["In 30 days", 30], ["In 90 days", 90], ["In a year", 365], ["At …", "at"]];

/** @param {import("./app.js").App} app @param {(token: import("../client.js").Token) => void} created */
export async function createTokenDialog(app, created) {
  const name = h("input", { maxlength: "100", required: true, autocomplete: "off", autofocus: true, dir: "auto" });
  const life = h("select", null, LIVES.map(([text, value]) => h("option", { value: String(value) }, text)));
  const at = h("input", { type: "datetime-local" });
  const atField = labelled("Expires at", at, "In your own time zone.");
  atField.hidden = true;
  life.addEventListener("change", () => {
    atField.hidden = life.value !== "at";
    at.required = !atField.hidden;
  });
  /** @type {import("./permission-matrix.js").PermissionMatrix} */
  const matrix = h("tw-permission-matrix");
  const submit = h("button", { class: "primary", form: "create-token" }, "Create token");
  const form = h("form", { id: "create-token", class: "fields" }, labelled("Name", name, "What it is for: “ci”, “backup of the wiki”."), labelled("Expires", life), atField);
  const dialog = openDialog({
    title: "New token",
    body: [form, h("h3", null, "Permissions"), h("p", { class: "quiet" }, "Of those that you hold. They can be changed at any time."), matrix],
    actions: [button("Cancel", () => dialog.close()), submit],
  });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const started = Date.now();
    const options = { permissions: matrix.changes, expiresAt: expiry(life.value, at.value) };
    act(app, submit, async () => {
      const { token: secret, ...token } = await app.api.call("/v1/api-tokens/create", name.value, options);
      created(token);
      showSecret(dialog, token, secret);
    }, { settle: () => becameOf(app, name.value.trim(), started) });
  });
  await act(app, submit, async () => matrix.show(await heldPermissions(app), []));
}

/** What the user can give: what he holds. @param {import("./app.js").App} app */
export async function heldPermissions(app) {
  return (await app.api.call("/v1/permissions/read")).filter((/** @type {any} */ { id }) => app.holds(id));
}

/** @param {string} life @param {string} at */
function expiry(life, at) {
  if (life === "") return undefined;
  return (life === "at" ? new Date(at) : new Date(Date.now() + Number(life) * DAY_MS)).toISOString();
}

/** What became of a create whose answer was lost. @param {import("./app.js").App} app @param {string} name @param {number} started */
async function becameOf(app, name, started) {
  const { tokens } = await app.api.call("/v1/api-tokens/read", { where: { name }, limit: 1 });
  const slack = 60_000; // between the clocks
  if (tokens.length && Date.parse(tokens[0].createdAt) >= started - slack) {
    return `“${name}” was created, but its secret was lost with the connection: delete it, and create another.`;
  }
  return `“${name}” was not created. Try again.`;
}

/** Turns the dialog into one that shows the secret, which is nowhere else in the page.
 * @param {HTMLDialogElement} dialog @param {import("../client.js").Token} token @param {string} secret */
function showSecret(dialog, token, secret) {
  let isCopied = false;
  const copied = (/** @type {boolean} */ done) => (isCopied ||= done);
  const done = button("Done", () => close());
  const warning = h("div", { class: "notice", hidden: true, role: "alert" });
  const mayClose = () => {
    if (isCopied) return true;
    if (warning.hidden) {
      warning.hidden = false;
      fill(warning, h("p", null, "You have not copied the secret, and it will not be shown again."),
        h("div", { class: "row" }, button("Close without it", () => dialog.close(), { class: "danger" })));
    }
    return false;
  };
  const close = () => mayClose() && dialog.close();
  const hold = (/** @type {any} */ event) => (event.key === undefined || event.key === "Escape") && !mayClose() && event.preventDefault();
  dialog.addEventListener("cancel", hold);
  dialog.addEventListener("keydown", hold);
  dialog.addEventListener("close", () => fill(dialog)); // the secret is nowhere any more
  const field = h("input", { readonly: true, value: secret, spellcheck: "false", autocomplete: "off", class: "secret", onfocus: () => field.select(), oncopy: () => copied(true) });
  const copySecret = button("Copy", async () => copied(await copy(copySecret, secret)), { class: "primary", "aria-label": "Copy the secret" });
  const [title, toasts] = ["h2", ".toasts"].map((part) => /** @type {Element} */ (dialog.querySelector(part)));
  title.textContent = `“${token.name}” was created`;
  fill(dialog, title, h("p", null, "This is its secret. Copy it now: it is shown only this once."),
    h("div", { class: "copyable" }, labelled("Secret", field), copySecret),
    h("p", { class: "quiet" }, token.expiresAt ? `It is good until ${whenExactly(token.expiresAt)}.` : "It is good until it is switched off or deleted."),
    h("details", null, h("summary", null, "Use it"), copyable("curl", curlOf("/v1/session/read", [], secret), copied),
      copyable("JavaScript", javaScriptOf("/v1/session/read", [], secret), copied)),
    warning, h("p", { class: "problem", role: "alert" }), h("div", { class: "row end" }, done), toasts);
  field.focus();
}
