// The dialogs that make a user, set a password, delete a user and show his sessions.

import { button, h, labelled } from "./dom.js";
import { act, announce } from "./actions.js";
import { heldPermissions } from "./create-token.js";
import { confirmDialog, openDialog } from "./dialog.js";
import { holdTo, ruleOf, USERNAME } from "./names.js";
import { handOver, NewPassword } from "./new-password.js";
import { receipted, receiptSentence } from "./receipt.js";
import { count } from "./words.js";
import "./permission-matrix.js";
import "./sessions.js";

const CONFLICT = 409;
const GONE = 404;

/** @typedef {import("./app.js").App} App */
/** @typedef {{ id: string, username: string, enabled: boolean, permissions: Record<string, true>, createdAt: string }} User */

/** Says what to do about a refusal to take away the last administrator. @param {string} username */
export const lastAdministrator = (username) => (/** @type {any} */ error) => (error.code === CONFLICT
  ? `“${username}” is the last administrator who is on, and there has to be one. Give another user the permission admin first, then try again.` : undefined);

/** @param {App} app @param {string} id @returns {Promise<User | null>} null if there is no such user (any more) */
export async function readUser(app, id) {
  try {
    return (await app.api.call("/v1/users/read", { id })).users[0] ?? null;
  } catch (/** @type {any} */ error) {
    if (error.code === GONE) return null;
    throw error;
  }
}

/** @param {App} app @param {(user: User) => void} created */
export async function createUserDialog(app, created) {
  const name = holdTo(h("input", { required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false", autofocus: true }), USERNAME);
  const password = new NewPassword("Password", { required: false, hint: "At least 8 characters. Without one they cannot sign in until one is set." });
  /** @type {import("./permission-matrix.js").PermissionMatrix} */
  const matrix = h("tw-permission-matrix");
  const submit = h("button", { class: "primary", form: "create-user" }, "Create user");
  const form = h("form", { id: "create-user", class: "fields" }, labelled("Username", name, ruleOf(USERNAME)), password.element);
  const dialog = openDialog({
    title: "New user",
    body: [form, h("h3", null, "Permissions"), h("p", { class: "quiet" }, "Of those that you hold. They can be changed at any time."), matrix],
    actions: [button("Cancel", () => dialog.close()), submit],
  });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const username = name.value.trim();
    act(app, submit, async () => {
      const user = await app.api.call("/v1/users/create", username, { password: password.value || undefined, permissions: matrix.changes });
      created(user);
      announce(`“${username}” was created.`);
      dialog.close();
      if (password.isUnknown) handOver(`“${username}” was created`, password.value);
    }, {
      explain: (error) => (error.code === CONFLICT ? `There is a user “${username}” already. Take another name.` : undefined),
      settle: () => becameOf(app, username),
    });
  });
  await act(app, matrix, async () => matrix.show(await heldPermissions(app), []));
}

/** What became of a create whose answer was lost. @param {App} app @param {string} username */
async function becameOf(app, username) {
  const { users } = await app.api.call("/v1/users/read", { where: { username }, limit: 1 });
  return users.length ? `The connection is back, and there is a user “${username}”.` : `The connection is back, and “${username}” was not created. Try again.`;
}

/** @param {App} app @param {User} user */
export function setPasswordDialog(app, { id, username }) {
  const isMe = id === app.user?.id;
  const password = new NewPassword("New password", { autofocus: true });
  const submit = h("button", { class: "primary", form: "set-password" }, "Set password");
  const form = h("form", { id: "set-password", class: "fields" }, h("input", { autocomplete: "username", value: username, hidden: true, readonly: true }), password.element);
  const dialog = openDialog({
    title: `Password of “${username}”`,
    body: [
      isMe && h("div", { class: "notice" }, h("p", null, "This is you: all of your sessions end, this one too, and you sign in again with the new password. "
        + "To keep this session, change it under “Account” instead.")),
      form, h("p", { class: "quiet" }, `${isMe ? "Your" : "Their"} sessions end at once. ${isMe ? "Your" : "Their"} tokens stay as they are.`),
    ],
    actions: [button("Cancel", () => dialog.close()), submit],
  });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    act(app, submit, async () => {
      await app.api.call("/v1/users/set-password", id, password.value);
      announce(`The password of “${username}” was set.`);
      dialog.close();
      if (password.isUnknown && !isMe) handOver(`The password of “${username}” was set`, password.value);
    }, { settle: async () => "The connection is back. Whether the password was set cannot be told: set it once more, to be sure." });
  });
}

/** @param {App} app @param {User} user @param {() => void} deleted */
export async function deleteUserDialog(app, { id, username, permissions }, deleted) {
  const isMe = id === app.user?.id;
  const sessions = h("li", null, "Looking for their sessions…");
  confirmDialog({
    title: `Delete “${username}”?`,
    body: [
      isMe && h("div", { class: "notice" }, h("p", null, "This is you. You are signed out at once, and cannot come back.")),
      h("p", null, "It cannot be undone. Switching the user off stops the same things from working, and can be taken back."),
      h("ul", { class: "facts", role: "list" }, sessions, h("li", null, "All of their tokens are deleted, and stop working at once."),
        h("li", null, `They hold ${count(Object.keys(permissions).length, "permission")}.`)),
    ],
    verb: "Delete",
    work: (/** @type {HTMLElement} */ from) => act(app, from, async () => {
      const { receipt } = await receipted(app, "/v1/users/delete", [id]);
      announce(`“${username}” was deleted.${receiptSentence(receipt, "gone")}`);
      deleted();
    }, {
      explain: lastAdministrator(username),
      settle: async () => ((await readUser(app, id)) ? `The connection is back, and “${username}” was not deleted. Try again.` : `The connection is back, and “${username}” was deleted.`),
    }),
  });
  try {
    const { sessions: all } = await app.api.call("/v1/sessions/read", { userId: id });
    sessions.textContent = all.length ? `${count(all.length, "session")} of theirs will end.` : "They are not signed in anywhere.";
  } catch {
    sessions.textContent = "How many sessions they have is not known.";
  }
}

/** Asks before one switches oneself off. @param {(from: HTMLElement) => Promise<boolean>} work */
export const switchOffMyselfDialog = (work) => confirmDialog({
  title: "Switch yourself off?",
  body: [h("p", null, "You are signed out at once, your tokens stop working, and you cannot sign in until another administrator has switched you on again.")],
  verb: "Switch me off",
  work,
});

/** @param {App} app @param {User} user */
export function sessionsDialog(app, { id, username }) {
  const dialog = openDialog({
    title: `Sessions of “${username}”`,
    body: [Object.assign(h("tw-sessions"), { app, userId: id })],
    actions: [button("Done", () => dialog.close())],
  });
}
