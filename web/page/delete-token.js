// The dialogs that delete tokens: they say what will break, and do it at the second click.

import { h } from "./dom.js";
import { act, announce } from "./actions.js";
import { confirmDialog } from "./dialog.js";
import { receipted, receiptSentence } from "./receipt.js";
import { count, usedOf } from "./words.js";

const NAMED = 10; // tokens that are named; the rest is counted

/** @typedef {import("../client.js").Token} Token */

/** @param {import("./app.js").App} app @param {Token} token @param {() => void} deleted */
export async function deleteTokenDialog(app, token, deleted) {
  const uses = h("li", null, "Looking for its connections…");
  const dialog = confirmDialog({
    title: `Delete “${token.name}”?`,
    body: [
      h("p", null, "It stops working at once, for good. Switching it off does the same and can be taken back."),
      h("ul", { class: "facts", role: "list" }, h("li", null, h("code", null, `${token.prefix}…`), `, ${usedOf(token)}`), uses,
        h("li", null, `${count(Object.keys(token.permissions).length, "permission")}`)),
    ],
    verb: "Delete",
    work: (button) => act(app, button, async () => {
      const { receipt } = await receipted(app, "/v1/api-tokens/delete", [token.id]);
      announce(`“${token.name}” was deleted.${receiptSentence(receipt, "gone")}`);
      deleted();
    }, { settle: () => isStillThere(app, token) }),
  });
  try {
    const { connections } = await app.api.call("/v1/api-tokens/get-connections", token.id);
    uses.textContent = connections ? `${count(connections, "connection")} of it will be closed.` : "It has no connections now.";
  } catch {
    uses.textContent = "How many connections it has now is not known.";
  }
  return dialog;
}

/** @param {import("./app.js").App} app @param {Token} token */
async function isStillThere(app, { id, name }) {
  try {
    await app.api.call("/v1/api-tokens/read", { id });
    return `The connection is back, and “${name}” was not deleted. Try again.`;
  } catch (/** @type {any} */ error) {
    if (error.code !== 404) throw error;
    return `The connection is back, and “${name}” was deleted.`;
  }
}

/** @param {Token[]} tokens @param {() => void} confirmed */
export function deleteTokensDialog(tokens, confirmed) {
  const names = tokens.slice(0, NAMED).map(({ name }) => h("li", { dir: "auto" }, name));
  return confirmDialog({
    title: `Delete ${count(tokens.length, "token")}?`,
    body: [
      h("p", null, "They stop working at once, for good. Switching them off does the same and can be taken back."),
      h("ul", { class: "facts", role: "list" }, names, tokens.length > NAMED && h("li", { class: "quiet" }, `and ${tokens.length - NAMED} more`)),
    ],
    verb: `Delete ${count(tokens.length, "token")}`,
    work: async () => (confirmed(), true),
  });
}
