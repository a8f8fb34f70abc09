// The dialog that makes a token: its name, its end, its permissions; then its secret, which is shown this once.

import { button, fill, h, labelled } from "./dom.js";
import { act, announce, copy } from "./actions.js";
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
    isUnsaved: () => form.isConnected && (name.value !== "" || Object.keys(matrix.changes).length > 0),
  });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    /** @type {string | undefined} */ let before;
    const options = { permissions: matrix.changes, expiresAt: expiry(life.value, at.value) };
    act(app, submit, async () => {
      before = await newestNamed(app, name.value);
      const { token: secret, ...token } = await app.api.call("/v1/api-tokens/create", name.value, options);
      created(token);
      if (dialog.open) showSecret(dialog, token, secret);
      else announce(unseen(token.name));
    }, {
      explain: (error) => (error.data?.param === "options.expiresAt" ? "It must expire in the future." : undefined),
      settle: async () => {
        const now = await newestNamed(app, name.value);
        return now === before ? `“${name.value.trim()}” was not created. Try again.` : unseen(name.value.trim());
      },
    });
  });
  const load = async () => matrix.show(await heldPermissions(app), []);
  const leave = app.api.on("/v1/session/permissions-changed", () => load().catch(() => {})); // what one can give is another by now
  dialog.addEventListener("close", leave);
  await act(app, matrix, load);
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

/** The newest token of that name, by its id: a create whose answer was lost has made another one, or has not.
 * @param {import("./app.js").App} app @param {string} name @returns {Promise<string | undefined>} */
async function newestNamed(app, name) {
  return (await app.api.call("/v1/api-tokens/read", { where: { name: name.trim() }, limit: 1 })).tokens[0]?.id;
}

/** @param {string} name */
const unseen = (name) => `“${name}” was created, but nobody has its secret, which cannot be shown again: delete it, and create another.`;

/** Turns the dialog into one that shows the secret, which is nowhere else in the page.
 * @param {HTMLDialogElement} dialog @param {import("../client.js").Token} token @param {string} secret */
function showSecret(dialog, token, secret) {
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
    if (!isCopied) announce(unseen(token.name)); // one has gone elsewhere with it open
  });
  const field = h("input", { readonly: true, value: secret, spellcheck: "false", autocomplete: "off", class: "secret", onfocus: () => (field.select(), (field.scrollLeft = 0)), oncopy: () => copied(true) });
  const copySecret = button("Copy", async () => copied(await copy(copySecret, secret)), { class: "primary", "aria-label": "Copy the secret" });
  const [title, toasts] = ["h2", ".toasts"].map((part) => /** @type {Element} */ (dialog.querySelector(part)));
  title.textContent = `“${token.name}” was created`;
  fill(dialog, title, h("p", null, "This is its secret. Copy it now: it is shown only this once."),
    h("div", { class: "copyable" }, labelled("Secret", field), copySecret),
    h("p", { class: "quiet" }, token.expiresAt ? `It is good until ${whenExactly(token.expiresAt)}.` : "It is good until it is switched off or deleted."),
    h("details", null, h("summary", null, "Use it"), copyable("curl", curlOf("/v1/session/read", [], secret), copied),
      copyable("JavaScript, in a browser", javaScriptOf("/v1/session/read", [], secret), copied)),
    warning, h("p", { class: "problem", role: "alert" }), h("div", { class: "row end" }, done), toasts);
  field.focus();
}
