// The dialog that changes a token's permissions. Changes that others make meanwhile arrive in it, and are never overwritten
// unseen: what is saved names the version that was seen.

import { button, h } from "./dom.js";
import { act, announce } from "./actions.js";
import { openDialog } from "./dialog.js";
import { FollowedToken } from "./follow-token.js";
import { receiptSentence } from "./receipt.js";
import { givenAndTaken, permissionChanges } from "./words.js";
import "./permission-matrix.js";

/** @typedef {import("../client.js").Token} Token */

/** @param {import("./app.js").App} app @param {Token} token @param {(token: Token) => void} changed */
export async function editPermissionsDialog(app, token, changed) {
  /** @type {import("./permission-matrix.js").PermissionMatrix} */
  const matrix = h("tw-permission-matrix");
  const save = button("Save", () => saveChanges(), { class: "primary" });
  const followed = new FollowedToken(app, token, takeIn);
  const dialog = openDialog({
    title: `Permissions of “${token.name}”`,
    body: [followed.news, matrix],
    actions: [button("Cancel", () => dialog.close()), save],
    isUnsaved: () => Object.keys(matrix.changes).length > 0,
  });
  const leaveMine = app.api.on("/v1/session/permissions-changed", () => load().catch(() => {})); // what one can give is another by now
  dialog.addEventListener("close", () => (followed.end(), leaveMine()));

  /** What can be chosen: what the owner holds, and what the token has beside it. */
  async function load() {
    const held = await app.api.call("/v1/api-tokens/get-permissions", token.id);
    const { permissions } = followed.token;
    const idle = Object.keys(permissions).filter((id) => !held.some((/** @type {any} */ item) => item.id === id));
    matrix.show([...held, ...idle.map((id) => ({ id, idle: true }))], Object.keys(permissions));
  }

  /** Somebody else was first, unless it is what was sent from here. @type {import("./follow-token.js").Changed} */
  function takeIn({ permissions: before }, who, isLate) {
    const { permissions } = followed.token;
    const theirs = permissionChanges(before, permissions);
    const mine = Object.keys(matrix.changes);
    matrix.rebase(Object.keys(permissions));
    const left = matrix.changes;
    const isMine = isLate && mine.length > 0 && !Object.keys(left).length;
    if (!theirs.length || isMine) return;
    load().catch(() => {}); // what was given may not be there to choose yet
    followed.tellChanges(who, theirs, mine.some((id) => id in left) ? givenAndTaken(left) : [], () => (matrix.reset(), save.focus()));
  }

  function saveChanges() {
    const { changes } = matrix;
    if (!Object.keys(changes).length) return dialog.close();
    return act(app, save, async () => {
      const params = (/** @type {number} */ version) => [token.id, changes, { version }];
      const receipt = await followed.save("/v1/api-tokens/update-permissions", params, (a, b) => permissionChanges(a.permissions, b.permissions).length > 0);
      if (receipt === null) return;
      changed(followed.token);
      announce(`Saved: ${givenAndTaken(changes).join(", ")}.${receiptSentence(receipt)}`);
      dialog.close();
    }, { settle: async () => {
      const { tokens: [now] } = await app.api.call("/v1/api-tokens/read", { id: token.id });
      const isDone = Object.entries(changes).every(([id, on]) => Boolean(now.permissions[id]) === on);
      return isDone ? "The connection is back, and the change was saved." : "The connection is back, and the change was not saved. Try again.";
    } });
  }

  await act(app, matrix, load);
}
