// The dialog that changes a token's name, end, addresses and rate limit. What others change meanwhile arrives in it, and is never
// overwritten unseen: what is saved names the version that was seen.

import { button, h } from "./dom.js";
import { act, announce } from "./actions.js";
import { updatesOf } from "./changes.js";
import { openDialog } from "./dialog.js";
import { FollowedToken } from "./follow-token.js";
import { receiptSentence } from "./receipt.js";
import { TokenFields } from "./token-fields.js";

/** @typedef {import("../client.js").Token} Token */

/** @param {import("./app.js").App} app @param {Token} token @param {(token: Token) => void} changed */
export function editTokenDialog(app, token, changed) {
  const fields = new TokenFields(token);
  const followed = new FollowedToken(app, token, takeIn);
  const save = h("button", { class: "primary", form: "edit-token" }, "Save");
  const form = h("form", { id: "edit-token", class: "stack" }, h("div", { class: "fields" }, fields.usual), fields.unusual);
  const dialog = openDialog({
    title: `Edit “${token.name}”`,
    body: [followed.news, form],
    actions: [button("Cancel", () => dialog.close()), save],
    isUnsaved: () => fields.isEdited,
  });
  dialog.addEventListener("close", () => followed.end());

  /** Somebody else was first, unless it is what was sent from here. @type {import("./follow-token.js").Changed} */
  function takeIn(before, who, isLate) {
    const now = followed.token;
    const theirs = updatesOf(before, now);
    const wasEdited = fields.isEdited;
    fields.rebase(now);
    const isMine = isLate && wasEdited && !fields.isEdited;
    if (theirs.length && !isMine) followed.tellChanges(who, theirs, updatesOf(now, { ...now, ...fields.changes }), () => (fields.reset(), save.focus()));
  }

  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!fields.isEdited) return dialog.close();
    const { changes } = fields;
    const before = followed.token;
    act(app, save, async () => {
      const params = (/** @type {number} */ version) => [token.id, { ...changes, version }];
      const receipt = await followed.save("/v1/api-tokens/update", params, (a, b) => updatesOf(a, b).length > 0);
      if (receipt === null) return;
      changed(followed.token);
      announce(`Saved: ${updatesOf(before, followed.token).join(", ") || "nothing is different"}.${receiptSentence(receipt)}`);
      dialog.close();
    }, {
      explain: (error) => fields.explain(error),
      settle: async () => {
        const { tokens: [now] } = await app.api.call("/v1/api-tokens/read", { id: token.id });
        const is = updatesOf(before, now);
        return is.length ? `The connection is back, and the token was changed: ${is.join(", ")}.` : "The connection is back, and the change was not saved. Try again.";
      },
    });
  });
}
