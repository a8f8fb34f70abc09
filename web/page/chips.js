// Permissions in a row of a list: the first ones by their ids, the rest counted.

import { h } from "./dom.js";

const NAMED = 4;

/** @param {string[]} ids @param {(id: string) => boolean} [isEffective] @returns {any[]} */
export function chips(ids, isEffective = () => true) {
  const chip = (/** @type {string} */ id) => (isEffective(id) ? h("span", { class: "chip" }, id)
    : h("span", { class: "chip idle", title: "You do not hold this permission, so it has no effect" }, id, h("span", { class: "visually-hidden" }, " (no effect: not held)")));
  if (!ids.length) return [h("span", { class: "quiet" }, "No permissions")];
  return [...ids.sort().slice(0, NAMED).map((id) => [chip(id), " "]), ids.length > NAMED && h("span", { class: "quiet" }, `and ${ids.length - NAMED} more`)];
}
