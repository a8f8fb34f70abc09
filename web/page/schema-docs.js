// Schemas and errors, to be read.

import { h } from "./dom.js";
import { flat, membersOf, nameOf, objectWithin, typeText } from "./schema.js";
import { paramsSchema } from "./methods.js";

/** @typedef {import("./schema.js").Document} Document */

/** A type, and what it has in it. @param {any} schema @param {Document} doc @returns {any[]} */
export function schemaDocs(schema, doc) {
  const { description } = flat(schema, doc);
  return [h("p", null, h("code", { class: "type" }, typeText(schema, doc)), description && [" — ", description]), membersDocs(schema, doc, [])];
}

/** The members of the object that a schema is about, and of those in it, each once.
 * @param {any} schema @param {Document} doc @param {string[]} within the names of those that it is in @returns {any} */
function membersDocs(schema, doc, within) {
  const object = objectWithin(schema, doc);
  const name = nameOf(object);
  if (!object || (name && within.includes(name))) return null;
  return h("ul", { class: "members", role: "list" }, membersOf(flat(object, doc)).map((member) => {
    const { description } = flat(member.schema, doc);
    return h("li", null, h("code", null, member.name), " ", h("span", { class: "type" }, typeText(member.schema, doc)), !member.required && h("span", { class: "type" }, " optional"),
      description && h("small", null, description), membersDocs(member.schema, doc, name ? [...within, name] : within));
  }));
}

/** All that the document says of a method. @param {import("./methods.js").Method} method @param {Document} doc @returns {any} */
export function methodDocs(method, doc) {
  const { params, result, errors = [] } = method;
  return h("div", { class: "docs" },
    h("h4", null, "Params"), params.length ? membersDocs(paramsSchema(method), doc, []) : h("p", null, "None."),
    h("h4", null, "Result"), schemaDocs(result?.schema ?? {}, doc),
    h("h4", null, "Errors"), h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Code"), h("th", { scope: "col" }, "Meaning"))),
      h("tbody", null, errors.map(({ code, message }) => h("tr", null, h("td", null, h("code", null, code)), h("td", null, message))))));
}
