// The frames on the page's connection, as they are.

import { button, fill, h, setText } from "./dom.js";
import { copy } from "./actions.js";
import { inBytes, inMs } from "./answer.js";
import { FrameLog, passes, pretty } from "./frame-log.js";
import { coloured } from "./json-view.js";
import { redacted } from "./redact.js";

const BRIEF = 300; // characters of a frame that is not opened
const NEAR_END = 40; // px: whoever reads at the end stays there

const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** @typedef {import("./frame-log.js").Entry} Entry */
/** @typedef {import("./frame-log.js").Frame} Frame */

export class Frames {
  #log = new FrameLog();
  /** By their numbers, oldest first. @type {Map<number, FrameRow>} */ #rows = new Map();
  #hide; #counted;
  #isDrawing = false;
  #isPaused = false;
  #list = h("ul", { class: "frames", role: "list" });
  #none = h("p", { class: "quiet" });
  #filter = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter frames", dir: "auto", oninput: () => this.#draw() });
  #pause = toggle("Pause", (on) => (this.#isPaused = on));
  #secrets = toggle("Show secrets", () => this.#redraw());
  #pretty = toggle("Pretty print", () => this.#redraw());
  element = h("section", { class: "part", "aria-label": "Frames" },
    h("div", { class: "row" }, h("div", { class: "grow" }, this.#filter), this.#pause, button("Clear", () => this.#clear(), { class: "small" }), this.#pretty, this.#secrets),
    this.#none, this.#list);

  /** @param {(method: string, params: any) => any} hide takes the secrets out of params @param {(count: number) => void} counted */
  constructor(hide, counted) {
    this.#hide = hide;
    this.#counted = counted;
    this.#place();
  }

  /** @param {Frame} frame */
  add(frame) {
    if (this.#isPaused) return;
    this.#log.add(frame, performance.now());
    this.#draw();
  }

  #clear() {
    this.#log.clear();
    this.#draw();
  }

  /** Draws once for all that comes at a time. */
  #draw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#place();
    });
  }

  #place() {
    const { entries } = this.#log;
    const isAtEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < NEAR_END;
    const first = entries[0]?.number ?? Infinity;
    for (const [number, { element }] of this.#rows) {
      if (number >= first) break;
      element.remove();
      this.#rows.delete(number);
    }
    for (const entry of entries) if (!this.#rows.has(entry.number)) this.#append(entry);
    let shown = 0;
    for (const row of this.#rows.values()) shown += Number(!(row.element.hidden = !passes(row.entry, row.text, this.#filter.value)));
    this.#list.hidden = shown === 0;
    setText(this.#none, shown ? "" : entries.length ? "No frame has that." : "None yet. Frames are shown as long as this view is open.");
    this.#counted(entries.length);
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {Entry} entry */
  #append(entry) {
    const row = new FrameRow(entry, (text) => this.#shown(text), () => isOn(this.#pretty));
    this.#rows.set(entry.number, row);
    this.#list.append(row.element);
  }

  /** @param {string} text */
  #shown(text) { return isOn(this.#secrets) ? text : redacted(text, this.#hide); }

  #redraw() {
    for (const row of this.#rows.values()) row.draw();
    this.#draw();
  }
}

class FrameRow {
  #shown; #isPretty;
  #brief = h("code", { class: "brief" });
  #body = h("div", { class: "copyable" });
  /** The text as it is shown. */ text = "";

  /** @param {Entry} entry @param {(text: string) => string} shown @param {() => boolean} isPretty */
  constructor(entry, shown, isPretty) {
    this.entry = entry;
    this.#shown = shown;
    this.#isPretty = isPretty;
    const { direction, what, method, bytes, ms, via } = entry;
    this.details = h("details", { ontoggle: () => this.#drawBody() }, h("summary", null,
      h("time", { datetime: new Date(entry.time).toISOString() }, time.format(entry.time)),
      h("span", { class: `badge ${direction}` }, direction === "sent" ? "↑ sent" : "↓ received"),
      h("span", { class: what.startsWith("error") ? "bad" : null }, what, via && ` by ${via}`), h("span", { class: "name" }, method),
      h("span", { class: "quiet numbers" }, inBytes(bytes), ms !== undefined && `, after ${inMs(ms)}`), this.#brief), this.#body);
    this.element = h("li", null, this.details);
    this.draw();
  }

  draw() {
    this.text = this.#shown(this.entry.text);
    setText(this.#brief, this.text.slice(0, BRIEF));
    this.#drawBody();
  }

  /** Only what is open is drawn. */
  #drawBody() {
    if (!this.details.open) return fill(this.#body);
    const text = this.#isPretty() ? pretty(this.text) : this.text;
    const pre = h("pre", { class: "json", tabindex: "0", role: "group", "aria-label": "Frame" });
    fill(pre, this.#isPretty() ? coloured(text) : text);
    const copyButton = button("Copy", () => copy(copyButton, text), { class: "small", "aria-label": "Copy the frame" });
    fill(this.#body, pre, copyButton);
  }
}

/** A button that stays pressed. @param {string} text @param {(on: boolean) => void} changed */
function toggle(text, changed) {
  const element = button(text, () => {
    element.ariaPressed = String(!isOn(element));
    changed(isOn(element));
  }, { class: "small", "aria-pressed": "false" });
  return element;
}

/** @param {HTMLElement} button */
const isOn = (button) => button.ariaPressed === "true";
