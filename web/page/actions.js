// Doing what a person asked for: once at a time, only while there is a connection, and saying what became of it.

import { h } from "./dom.js";
import { OFFLINE, problemOf } from "./words.js";

const TOAST_MS = 6_000;
const TOASTS_MAX = 3; // older ones make way
const SETTLE_TRIES = 60; // beyond that the connection breaks as soon as it is made
const SETTLE_PAUSE_MS = 1_000;

/** Does something for a button, and says beside it what went wrong. A disabled button would lose the focus.
 * `settle` finds out, when the connection is back, what became of a call that broke with it, and says it in a sentence.
 * `explain` says what an error means here, where that is more than the server can say.
 * @param {import("./app.js").App} app @param {HTMLElement} button @param {() => Promise<unknown>} work
 * @param {{ settle?: () => Promise<string>, explain?: (error: any) => string | undefined }} [options]
 * @returns {Promise<boolean>} whether it was done */
export async function act(app, button, work, { settle, explain } = {}) {
  if (button.ariaDisabled === "true") return false;
  const place = problemPlace(button);
  place.textContent = "";
  if (app.api.state !== "live") {
    place.textContent = OFFLINE;
    return false;
  }
  button.ariaDisabled = "true";
  try {
    await work();
    return true;
  } catch (error) {
    report(app, place, error, settle, explain);
    return false;
  } finally {
    button.ariaDisabled = null;
  }
}

/** Says what went wrong, and later what became of it. @param {import("./app.js").App} app @param {Element} place @param {any} error
 * @param {() => Promise<string>} [settle] @param {(error: any) => string | undefined} [explain] */
export async function report(app, place, error, settle, explain) {
  const text = (place.textContent = explain?.(error) ?? problemOf(error));
  if (error.data?.outcome !== "unknown" || !settle) return;
  const outcome = await settled(app, settle);
  if (place.isConnected && place.textContent === text) place.textContent = outcome ?? text;
  else if (outcome) announce(outcome); // it tells of something else by now, or has gone
}

/** Asks what became of something, until there is an answer, for as long as the same user is there.
 * @param {import("./app.js").App} app @param {() => Promise<string>} settle @returns {Promise<string | undefined>} */
async function settled(app, settle) {
  const { user } = app;
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    try {
      await app.api.connect();
      if (app.user?.id !== user?.id) return undefined; // somebody else has signed in: it is none of his business
      return await settle();
    } catch (/** @type {any} */ error) {
      if (typeof error.code === "number" || app.user?.id !== user?.id) return undefined; // refused, or signed out: what was said stands
      await new Promise((done) => setTimeout(done, SETTLE_PAUSE_MS));
    }
  }
}

/** Where the problems of what belongs to an element are told: in the nearest that has a place for them, be it its form or its
 * dialog, or else over the page, where they move nothing. @param {Element | null} element @returns {Element} */
function problemPlace(element) {
  for (let around = element; around; around = around.parentElement) {
    const found = around.querySelector(":scope > .problem");
    if (found) return found;
  }
  return /** @type {Element} */ (document.getElementById("problem"));
}

/** Says something that needs no answer. What `stays` is there until what is returned is called.
 * @param {string} text @param {{ stays?: boolean }} [options] @returns {() => void} takes it away */
export function announce(text, { stays = false } = {}) {
  const toast = h("p", null, text);
  const unsay = () => toast.remove();
  put([toast]);
  if (!stays) setTimeout(unsay, TOAST_MS);
  return unsay;
}

/** Keeps what was said in a dialog that is going. @param {Element} toasts of the dialog */
export const keepToasts = (toasts) => put([...toasts.children]);

/** In the topmost dialog, since all else is hidden from screen readers then. @param {Element[]} more */
function put(more) {
  const toasts = /** @type {HTMLElement} */ ([...document.querySelectorAll("#toasts, dialog[open] > .toasts")].at(-1));
  toasts.append(...more);
  while (toasts.children.length > TOASTS_MAX) toasts.firstElementChild?.remove();
}

/** Copies a text, and says so on the button. @param {HTMLElement} button @param {string} text @returns {Promise<boolean>} */
export async function copy(button, text) {
  const done = await toClipboard(button, text);
  announce(done ? "Copied." : "The browser does not let the page copy: select the text, then press Ctrl+C or ⌘C.");
  if (done) {
    const label = button.textContent;
    if (label !== "Copied") setTimeout(() => (button.textContent = label), 2_000);
    button.textContent = "Copied";
  }
  return done;
}

/** @param {HTMLElement} button @param {string} text */
async function toClipboard(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // browsers have no clipboard for pages that came by http: from elsewhere
    const area = h("textarea", { value: text, class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
    button.after(area); // in the same dialog: the rest of the page cannot be selected
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.focus();
    return done;
  }
}
