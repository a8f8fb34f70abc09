// The dialog that changes a user's permissions. Only what was changed in it is saved: what others change meanwhile stays.

import { button, fill, h } from "./dom.js";
import { act, announce } from "./actions.js";
import { openDialog } from "./dialog.js";
import { receipted, receiptSentence } from "./receipt.js";
import { lastAdministrator, readUser } from "./user-dialogs.js";
import "./permission-matrix.js";

/** @typedef {import("./user-dialogs.js").User} User */

/** @param {import("./app.js").App} app @param {User} user @param {(user: User) => void} changed */
export async function userPermissionsDialog(app, { id, username }, changed) {
  const isMe = id === app.user?.id;
  const warning = h("div", { class: "notice near", role: "status", hidden: true });
  /** @type {import("./permission-matrix.js").PermissionMatrix} */
  const matrix = h("tw-permission-matrix", { onchange: () => warn() });
  const save = button("Save", () => saveChanges(), { class: "primary" });
  const dialog = openDialog({ title: `Permissions of “${username}”`, body: [matrix, warning], actions: [button("Cancel", () => dialog.close()), save],
    isUnsaved: () => Object.keys(matrix.changes).length > 0 });

  /** Of what one is about to take from oneself. */
  function warn() {
    const lost = Object.entries(matrix.changes).filter(([, on]) => !on).map(([permission]) => permission);
    warning.hidden = !isMe || !lost.length;
    if (warning.hidden) return;
    fill(warning, h("p", null, `You are taking this from yourself, and from your tokens: ${lost.join(", ")}. Only somebody who holds it can give it back.`),
      lost.includes("admin") && h("p", null, "Without admin you can no longer see users and permissions."));
  }

  function saveChanges() {
    const { changes } = matrix;
    if (!Object.keys(changes).length) return dialog.close();
    return act(app, save, async () => {
      const { result, receipt } = await receipted(app, "/v1/users/update-permissions", [id, changes]);
      changed(result);
      announce(`The permissions of “${username}” were saved.${receiptSentence(receipt)}`);
      dialog.close();
    }, {
      explain: changes.admin === false ? lastAdministrator(username) : undefined,
      settle: async () => {
        const now = await readUser(app, id);
        if (!now) return `The connection is back, and “${username}” has been deleted.`;
        const isDone = Object.entries(changes).every(([permission, on]) => Boolean(now.permissions[permission]) === on);
        return isDone ? "The connection is back, and the change was saved." : "The connection is back, and the change was not saved. Try again.";
      },
    });
  }

  await act(app, matrix, async () => {
    const all = await app.api.call("/v1/users/get-permissions", id);
    matrix.show(all.map((/** @type {any} */ item) => (app.holds(item.id) ? item : foreign(item))), all.filter((/** @type {any} */ { enabled }) => enabled).map((/** @type {any} */ item) => item.id));
  });
}

/** What the one who chooses does not hold himself. @param {{ id: string, name: string, description: string, enabled: boolean }} item */
const foreign = (item) => ({ ...item, idle: true, description: item.enabled
  ? `${item.description} You do not hold it: you can take it away, but not give it back.`.trim() : `${item.description} You do not hold it, so you cannot give it.`.trim() });
