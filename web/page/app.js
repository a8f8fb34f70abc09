// The page at /: signs in, holds the one connection, and shows the view that the address names. The session is the
// cookie's, so that a reload stays signed in and no script keeps the secret.

import { Api } from "../client.js";
import { button, fill, h, setText } from "./dom.js";
import { act, announce } from "./actions.js";
import { closeDialogs } from "./dialog.js";
import { Seen } from "./seen.js";
import { View } from "./view.js";
import { hearTime, OFFLINE, reasonOf } from "./words.js";
import "./connection.js";
import "./sign-in.js";

/** @typedef {{ title: string, load: () => Promise<unknown>, element: string, needs?: string }} Route */

/** @type {Record<string, Route>} */
const ROUTES = {
  tokens: { title: "Tokens", load: () => import("./tokens-view.js"), element: "tw-tokens" },
  activity: { title: "Activity", load: () => import("./activity.js"), element: "tw-activity" },
  users: { title: "Users", load: () => import("./users.js"), element: "tw-users", needs: "admin" },
  permissions: { title: "Permissions", load: () => import("./catalogue.js"), element: "tw-catalogue", needs: "admin" },
  console: { title: "Console", load: () => import("./console.js"), element: "tw-console" },
  account: { title: "Account", load: () => import("./account.js"), element: "tw-account" },
};
const SIGNED_OUT = "You have signed out.";

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class App {
  api = new Api();
  /** Who is signed in. @type {import("../client.js").User | null} */ user = null;
  /** What he holds. @type {Record<string, boolean>} */ permissions = {};
  /** What was pushed. */ seen = new Seen();
  #isFollowing = false;
  #isSigningOut = false;

  /** @param {string} permission */
  holds(permission) { return this.permissions[permission] === true; }

  /** Asks whether the cookie is good. To connect with one that is not would leave an error in the console. */
  async begin() {
    const stranger = await this.#isStranger().catch(() => false); // not reached: the client goes on trying
    if (stranger) this.#showSignIn("");
    else this.#follow();
  }

  /** Goes on as whoever the cookie names now. Resolves false if the cookie does not count for pages of this address. */
  async signedIn() {
    if (await this.#isStranger()) return false;
    this.#follow();
    return true;
  }

  /** Connects. Listening at once would connect a stranger, too. */
  #follow() {
    if (this.#isFollowing) return this.api.reconnect({ anew: true }); // the connection that there was may be dead and not know it
    this.#isFollowing = true;
    this.seen.follow(this.api);
    this.api.on("state", (change) => this.#stateChanged(change));
    this.api.on("/v1/session/ready", (ready) => this.#ready(ready));
    for (const told of ["ready", "heartbeat"]) this.api.on(`/v1/session/${told}`, ({ time }) => hearTime(time));
    this.api.on("/v1/session/permissions-changed", ({ permissions }) => this.#permissionsChanged(permissions));
    if (this.api.state === "ended") this.api.reconnect(); // it was used from the console, before anybody had signed in
  }

  /** @param {import("../client.js").Ready} ready */
  #ready({ user, permissions }) {
    const isOther = this.user?.id !== user.id;
    this.user = user;
    setText(at("username"), user.username);
    document.body.dataset.signedIn = "";
    if (!isOther) return this.#permissionsChanged(permissions);
    this.permissions = permissions;
    this.route();
  }

  /** @param {Record<string, boolean>} permissions */
  #permissionsChanged(permissions) {
    const before = this.permissions;
    this.permissions = permissions;
    this.#drawNavigation();
    const { needs } = this.#current().route;
    if (needs && Boolean(before[needs]) !== this.holds(needs)) this.route();
  }

  /** @param {import("../client.js").StateChange} change */
  #stateChanged(change) {
    document.body.dataset.state = change.state;
    /** @type {import("./connection.js").Connection} */ (at("connection")).show(change);
    if (change.state === "live" && at("problem").textContent === OFFLINE) fill(at("problem"));
    if (change.state === "ended") this.#showSignIn(this.#isSigningOut ? SIGNED_OUT : reasonOf(change.reason));
  }

  /** @param {string} reason */
  #showSignIn(reason) {
    closeDialogs(); // one of them may show a secret
    this.user = null;
    this.permissions = {};
    delete document.body.dataset.signedIn;
    for (const id of ["problem", "toasts", "username", "navigation"]) fill(at(id)); // they tell of what was his
    if (document.querySelector("tw-sign-in")) return; // the first reason is the one
    document.title = "Sign in · Tokenwire";
    this.#show(Object.assign(document.createElement("tw-sign-in"), { app: this, reason }));
  }

  /** @param {HTMLElement} from the button */
  signOut(from) {
    this.#isSigningOut = true; // the connection may hear of the end before the answer is here
    return act(this, from, async () => {
      const { error } = await post("/v1/session/sign-out");
      if (error && error.code !== 401) throw error;
      this.#showSignIn(SIGNED_OUT);
    }).finally(() => (this.#isSigningOut = false));
  }

  async #isStranger() { return (await post("/v1/session/read")).error?.code === 401; }

  // Views.

  #current() {
    const name = location.hash.replace(/^#\/?/, "").split("/")[0];
    const found = Object.hasOwn(ROUTES, name) ? name : "tokens";
    return { name: found, route: ROUTES[found] };
  }

  #drawNavigation() {
    const { name: current } = this.#current();
    const links = Object.entries(ROUTES).filter(([, { needs }]) => !needs || this.holds(needs)).map(([name, { title }]) =>
      h("li", null, h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, title)));
    const focused = at("navigation").contains(document.activeElement) ? document.activeElement?.getAttribute("href") : null;
    fill(at("navigation"), h("ul", { role: "list" }, links));
    at("navigation").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (focused) (links.map(({ firstChild }) => firstChild).find((link) => link.getAttribute("href") === focused) ?? at("main")).focus();
  }

  /** The address has changed: to another view, or within the one that is shown. */
  moved() {
    const shown = at("main").firstElementChild;
    if (!(shown instanceof View) || shown.localName !== this.#current().route.element) return this.route();
    this.#drawNavigation();
    closeDialogs();
    fill(at("problem"));
    shown.moved();
  }

  /** Shows the view that the address names. */
  async route() {
    if (!this.user) return;
    const { name, route } = this.#current();
    this.#drawNavigation();
    closeDialogs();
    fill(at("problem"));
    document.title = `${route.title} · Tokenwire`;
    if (route.needs && !this.holds(route.needs)) return this.#show(refusal(route));
    const isLoaded = await route.load().then(() => true, () => false);
    if (!this.user || this.#current().name !== name) return; // signed out, or gone on, meanwhile
    if (isLoaded) this.#show(Object.assign(document.createElement(route.element), { app: this }));
    else this.#showUnloaded(); // the server is away, and the browser has no copy
  }

  #showUnloaded() {
    const sorry = unloaded(() => this.route());
    this.#show(sorry);
    if (this.api.state !== "live") this.api.connect().then(() => sorry.isConnected && this.route(), () => {});
  }

  /** @param {HTMLElement} view */
  #show(view) {
    fill(at("main"), view);
    scrollTo(0, 0);
    /** @type {HTMLElement | null} */ (view.querySelector("[autofocus]") ?? view.querySelector("h2"))?.focus({ preventScroll: true });
  }
}

/** @param {Route} route */
const refusal = ({ title, needs }) => h("section", { class: "empty" }, h("h2", { tabindex: "-1" }, title),
  h("p", null, `This needs the permission ${needs}, which you do not hold. Ask an administrator for it.`));

/** @param {() => void} again */
const unloaded = (again) => h("section", { class: "empty" }, h("h2", { tabindex: "-1" }, "This part of the page could not be loaded"),
  h("p", null, "Tokenwire cannot be reached just now."), h("p", null, button("Try again", again)));

/** Calls a method by POST, where the cookie is read and set. JSON-RPC's door answers 200 also to a stranger, which
 * leaves no error in the console. @param {string} method */
async function post(method) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method });
  return (await fetch("/api", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
}

const app = new App();
/** @type {any} */ (globalThis).api = app.api; // for the devtools console
/** @type {import("./connection.js").Connection} */ (at("connection")).api = app.api;
at("sign-out").addEventListener("click", ({ currentTarget }) => app.signOut(/** @type {HTMLElement} */ (currentTarget)));
at("problem-seen").addEventListener("click", () => (fill(at("problem")), at("main").focus()));
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  at("main").focus();
});
addEventListener("hashchange", () => app.moved());
addEventListener("unhandledrejection", () => announce("Something in the page went wrong. Reload it if it misbehaves."));
app.begin();
