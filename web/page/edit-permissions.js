// The dialog that changes a token's permissions. Changes that others make meanwhile arrive in it, and are never overwritten
// unseen: what is saved names the version that was seen.

import { button, fill, h } from "./dom.js";
import { act, announce } from "./actions.js";
import { openDialog } from "./dialog.js";
import { givenAndTaken, permissionChanges, whenExactly } from "./words.js";
import "./permission-matrix.js";

const CONFLICT = 409;

/** @typedef {import("../client.js").Token} Token */

/** @param {import("./app.js").App} app @param {Token} token @param {(token: Token) => void} changed */
export async function editPermissionsDialog(app, token, changed) {
  let current = token;
  /** @type {import("./permission-matrix.js").PermissionMatrix} */
  const matrix = h("tw-permission-matrix");
  const news = h("div", { class: "notice", role: "status", hidden: true });
  const save = button("Save", () => saveChanges(), { class: "primary" });
  const dialog = openDialog({
    title: `Permissions of “${token.name}”`,
    body: [news, matrix],
    actions: [button("Cancel", () => dialog.close()), save],
    isUnsaved: () => Object.keys(matrix.changes).length > 0,
  });
  const leave = followToken(app, token.id, (what, params) => {
    if (what === "deleted") return tell([`${byWhom(app, params)} deleted this token ${at(params)}. There is nothing left to save.`], []);
    if (params.version >= current.version) takeIn({ ...current, ...params }, `${byWhom(app, params)} changed this token ${at(params)}`);
  });
  const leaveMine = app.api.on("/v1/session/permissions-changed", () => load().catch(() => {})); // what one can give is another by now
  dialog.addEventListener("close", () => (leave(), leaveMine()));

  /** What can be chosen: what the owner holds, and what the token has beside it. */
  async function load() {
    const held = await app.api.call("/v1/api-tokens/get-permissions", token.id);
    const idle = Object.keys(current.permissions).filter((id) => !held.some((/** @type {any} */ item) => item.id === id));
    matrix.show([...held, ...idle.map((id) => ({ id, idle: true }))], Object.keys(current.permissions));
  }

  /** Somebody else was first. @param {Token} now @param {string} who */
  function takeIn(now, who) {
    const theirs = permissionChanges(current.permissions, now.permissions);
    const mine = matrix.changes;
    current = now;
    matrix.rebase(Object.keys(now.permissions));
    if (!theirs.length) return;
    load().catch(() => {}); // what was given may not be there to choose yet
    const both = Object.keys(mine).filter((id) => id in matrix.changes);
    tell([`${who}: ${theirs.join(", ")}.`, both.length ? `Yours is not saved yet: ${givenAndTaken(matrix.changes).join(", ")}. Save to set that over it, or` : "You see it as it is now."],
      both.length ? [button("Take theirs", () => (matrix.reset(), (news.hidden = true), save.focus()), { class: "small" })] : []);
  }

  /** @param {string[]} lines @param {any[]} more */
  function tell(lines, more) {
    news.hidden = false;
    fill(news, lines.map((line) => h("p", null, line)), more);
  }

  function saveChanges() {
    const { changes } = matrix;
    if (!Object.keys(changes).length) return dialog.close();
    return act(app, save, async () => {
      const send = () => app.api.call("/v1/api-tokens/update-permissions", token.id, changes, { version: current.version });
      try {
        changed(await send());
      } catch (/** @type {any} */ error) {
        const now = error.code === CONFLICT && error.data?.token;
        if (!now) throw error;
        if (!same(now.permissions, current.permissions)) return takeIn(now, "Not saved, since the token was changed meanwhile");
        current = now; // something else of it was changed: there is nothing to decide
        changed(await send());
      }
      announce(`Saved: ${givenAndTaken(changes).join(", ")}.`);
      dialog.close();
    }, { settle: async () => {
      const { tokens: [now] } = await app.api.call("/v1/api-tokens/read", { id: token.id });
      const isDone = Object.entries(changes).every(([id, on]) => Boolean(now.permissions[id]) === on);
      return isDone ? "The connection is back, and the change was saved." : "The connection is back, and the change was not saved. Try again.";
    } });
  }

  await act(app, matrix, load);
}

/** Hears of one token's changes. Returns what ends that. @param {import("./app.js").App} app @param {string} id
 * @param {(what: string, params: any) => void} fn */
function followToken(app, id, fn) {
  const left = ["permissions-changed", "enabled-changed", "updated", "deleted"].map((what) =>
    app.api.on(`/v1/api-tokens/${what}`, (params) => (params.token?.id ?? params.tokenId) === id && fn(what, { ...params, ...params.token })));
  return () => left.forEach((leave) => leave());
}

const at = (/** @type {any} */ { time }) => `at ${whenExactly(time)}`;

/** @param {import("./app.js").App} app @param {any} params */
function byWhom(app, { by }) {
  if (!by) return "Somebody";
  return by.userId === app.user?.id ? "You, in another window or with a token," : by.username;
}

/** @param {Record<string, any>} a @param {Record<string, any>} b */
const same = (a, b) => permissionChanges(a, b).length === 0;
