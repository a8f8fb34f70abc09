// Dialogs: modal, labelled, closed by Escape, and giving the focus back to where it was.

import { button, h, newId } from "./dom.js";
import { keepToasts } from "./actions.js";
import { heirOf, isFocusLost } from "./focus.js";

const UNSAVED = "Nothing of this is saved yet. Press Escape again to throw it away.";

/** Shows a dialog until it is closed. Escape closes it, where something is unsaved at the second time.
 * @param {{ title: string, class?: string, body: any[], actions: any[], isUnsaved?: () => boolean }} options
 * @returns {HTMLDialogElement} */
export function openDialog({ title, class: kind, body, actions, isUnsaved = () => false }) {
  const id = newId();
  const toasts = h("div", { class: "toasts", role: "status" }); // the page's are out of reach while a dialog is open
  const opener = /** @type {HTMLElement} */ (document.activeElement ?? document.body);
  const refocus = heirOf(opener);
  /** @type {HTMLDialogElement} */
  const dialog = h("dialog", { "aria-labelledby": id, class: kind },
    h("h2", { id, tabindex: "-1" }, title), ...body, h("p", { class: "problem", role: "alert" }), h("div", { class: "row end" }, ...actions), toasts);
  const problem = (/** @type {string} */ text) => dialog.querySelector(":scope > .problem")?.replaceChildren(text);
  let isWarned = false;
  const hold = (/** @type {Event} */ event) => {
    if (isWarned || !isUnsaved()) return;
    event.preventDefault();
    isWarned = true;
    problem(UNSAVED);
  };
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && hold(event));
  dialog.addEventListener("input", () => problem("")); // it was about what has been changed since
  dialog.addEventListener("close", () => {
    dialog.remove();
    keepToasts(toasts);
    if (!isFocusLost()) return; // browsers give it back by themselves, long before they tell of it, and people go on at once
    opener.focus();
    refocus(); // what was done may have taken it away
  });
  document.body.append(dialog);
  dialog.showModal();
  if (!dialog.querySelector("[autofocus]")) dialog.querySelector("h2")?.focus(); // or else the first button has it, behind all that is read
  return dialog;
}

/** Closes what is open: nobody is signed in any more. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

/** Asks before something that cannot be undone. `work` does it, and resolves whether it was done.
 * @param {{ title: string, body: any[], verb: string, work: (button: HTMLElement) => Promise<boolean> }} options
 * @returns {HTMLDialogElement} */
export function confirmDialog({ title, body, verb, work }) {
  const dialog = openDialog({
    title,
    body,
    actions: [
      button("Cancel", () => dialog.close(), { autofocus: true }),
      button(verb, async ({ currentTarget }) => (await work(currentTarget)) && dialog.close(), { class: "danger" }),
    ],
  });
  return dialog;
}
