// The view for developers: every method, with a form to try it, the frames on the wire, and what is pushed.

import { fill, h, setAttribute, setText } from "./dom.js";
import { Drafts } from "./drafts.js";
import { Frames } from "./frames.js";
import { MethodPane } from "./method-pane.js";
import { addressOf, groupOf, groupsOf, methodAt } from "./methods.js";
import { Notifications } from "./notifications.js";
import { withoutSecrets } from "./redact.js";
import { Suggestions } from "./suggestions.js";
import { Tabs } from "./tabs.js";
import { View } from "./view.js";
import { count } from "./words.js";

const OF_A_METHOD = ["docs", "code"]; // tabs

/** @typedef {import("./methods.js").Method} Method */

class ConsoleView extends View {
  /** @type {import("./schema.js").Document & { methods: Method[] }} */ #doc;
  /** What was filled in stays, as long as the view is open. @type {Map<string, MethodPane>} */ #panes = new Map();
  /** @type {any} */ #context;
  #status = h("p", { class: "loading", role: "status" }, "Loading…");
  #body = h("div", { class: "console", hidden: true });
  #search = h("input", { type: "search", placeholder: "Search methods", "aria-label": "Search methods", autocapitalize: "none", spellcheck: "false", oninput: () => this.#drawList() });
  #found = h("p", { class: "quiet", role: "status" });
  #list = h("div", { class: "methods" });
  #pane = h("div", { class: "pane" });
  #docs = h("div");
  #code = h("div");
  /** @type {Tabs} */ #tabs;
  #frames = new Frames((name, params) => this.#withoutSecrets(name, params), (n) => this.#tabs?.rename("frames", n ? `Frames (${n})` : "Frames"));
  /** @type {Notifications} */ #notifications;

  show() {
    this.append(this.heading("Console"), this.#status, this.#body);
    this.attempt(this.#status, async () => {
      this.#doc = await this.app.api.call("rpc.discover");
      if (!this.signal.aborted) this.#make();
    });
  }

  #make() {
    const suggestions = new Suggestions(this.app.api);
    this.#context = { doc: this.#doc, drafts: new Drafts(this.#doc), suggest: (/** @type {string} */ name) => suggestions.idFor(name) };
    this.#notifications = new Notifications(this.app.seen, this.#doc);
    this.#tabs = new Tabs("More", { docs: ["Docs", this.#docs], code: ["As code", this.#code], frames: ["Frames", this.#frames.element], notifications: ["Notifications", this.#notifications.element] });
    fill(this.#body, h("nav", { "aria-label": "Methods" }, this.#search, this.#found, this.#list), h("div", { class: "main" }, this.#pane, this.#tabs.element), suggestions.element);
    this.signal.addEventListener("abort", this.app.api.on("frame", (frame) => this.#frames.add(frame)), { once: true });
    this.hear("*", (name) => this.#hear(name));
    this.#body.hidden = false;
    this.#drawList();
    this.#choose();
  }

  moved() {
    if (!this.#doc) return;
    this.#choose();
    const pane = this.#panes.get(this.#chosen?.name ?? "");
    const heading = pane?.heading ?? this.querySelector("h2");
    heading?.focus({ preventScroll: true });
    heading?.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} name */
  #hear(name) {
    this.#notifications.hear(name);
    if (name === "/v1/session/permissions-changed" || name === "/v1/session/ready") this.#panes.get(this.#chosen?.name ?? "")?.showAccess();
  }

  get #chosen() { return methodAt(this.#doc.methods, location.hash); }

  /** @param {string} name @param {any} params */
  #withoutSecrets(name, params) {
    const method = this.#doc.methods.find((one) => one.name === name);
    return method ? withoutSecrets(params, method, this.#doc) : params;
  }

  /** Shows the method that the address names. */
  #choose() {
    const method = this.#chosen;
    document.title = `${method ? `${method.name} · ` : ""}Console · Tokenwire`;
    for (const link of this.#list.querySelectorAll("a")) setAttribute(link, "aria-current", method && link.hash === addressOf(method) ? "page" : null);
    this.#body.classList.toggle("chosen", Boolean(method));
    this.#tabs.offer(OF_A_METHOD, Boolean(method));
    if (!method) return fill(this.#pane, this.#welcome());
    const pane = this.#paneOf(method);
    pane.showAccess();
    fill(this.#pane, h("p", { class: "back" }, h("a", { href: "#/console" }, "All methods")), pane.element);
    fill(this.#docs, pane.docs);
    fill(this.#code, pane.code);
  }

  /** @param {Method} method */
  #paneOf(method) {
    const known = this.#panes.get(method.name);
    if (known) return known;
    const pane = new MethodPane(this.app, method, this.#context, (frame) => this.#frames.add(frame));
    this.#panes.set(method.name, pane);
    return pane;
  }

  #welcome() {
    const isUnknown = !/^#?\/?console\/?$/.test(location.hash.replace(/^#/, ""));
    return h("div", { class: "empty" }, h("h3", null, isUnknown ? "There is no such method." : "Choose a method to try it."),
      h("p", { class: "quiet" }, "Calls go over the page’s own connection, as you, and change what they say: this is no playground."));
  }

  #drawList() {
    const groups = groupsOf(this.#doc.methods, this.#search.value);
    const chosen = this.#chosen;
    fill(this.#list, [...groups].flatMap(([group, methods]) => [h("h3", null, h("code", null, group)), h("ul", { role: "list" }, methods.map((method) =>
      h("li", null, h("a", { href: addressOf(method), "aria-current": method === chosen ? "page" : null }, h("code", null, method.name.slice(groupOf(method).length))))))]));
    const n = [...groups.values()].flat().length;
    setText(this.#found, n ? count(n, "method") : "No method has that. Try fewer words.");
  }
}

/** The styles are loaded with the view, and not before. Without them it can still be used. */
function styled() {
  return new Promise((done) => document.head.append(h("link", { rel: "stylesheet", href: "/page/console.css", onload: done, onerror: done })));
}

await styled();
customElements.define("tw-console", ConsoleView);
