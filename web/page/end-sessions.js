// Ending many sessions, one after another, so that it can be told of each what has become of it.

import { h, setText } from "./dom.js";
import { act, announce } from "./actions.js";
import { agentWords } from "./agent.js";
import { confirmDialog } from "./dialog.js";
import { count } from "./words.js";

const GONE = 404;

/** @typedef {{ id: string, userId: string, address: string, agent: string, createdAt: string, lastSeenAt: string, expiresAt: string, current: boolean }} Session */

/** Ends those that have not been ended yet. `ended` holds those that have, and is added to; the first that cannot be ended
 * ends the attempt. @param {Session[]} sessions @param {(id: string) => Promise<unknown>} end @param {Set<string>} ended
 * @param {() => void} tell hears of each */
export async function endSessions(sessions, end, ended, tell) {
  for (const { id } of sessions) {
    if (ended.has(id)) continue;
    await end(id).catch((error) => {
      if (error.code !== GONE) throw error; // it had ended by itself
    });
    ended.add(id);
    tell();
  }
}

/** Asks, ends all other sessions of the user, showing what becomes of each, and then this one.
 * @param {import("./app.js").App} app */
export async function signOutEverywhereDialog(app) {
  /** @type {Session[]} */ let others = [];
  /** @type {Map<string, Element>} */ const badges = new Map();
  /** @type {Set<string>} */ const ended = new Set();
  const list = h("ul", { class: "facts", role: "list" }, h("li", { class: "quiet" }, "Looking for your sessions…"));
  const progress = h("p", { role: "status" });
  const tell = () => {
    for (const [id, badge] of badges) show(badge, ended.has(id));
    setText(progress, `${ended.size} of ${count(others.length, "other session")} ended`);
  };
  const end = (/** @type {string} */ id) => app.api.call("/v1/sessions/delete", id);
  const read = async () => {
    others = (await app.api.call("/v1/sessions/read")).sessions.filter((/** @type {Session} */ { current }) => !current);
    list.replaceChildren(...others.map((session) => item(session, badges)), h("li", null, h("strong", null, "This one"), others.length ? ", at last" : " only: there are no others."));
  };
  const dialog = confirmDialog({
    title: "Sign out everywhere?",
    body: [h("p", null, "Every browser and program that is signed in as you is signed out, and this one at last. Your tokens stay."), list, progress],
    verb: "Sign out everywhere",
    work: async (from) => {
      const isDone = await act(app, from, async () => {
        if (!badges.size) await read(); // it could not be read before
        await endSessions(others, end, ended, tell);
      }, { settle: async () => {
        const left = new Set((await app.api.call("/v1/sessions/read")).sessions.map((/** @type {Session} */ { id }) => id));
        for (const { id } of others) if (!left.has(id)) ended.add(id);
        tell();
        return "The connection is back. The list shows which sessions have ended; do it again for the others and this one.";
      } });
      return isDone && app.signOut(from);
    },
  });
  dialog.addEventListener("close", () => { // also when this session was ended by somebody else meanwhile
    if (ended.size) announce(`${ended.size} of ${count(others.length, "other session")} ended.`);
  });
  await read().catch(() => list.replaceChildren(h("li", { class: "quiet" }, "Which sessions there are is not known just now.")));
}

/** @param {Session} session @param {Map<string, Element>} badges */
function item({ id, agent, address }, badges) {
  const badge = h("span");
  badges.set(id, badge);
  show(badge, false);
  return h("li", { class: "row" }, h("span", null, agentWords(agent), " ", h("code", null, address)), badge);
}

/** @param {Element} badge @param {boolean} isEnded */
function show(badge, isEnded) {
  badge.className = isEnded ? "badge good" : "badge";
  setText(badge, isEnded ? "Ended" : "Signed in");
}
