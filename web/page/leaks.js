// Which tokens were found where they should not be, as far as the feed goes back; and to ask before one of them is switched on again.

import { button, h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { count, when } from "./words.js";

const PAGE = 100; // events read at a time: the server's most
const PAGES = 20; // looked through at most; who has that much going on finds the rest in the activity

/** @typedef {import("../client.js").Token} Token */
/** @typedef {{ url: string | null, time: string }} Leak */

/** The last report of each token. @param {Pick<import("./app.js").App, "api">} app @returns {Promise<Map<string, Leak>>} */
export async function readLeaks({ api }) {
  /** @type {Map<string, Leak>} */ const leaks = new Map();
  for (let [n, after] = [0, /** @type {string | undefined} */ (undefined)]; n < PAGES; n++) {
    const { events, next } = await api.call("/v1/events/read", { limit: PAGE, after });
    for (const { method, params } of events) {
      if (method === "/v1/api-tokens/leaked" && !leaks.has(params.tokenId)) leaks.set(params.tokenId, params);
    }
    if (!next) break;
    after = next;
  }
  return leaks;
}

/** Asks before leaked tokens are switched on. One of them can be rotated instead.
 * @param {[Token, Leak][]} leaked @param {() => void} go @param {(from: HTMLElement) => void} [rotate] */
export function leakDialog(leaked, go, rotate) {
  const found = (/** @type {Leak} */ { url, time }) => `Reported as leaked at ${when(time)}${url ? `, found at ${url}` : ""}.`;
  const dialog = openDialog({
    title: leaked.length === 1 ? `Switch the leaked “${leaked[0][0].name}” on?` : `Switch ${count(leaked.length, "leaked token")} on?`,
    body: [
      ...leaked.map(([{ name }, leak]) => h("p", null, h("b", { dir: "auto" }, name), ": ", found(leak))),
      h("p", null, "Whoever found its secret can use it from then on, unless it was replaced since. Rotating gives it another one."),
    ],
    actions: [
      button("Cancel", () => dialog.close(), { autofocus: true }),
      rotate && button("Rotate instead", ({ currentTarget }) => (dialog.close(), rotate(currentTarget))),
      button("Switch on all the same", () => (dialog.close(), go()), { class: "danger" }),
    ],
  });
}
