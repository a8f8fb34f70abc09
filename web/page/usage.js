// How a token was used: what of it was allowed and denied, by the hour. Nothing of the counting needs a page.

import { Columns } from "./chart.js";
import { h, setText } from "./dom.js";
import { count, isExpired, problemOf, when } from "./words.js";

const HOUR_MS = 3_600_000;
const LABEL_HOUR = 12; // of a day, over which its name stands

/** @typedef {{ from: string, allowed: number, denied: number }} Hour */
/** @typedef {{ lastUsedAt: string | null, allowed: number, denied: number, hours: Hour[], from: string, to: string }} Usage */

/** Every hour from first to last, those without any use too. @param {Usage} usage @returns {{ from: number, allowed: number, denied: number }[]} */
export function allHours({ hours, from, to }) {
  const first = Math.floor(Date.parse(from) / HOUR_MS) * HOUR_MS;
  const used = new Map(hours.map((hour) => [Date.parse(hour.from), hour]));
  return Array.from({ length: Math.max(0, Math.ceil((Date.parse(to) - first) / HOUR_MS)) }, (_, i) => {
    const hour = first + i * HOUR_MS;
    const { allowed = 0, denied = 0 } = used.get(hour) ?? {};
    return { from: hour, allowed, denied };
  });
}

/** How often a token that is no good was tried since then, and since when that is counted. Hours are counted as a whole: of the one in which it
 * ended, which counts only where there was nothing later, some may have come before (isSure: none did).
 * @param {import("../client.js").Token} token @param {Usage} usage @param {boolean} [isOver] @returns {{ denied: number, since: number, isSure: boolean } | null} */
export function deniedSinceEnd(token, { hours, from }, isOver = isExpired(token)) {
  if (token.enabled && !isOver) return null;
  const end = token.enabled ? /** @type {string} */ (token.expiresAt) : token.updatedAt; // it was switched off then, or before
  const ended = Math.max(Date.parse(end), Date.parse(from)) / HOUR_MS;
  const deniedSince = (/** @type {number} */ since) => hours.reduce((sum, hour) => sum + (Date.parse(hour.from) >= since ? hour.denied : 0), 0);
  const spans = [Math.ceil(ended), Math.floor(ended)].map((hour) => ({ denied: deniedSince(hour * HOUR_MS), since: hour * HOUR_MS, isSure: hour >= ended }));
  return spans.find(({ denied }) => denied) ?? null;
}

/** @param {"allowed" | "denied"} member @param {string} word */
function chartOf(member, word) {
  const chart = new Columns(`${word} by the hour`, "Hour", word);
  return { member, chart, element: h("figure", { class: `use ${member}`, hidden: true }, h("figcaption", { class: "quiet", "aria-hidden": "true" }, `${word} by the hour`), chart.element) };
}

const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "short" });

/** Shows it, and reads it anew when asked to. */
export class UsageView {
  #status = h("p", { class: "quiet" }, "Counting…");
  #tried = h("p", { class: "notice", hidden: true });
  #charts = [chartOf("allowed", "Allowed"), chartOf("denied", "Denied")];
  element = h("section", { class: "part" }, h("h3", null, "Use"), this.#status, this.#tried, this.#charts.map(({ element }) => element));

  /** @param {import("./app.js").App} app @param {import("../client.js").Token} token */
  async read(app, token) {
    try {
      this.#show(token, await app.api.call("/v1/api-tokens/usage", token.id));
    } catch (error) {
      setText(this.#status, `How it was used could not be read. ${problemOf(error)}`);
    }
  }

  /** @param {import("../client.js").Token} token @param {Usage} usage */
  #show(token, usage) {
    const { allowed, denied, lastUsedAt, from, to } = usage;
    const days = Math.round((Date.parse(to) - Date.parse(from)) / HOUR_MS / 24);
    setText(this.#status, `${lastUsedAt ? `Last used ${when(lastUsedAt)}` : "Never used"}. In the last ${days} days ${count(allowed, "time", "times")} allowed, ${denied.toLocaleString("en")} denied.`);
    const tried = deniedSinceEnd(token, usage);
    this.#tried.hidden = !tried;
    if (tried) setText(this.#tried, triedWords(token, tried));
    const hours = allHours(usage);
    for (const { chart, element, member } of this.#charts) {
      element.hidden = !usage[member];
      chart.show(hours.map((hour) => ({ label: labelOf(hour.from), name: when(hour.from), value: hour[member] })));
    }
  }
}

/** @param {import("../client.js").Token} token @param {{ denied: number, since: number, isSure: boolean }} tried */
export function triedWords({ enabled }, { denied, since, isSure }) {
  const times = `${denied.toLocaleString("en")} denied since ${when(since)}`;
  return isSure ? `It is ${enabled ? "expired" : "off"}, and still tried: ${times}.` : `It is ${enabled ? "expired" : "off"}: ${times}, some of them perhaps before that.`;
}

/** Of many hours only the day is named, in its middle. @param {number} hour */
const labelOf = (hour) => (new Date(hour).getHours() === LABEL_HOUR ? weekday.format(hour) : "");
