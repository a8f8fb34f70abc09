// The dialog that gives a token another secret: it says what becomes of the old one, and shows the new one, once.

import { button, h, labelled, setText } from "./dom.js";
import { act, announce } from "./actions.js";
import { updatesOf } from "./changes.js";
import { openDialog } from "./dialog.js";
import { receipted, receiptSentence } from "./receipt.js";
import { goodUntil, showSecret } from "./secret.js";
import { count, permissionChanges, whenExactly } from "./words.js";

const CONFLICT = 409;
const HOUR = 3_600; // in seconds, as the server counts an overlap
const DAY = 24 * HOUR;
const MAX_OVERLAP = 7 * DAY; // the server's
const OVERLAPS = [["Not at all", 0], ["1 hour", HOUR], ["1 day", DAY], ["7 days", 7 * DAY], ["Seconds …", "some"]];

/** @typedef {import("../client.js").Token} Token */

/** @param {import("./app.js").App} app @param {Token} token @param {(token: Token) => void} rotated */
export async function rotateTokenDialog(app, token, rotated) {
  let current = token;
  const overlap = h("select", { autofocus: true, onchange: () => overlapChanged() }, OVERLAPS.map(([text, seconds]) => h("option", { value: String(seconds) }, text)));
  const some = h("input", { type: "number", min: "0", max: String(MAX_OVERLAP), oninput: () => tell() });
  const someField = labelled("Seconds", some, "Up to 604,800, which are 7 days.");
  const effect = h("p", { role: "status" });
  const connections = h("li", null, "Looking for its connections…");
  const submit = h("button", { class: "primary", form: "rotate-token" }, "Rotate");
  const form = h("form", { id: "rotate-token", class: "fields" }, labelled("The old secret is good for", overlap), someField);
  const dialog = openDialog({
    title: `Rotate “${token.name}”?`,
    body: [
      h("p", null, "It gets a new secret, which is shown once. Its id, its permissions and all else stay."),
      form, effect,
      h("ul", { class: "facts", role: "list" }, connections, h("li", null, "A secret that was replaced before, and is still good, ends at once.")),
    ],
    actions: [button("Cancel", () => dialog.close()), submit],
  });

  const seconds = () => Number(overlap.value === "some" ? some.value : overlap.value);

  function overlapChanged() {
    someField.hidden = overlap.value !== "some";
    some.required = !someField.hidden;
    tell();
  }

  /** What will happen. */
  function tell() {
    setText(effect, seconds() > 0 ? `Programs go on with the old secret until ${whenExactly(oldEnd(Date.now(), seconds(), token))}: give them the new one by then.`
      : "Programs that have the old secret are refused at once, until they are given the new one.");
  }

  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const asked = seconds();
    act(app, submit, async () => {
      const { result: { token: secret, ...now }, receipt } = await receipted(app, "/v1/api-tokens/rotate", [token.id, { overlap: asked, version: current.version }]);
      rotated(now);
      if (dialog.open) show(secret, now, asked, receipt);
      else announce(unseen(now.name));
    }, {
      explain: (error) => (error.code === CONFLICT && error.data?.token ? refused(error.data.token) : undefined),
      settle: async () => {
        const { tokens: [now] } = await app.api.call("/v1/api-tokens/read", { id: token.id });
        if (now.version === current.version) return `“${now.name}” was not rotated. Try again.`;
        current = now;
        return unseen(now.name);
      },
    });
  });

  /** Somebody else was first, and may have given it another secret, of which nothing else is to be seen. @param {Token} now */
  function refused(now) {
    const theirs = [...updatesOf(current, now), ...permissionChanges(current.permissions, now.permissions), current.enabled !== now.enabled && `switched ${now.enabled ? "on" : "off"}`].filter(Boolean);
    current = now;
    return `Not rotated, since the token was changed meanwhile: ${theirs.join(", ") || "it was given a new secret"}. Rotate it again if that is still right.`;
  }

  /** @param {string} secret @param {Token} now @param {number} asked @param {import("./receipt.js").Receipt} receipt */
  function show(secret, now, asked, receipt) {
    const old = asked ? `The old one is good until ${whenExactly(oldEnd(Date.parse(now.updatedAt), asked, now))}.` : "The old one is good no more.";
    showSecret(dialog, {
      title: `“${now.name}” has a new secret`, secret, unseen: unseen(now.name),
      lines: [goodUntil(now.expiresAt), `${old}${receiptSentence(receipt, asked ? "known" : "refused")}`],
    });
  }

  overlapChanged();
  try {
    const { connections: n } = await app.api.call("/v1/api-tokens/get-connections", token.id);
    connections.textContent = n ? `${count(n, "connection")} of it will be closed when the secret that it came by ends.` : "It has no connections now.";
  } catch {
    connections.textContent = "How many connections it has now is not known.";
  }
}

/** The old secret never lasts longer than the token. @param {number} from @param {number} seconds @param {Token} token */
const oldEnd = (from, seconds, { expiresAt }) => Math.min(from + seconds * 1_000, expiresAt ? Date.parse(expiresAt) : Infinity);

/** @param {string} name */
const unseen = (name) => `“${name}” was given a new secret, but nobody has it, and it cannot be shown again: rotate it once more.`;
