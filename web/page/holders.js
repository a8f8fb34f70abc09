// Who has a permission: users, and tokens that were given it.

import { button, h, setText } from "./dom.js";
import { act } from "./actions.js";
import { openDialog } from "./dialog.js";
import { watchEnd } from "./lists.js";
import { Pages } from "./pages.js";

const PAGE = 100; // the server's most
const COUNTED_MAX = 2_000; // beyond that the exact number tells nobody more

/** @typedef {{ user: { id: string, username: string, enabled: boolean }, token: { id: string, name: string, prefix: string, enabled: boolean } | null,
 *   effective: boolean }} Holder */

/** @param {import("./app.js").App} app @param {string} id @param {AbortSignal} signal @returns {Pages<Holder>} */
const holdersOf = (app, id, signal) => new Pages(async (after) => {
  const { holders, next } = await app.api.with({ signal }).call("/v1/permissions/get-holders", id, { limit: PAGE, after });
  return { rows: holders, next };
}, ({ user, token }) => token?.id ?? user.id);

/** @param {import("./app.js").App} app @param {string} id @param {AbortSignal} signal */
export async function countHolders(app, id, signal) {
  const pages = holdersOf(app, id, signal);
  await pages.ask();
  while (pages.hasMore && pages.all.length < COUNTED_MAX) await pages.more();
  const tokens = pages.all.filter(({ token }) => token).length;
  return { users: pages.all.length - tokens, tokens, isAll: !pages.hasMore };
}

/** @param {import("./app.js").App} app @param {string} id */
export async function holdersDialog(app, id) {
  const closed = new AbortController();
  const pages = holdersOf(app, id, closed.signal);
  const status = h("p", { class: "loading", role: "status" }, "Loading…");
  const list = h("ul", { class: "entries", role: "list" });
  const draw = () => {
    list.append(...pages.all.slice(list.children.length).map(item));
    status.hidden = pages.all.length > 0;
    setText(status, "Nobody has it.");
    more.hidden = !pages.hasMore;
    lookForEnd();
  };
  const readOn = async () => (await pages.more()) && draw();
  const more = button("Show more", () => act(app, more, readOn), { hidden: true });
  const again = button("Try again", () => read(again), { hidden: true });
  const dialog = openDialog({ title: `Who has ${id}`, body: [status, list, h("div", { class: "row" }, more, again)], actions: [button("Done", () => dialog.close())] });
  dialog.addEventListener("close", () => closed.abort());
  const lookForEnd = watchEnd(more, closed.signal, () => readOn().catch(() => {})); // the button says what is wrong

  /** @param {HTMLElement} from */
  async function read(from) {
    again.hidden = await act(app, from, () => pages.ask());
    if (again.hidden) draw();
    else status.hidden = true;
  }
  await read(list);
}

/** @param {Holder} holder */
function item({ user, token, effective }) {
  const off = (/** @type {boolean} */ enabled) => !enabled && [" ", h("span", { class: "badge" }, "off")];
  if (!token) return h("li", { class: "entry holder" }, h("p", null, h("strong", null, h("bdi", null, user.username)), off(user.enabled)));
  return h("li", { class: "entry holder of" },
    h("p", null, h("bdi", null, token.name), off(token.enabled), " ", !effective && h("span", { class: "badge wait" }, "no effect")),
    h("p", { class: "quiet" }, "Token ", h("code", null, `${token.prefix}…`), " of ", h("bdi", null, user.username), off(user.enabled),
      !effective && ", who does not hold it"));
}
