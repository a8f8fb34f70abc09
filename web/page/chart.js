// Small charts. Their sizes are shares of their box, so that they need no measuring, and their text is as large as the page's.
// What they show stands in a table, too: seen, or for those who do not see them.

import { fill, h, setAttribute, setText, svg } from "./dom.js";

const ROOM = { top: 14, bottom: 16 }; // for the numbers and the labels, in % of the height
const GAP = 0.3; // between columns, as a share of one's place
const MANY = 40; // columns: more have no room for numbers, and only the highest has its own

/** @typedef {{ label: string, name?: string, value: number | null, look?: string }} Bar `name`: the label in full; `value`: null where it is not known */

const compact = new Intl.NumberFormat("en", { notation: "compact" });
const exact = new Intl.NumberFormat("en");
const said = (/** @type {number | null} */ value) => (value === null ? "–" : exact.format(value));
const most = (/** @type {Bar[]} */ bars) => Math.max(1, ...bars.map(({ value }) => value ?? 0));
const percent = (/** @type {number} */ n) => `${Math.round(n * 100) / 100}%`;

/** Columns side by side, over a hidden table of the same: of many those that are not empty. */
export class Columns {
  /** @type {{ bar: any, number: any, label: any, title: any }[]} */ #parts = [];
  #svg = svg("svg", { class: "columns", "aria-hidden": "true" });
  #rows = h("tbody");

  /** @param {string} caption @param {string} what the labels are @param {string} howMany what is counted */
  constructor(caption, what, howMany) {
    this.element = h("div", null, this.#svg, h("div", { class: "visually-hidden" }, h("table", null, h("caption", null, caption),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, what), h("th", { scope: "col" }, howMany))), this.#rows)));
  }

  /** @param {Bar[]} bars */
  show(bars) {
    if (this.#parts.length !== bars.length) this.#make(bars.length);
    const highest = most(bars);
    const peak = bars.findIndex(({ value }) => value === highest);
    const isNumbered = (/** @type {number} */ i) => bars.length <= MANY || i === peak;
    bars.forEach(({ label, name = label, value }, i) => {
      const { bar, number, label: text, title } = this.#parts[i];
      const height = ((value ?? 0) / highest) * (100 - ROOM.top - ROOM.bottom);
      const top = 100 - ROOM.bottom - height;
      setAttribute(bar, "y", percent(top));
      setAttribute(bar, "height", percent(height));
      setAttribute(number, "y", percent(top));
      setText(number, !isNumbered(i) ? "" : value !== null && value >= 10_000 ? compact.format(value) : said(value));
      setText(text, label);
      setText(title, `${name}: ${said(value)}`);
    });
    fill(this.#rows, bars.filter(({ value }) => bars.length <= MANY || value).map(({ label, name = label, value }) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, said(value)))));
  }

  /** @param {number} n */
  #make(n) {
    const place = 100 / n;
    this.#parts = Array.from({ length: n }, (_, i) => {
      const middle = percent((i + 0.5) * place);
      return {
        title: svg("title"),
        bar: svg("rect", { x: percent((i + GAP / 2) * place), width: percent((1 - GAP) * place), rx: "3" }),
        number: svg("text", { x: middle, dy: "-.35em", class: "number" }),
        label: svg("text", { x: middle, y: "100%", dy: "-.3em" }),
      };
    });
    fill(this.#svg, svg("line", { x1: "0", x2: "100%", y1: percent(100 - ROOM.bottom), y2: percent(100 - ROOM.bottom) }),
      this.#parts.map(({ title, bar, number, label }) => svg("g", null, title, bar, number, label)));
  }
}

/** Bars below each other, in a table. */
export class Bars {
  #rows = h("tbody");

  /** @param {string} caption */
  constructor(caption) {
    this.element = h("table", { class: "bars" }, h("caption", { class: "visually-hidden" }, caption), this.#rows);
  }

  /** @param {Bar[]} bars */
  show(bars) {
    const longest = most(bars);
    while (this.#rows.children.length < bars.length) this.#rows.append(makeBar());
    bars.forEach(({ label, value, look = "" }, i) => {
      const [name, cell] = this.#rows.children[i].children;
      const [drawing, number] = cell.children;
      setText(name, label);
      setText(number, said(value));
      setAttribute(drawing.firstElementChild, "width", percent(((value ?? 0) / longest) * 100));
      setAttribute(drawing.firstElementChild, "class", look);
    });
  }
}

const makeBar = () => h("tr", null, h("th", { scope: "row" }),
  h("td", null, svg("svg", { "aria-hidden": "true" }, svg("rect", { height: "100%", rx: "3" })), h("span")));
