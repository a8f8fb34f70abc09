// The dialog that makes a token: its name, its end, its permissions; then its secret, which is shown this once.

import { button, h } from "./dom.js";
import { act, announce } from "./actions.js";
import { openDialog } from "./dialog.js";
import { goodUntil, showSecret } from "./secret.js";
import { TokenFields } from "./token-fields.js";
import "./permission-matrix.js";

/** @param {import("./app.js").App} app @param {(token: import("../client.js").Token) => void} created */
export async function createTokenDialog(app, created) {
  const fields = new TokenFields();
  /** @type {import("./permission-matrix.js").PermissionMatrix} */
  const matrix = h("tw-permission-matrix");
  const submit = h("button", { class: "primary", form: "create-token" }, "Create token");
  const form = h("form", { id: "create-token", class: "stack" }, h("div", { class: "fields" }, fields.usual),
    h("details", null, h("summary", null, "Addresses and rate limit"), h("div", { class: "stack" }, fields.unusual)));
  const dialog = openDialog({
    title: "New token",
    body: [form, h("h3", null, "Permissions"), h("p", { class: "quiet" }, "Of those that you hold. They can be changed at any time."), matrix],
    actions: [button("Cancel", () => dialog.close()), submit],
    isUnsaved: () => form.isConnected && (fields.isEdited || Object.keys(matrix.changes).length > 0),
  });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    /** @type {string | undefined} */ let before;
    const { name, ...bounds } = fields.value;
    act(app, submit, async () => {
      before = await newestNamed(app, name);
      const { token: secret, ...token } = await app.api.call("/v1/api-tokens/create", name, { permissions: matrix.changes, ...bounds });
      created(token);
      if (dialog.open) showSecret(dialog, { title: `“${token.name}” was created`, secret, lines: [goodUntil(token.expiresAt)], unseen: unseen(token.name) });
      else announce(unseen(token.name));
    }, {
      explain: (error) => fields.explain(error),
      settle: async () => {
        const now = await newestNamed(app, name);
        return now === before ? `“${name}” was not created. Try again.` : unseen(name);
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

/** The newest token of that name, by its id: a create whose answer was lost has made another one, or has not.
 * @param {import("./app.js").App} app @param {string} name @returns {Promise<string | undefined>} */
async function newestNamed(app, name) {
  return (await app.api.call("/v1/api-tokens/read", { where: { name }, limit: 1 })).tokens[0]?.id;
}

/** @param {string} name */
const unseen = (name) => `“${name}” was created, but nobody has its secret, which cannot be shown again: delete it, and create another.`;
