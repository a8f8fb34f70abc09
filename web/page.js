// The page at /: signs in, and shows the tokens as they are. Whatever somebody named is set by textContent: a name may
// hold HTML. The session is the cookie's, so that a reload stays signed in and no script keeps the secret.
import { Api } from "./client.js";
import { duration, problemOf, reasonOf, timesOf } from "./words.js";
import { Rows } from "./rows.js";
import { Tokens } from "./tokens.js";

const REREAD_MS = 60_000; // no notification tells that a token was used
const RETRY_MS = 5_000; // after a read that failed
const SIGNED_OUT = "You have signed out.";

const api = new Api();
globalThis.api = api; // for the devtools console

const at = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const rows = new Rows(at("list"), at("token"), { onSwitch: switchToken, onDelete: deleteToken });
const tokens = new Tokens(api, tokensChanged);
let isFollowing = false;
let isDrawing = false;
let isSigningOut = false;
/** @type {any} */ let retry;

// Who is signed in.

/** Calls a method by POST, where the cookie is read and set. JSON-RPC's door answers 200 also to a stranger, which
 * leaves no error in the console. @param {string} method @param {Record<string, string>} [headers] */
async function post(method, headers = {}) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method });
  const type = { "Content-Type": "application/json" };
  return (await fetch("/api", { method: "POST", headers: { ...type, ...headers }, body })).json();
}

const isStranger = async () => (await post("/v1/session/read")).error?.code === 401;

async function begin() {
  const stranger = await isStranger().catch(() => false); // not reached: the client goes on trying
  if (stranger) showSignIn("");
  else follow();
}

/** Connects. Listening at once would connect a stranger, too. */
function follow() {
  if (isFollowing) return api.reconnect();
  isFollowing = true;
  api.on("state", stateChanged);
  api.on("/v1/session/ready", showTokens);
  api.on("reset", readTokens);
  tokens.follow();
  if (api.state === "ended") api.reconnect(); // it was used from the console, before anybody had signed in
}

async function signIn() {
  const [username, password] = [at("sign-in-username"), at("sign-in-password")];
  at("sign-in-problem").textContent = "";
  try {
    const { session } = await Api.signIn(undefined, username.value, password.value);
    if (await isStranger()) return refuseOrigin(session);
    password.value = "";
    follow();
  } catch (error) {
    at("sign-in-problem").textContent = problemOf(error, "sign-in");
    password.select();
  }
}

/** The cookie does not count for pages of this address, so a session would be of no use. @param {string} session */
function refuseOrigin(session) {
  post("/v1/session/sign-out", { Authorization: `Bearer ${session}` }).catch(() => {});
  at("sign-in-problem").textContent = `Tokenwire does not take sign-ins from pages at ${location.origin}. `
    + `Whoever runs it can allow that by starting it with --origin ${location.origin}`;
}

async function signOut() {
  isSigningOut = true; // the connection may hear of the end before the answer is here
  try {
    const { error } = await post("/v1/session/sign-out");
    if (error && error.code !== 401) throw error;
    showSignIn(SIGNED_OUT);
  } finally {
    isSigningOut = false;
  }
}

/** @param {string} reason */
function showSignIn(reason) {
  if (!at("sign-in").hidden) return; // the first reason is the one
  closeSecret();
  at("confirm").close();
  tokens.clear();
  for (const id of ["tokens", "user", "connection"]) at(id).hidden = true;
  for (const id of ["news", "problem", "sign-in-problem"]) at(id).textContent = "";
  at("sign-in").hidden = false;
  at("sign-in-reason").textContent = reason;
  at("sign-in-username").focus();
}

/** @param {import("./client.js").Ready} ready */
function showTokens({ user }) {
  at("username").textContent = user.username;
  at("user").hidden = at("tokens").hidden = false;
  const wasSigningIn = !at("sign-in").hidden;
  at("sign-in").hidden = true;
  if (wasSigningIn) at("tokens-title").focus();
  if (!tokens.isRead) readTokens();
}

/** @param {import("./client.js").StateChange} change */
function stateChanged({ state, inMs, reason }) {
  if (state === "ended") return showSignIn(isSigningOut ? SIGNED_OUT : reasonOf(reason));
  at("connection").hidden = false;
  at("connection").dataset.state = state;
  at("connection-text").textContent = {
    live: "live", connecting: "connecting", waiting: `offline, trying again in ${duration(inMs)}`,
    closed: "closed; reload the page",
  }[state] ?? state;
}

// The list.

async function readTokens() {
  clearTimeout(retry);
  try {
    await tokens.read();
    at("problem").textContent = "";
  } catch (error) {
    if (api.state !== "live") return; // it is read when the connection is there again
    showProblem(error);
    retry = setTimeout(readTokens, RETRY_MS);
  }
}

function rereadTokens() {
  if (document.visibilityState === "visible" && api.state === "live" && tokens.isRead) readTokens();
}

/** @param {string} [what] @param {import("./client.js").Token} [token] */
function tokensChanged(what, token) {
  const happened = {
    created: "was created", deleted: "was deleted", updated: "was changed",
    "enabled-changed": token?.enabled ? "was switched on" : "was switched off",
    "permissions-changed": "has other permissions",
  }[what];
  if (happened) at("news").textContent = `“${token.name}” ${happened}.`;
  if (isDrawing) return;
  isDrawing = true; // a thousand changes at once are drawn once
  requestAnimationFrame(draw);
}

function draw() {
  isDrawing = false;
  const all = tokens.all;
  at("count").textContent = tokens.isRead ? `(${all.length})` : "";
  at("empty").hidden = !tokens.isRead || all.length > 0;
  if (rows.draw(all, timesOf)) at("tokens-title").focus(); // what had the focus is gone
}

// What can be done.

/** Does something once at a time, and says what went wrong. A disabled button would lose the focus.
 * @param {HTMLElement} button @param {() => Promise<unknown>} work */
async function act(button, work) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  at("problem").textContent = "";
  try {
    await work();
  } catch (error) {
    showProblem(error);
  } finally {
    button.ariaDisabled = null;
  }
}

function showProblem(error) {
  at("problem").textContent = problemOf(error);
}

async function createToken() {
  const token = await api.call("/v1/api-tokens/create", at("create-name").value);
  at("create-form").reset();
  at("secret-label").textContent = `The secret of “${token.name}”. Copy it now: it is not shown again.`;
  at("secret-value").value = token.token;
  at("secret-copy").textContent = "Copy";
  at("secret").hidden = false;
  at("secret-value").focus();
  at("secret-value").select();
}

async function copySecret() {
  const field = at("secret-value");
  try {
    await navigator.clipboard.writeText(field.value);
  } catch { // browsers have no clipboard for pages that came by http: from elsewhere
    field.select();
    if (!document.execCommand("copy")) {
      at("news").textContent = "The browser does not let the page copy: press Ctrl+C or ⌘C.";
      return;
    }
  }
  at("secret-copy").textContent = "Copied";
  at("news").textContent = "The secret was copied.";
}

function closeSecret() {
  at("secret-value").value = "";
  at("secret").hidden = true;
}

/** @param {import("./client.js").Token} token @param {HTMLElement} button */
function switchToken(token, button) {
  act(button, () => api.call("/v1/api-tokens/set-enabled", token.id, !token.enabled));
}

/** @param {import("./client.js").Token} token @param {HTMLElement} button */
async function deleteToken(token, button) {
  if (await isConfirmed(token)) act(button, () => api.call("/v1/api-tokens/delete", token.id));
}

/** @param {import("./client.js").Token} token @returns {Promise<boolean>} */
function isConfirmed(token) {
  const dialog = at("confirm");
  at("confirm-text").textContent = `“${token.name}” (${token.prefix}…) stops working at once, for good.`;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true });
  });
}

/** @param {string} form @param {() => Promise<unknown>} work */
function onSubmit(form, work) {
  at(form).addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    act(at(form).querySelector("button"), work);
  });
}

onSubmit("sign-in-form", signIn);
onSubmit("create-form", createToken);
at("sign-out").addEventListener("click", () => act(at("sign-out"), signOut));
at("secret-copy").addEventListener("click", copySecret);
at("secret-done").addEventListener("click", () => (closeSecret(), at("create-name").focus()));
at("confirm-cancel").addEventListener("click", () => at("confirm").close());
at("confirm-delete").addEventListener("click", () => at("confirm").close("delete"));
document.addEventListener("visibilitychange", rereadTokens);
setInterval(rereadTokens, REREAD_MS);
begin();
