// A user's sessions: one's own, or, for an administrator, somebody's.

import { arrange, button, h, setText } from "./dom.js";
import { act, announce } from "./actions.js";
import { agentWords } from "./agent.js";
import { heirOf } from "./focus.js";
import { View } from "./view.js";
import { when } from "./words.js";

/** @typedef {import("./end-sessions.js").Session} Session */

const GONE = 404;

export class Sessions extends View {
  /** Whose; one's own without it. @type {string | undefined} */ userId;
  /** @type {Map<string, { element: HTMLElement, show: (session: Session) => void }>} */ #rows = new Map();
  #list = h("ul", { class: "entries", role: "list", "aria-label": "Sessions" });
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #none = h("p", { class: "quiet", hidden: true }, "They are not signed in anywhere.");

  show() {
    this.append(this.#status, this.#none, this.#list);
    this.keepFresh(() => this.read());
    this.read();
  }

  read() { return this.attempt(this.#status, () => this.#read()); }

  async #read() {
    const { sessions } = await this.app.api.call("/v1/sessions/read", this.userId ? { userId: this.userId } : undefined);
    if (this.signal.aborted) return;
    const rows = new Map();
    for (const session of sessions) {
      const row = this.#rows.get(session.id) ?? this.#row(session);
      row.show(session);
      rows.set(session.id, row);
    }
    const { activeElement } = document;
    const refocus = activeElement && this.#list.contains(activeElement) ? heirOf(activeElement) : undefined;
    this.#rows = rows;
    arrange(this.#list, [...rows.values()].map(({ element }) => element));
    refocus?.();
    this.#none.hidden = rows.size > 0;
  }

  /** @param {Session} session */
  #row({ id, agent, address, createdAt, expiresAt, current }) {
    const what = agentWords(agent);
    const end = current ? button("Sign out", () => this.app.signOut(end), { class: "small", "aria-label": `Sign out of this one: ${what}` })
      : button("End", () => this.#end(id, end, what), { class: "small", "aria-label": `End ${what}, ${address}` });
    const seen = h("span");
    const element = h("li", { class: "entry session" },
      h("div", { class: "who" },
        h("p", null, h("strong", null, what), current && [" ", h("span", { class: "badge good" }, "this one")]),
        h("p", { class: "quiet" }, h("code", null, address), " · since ", when(createdAt), seen, " · ends ", when(expiresAt)),
        h("details", { class: "quiet" }, h("summary", null, "User-Agent"), h("code", { dir: "auto" }, agent || "It gave no name."))),
      h("div", { class: "row actions" }, end));
    return { element, show: (/** @type {Session} */ { lastSeenAt }) => setText(seen, ` · last seen ${when(lastSeenAt)}`) };
  }

  /** @param {string} id @param {HTMLElement} from @param {string} what */
  #end(id, from, what) {
    return act(this.app, from, async () => {
      await this.app.api.call("/v1/sessions/delete", id).catch((error) => {
        if (error.code !== GONE) throw error; // it had ended by itself
      });
      this.#remove(id);
      announce(`${what} was signed out.`);
    }, { settle: async () => {
      await this.#read();
      return this.#rows.has(id) ? `The connection is back, and ${what} is still signed in. Try again.` : `The connection is back, and ${what} is signed out.`;
    } });
  }

  /** @param {string} id */
  #remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    const refocus = heirOf(row.element.querySelector("button") ?? row.element);
    this.#rows.delete(id);
    row.element.remove();
    refocus();
    this.#none.hidden = this.#rows.size > 0;
  }
}

customElements.define("tw-sessions", Sessions);
