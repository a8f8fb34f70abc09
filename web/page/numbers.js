// How much has changed, a day, and how many tokens there are: counted by the server, and again after changes.

import { Bars, Columns } from "./chart.js";
import { h, setText } from "./dom.js";
import { count, dayOf, problemOf } from "./words.js";

const DAYS = 7;
const RECOUNT_MS = 1_000; // at most once in this time

/** @typedef {{ hours: { from: string, changes: number }[], from: string, complete: boolean }} EventCount */

/** The last days as those who look at them have them, oldest first. An hour of UTC counts for the day in which it begins, as some
 * time zones are apart by half an hour. @param {EventCount} counted @param {number} [now] @returns {{ from: number, changes: number }[]} */
export function changesByDay({ hours }, now = Date.now()) {
  const beginning = (/** @type {number} */ daysAgo) => {
    const day = new Date(now);
    day.setDate(day.getDate() - daysAgo); // not every day has 24 hours
    return day.setHours(0, 0, 0, 0); // the last, as some days begin at one
  };
  return Array.from({ length: DAYS }, (_, i) => {
    const from = beginning(DAYS - 1 - i), to = beginning(DAYS - 2 - i);
    const own = hours.filter((hour) => Date.parse(hour.from) >= from && Date.parse(hour.from) < to);
    return { from, changes: own.reduce((sum, { changes }) => sum + changes, 0) };
  });
}

const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "short" });

export class Numbers {
  #view;
  #days = new Columns("Changes a day", "Day", "Changes");
  #tokens = new Bars("Tokens by state");
  #changes = h("p", { class: "quiet" }, "Counting…");
  #total = h("p", { class: "quiet" }, "Counting…");

  /** @param {import("./view.js").View} view */
  constructor(view) {
    this.#view = view;
    this.element = h("div", { class: "numbers" },
      h("section", { class: "card" }, h("h3", null, "Changes a day"), this.#days.element, this.#changes),
      h("section", { class: "card" }, h("h3", null, "Tokens"), this.#tokens.element, this.#total));
    this.#drawDays(changesByDay({ hours: [], from: "", complete: true }).map(({ from }) => ({ from, changes: null })));
    this.#drawTokens(null, null, null);
  }

  /** Counts after something has changed. */
  changed() { this.#view.soon("numbers", RECOUNT_MS, () => this.count()); }

  async count() {
    const { api } = this.#view.app;
    const attempt = async (/** @type {string} */ method, /** @type {(result: any) => void} */ show, /** @type {HTMLElement} */ note) => {
      try {
        show(await api.call(method));
      } catch (error) {
        setText(note, `Not counted. ${problemOf(error)}`); // what was counted before stands above it
      }
    };
    await Promise.all([
      attempt("/v1/events/count", (result) => this.#showDays(result), this.#changes),
      attempt("/v1/api-tokens/count", (result) => this.#showTokens(result), this.#total),
    ]);
  }

  /** @param {EventCount} counted */
  #showDays(counted) {
    const days = changesByDay(counted);
    this.#drawDays(days);
    const sum = count(days.reduce((all, { changes }) => all + changes, 0), "change");
    setText(this.#changes, counted.complete ? `${sum} in the last ${DAYS} days.` : `At least ${sum} in the last ${DAYS} days: there are too many to count all of them.`);
  }

  /** @param {{ from: number, changes: number | null }[]} days */
  #drawDays(days) {
    this.#days.show(days.map(({ from, changes }, i) => ({ label: i === DAYS - 1 ? "Today" : weekday.format(from), name: dayOf(from), value: changes })));
  }

  /** @param {{ total: number, enabled: number, disabled: number, expired: number }} counted */
  #showTokens({ total, enabled, disabled, expired }) {
    this.#drawTokens(enabled, disabled, expired);
    setText(this.#total, `${count(total, "token")} in all.`);
  }

  /** @param {number | null} enabled @param {number | null} disabled @param {number | null} expired */
  #drawTokens(enabled, disabled, expired) {
    this.#tokens.show([{ label: "On", value: enabled, look: "good" }, { label: "Off", value: disabled }, { label: "Expired", value: expired, look: "wait" }]);
  }
}
