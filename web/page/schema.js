// JSON Schema of draft 7, as the OpenRPC document uses it: made flat, told apart, and said in words. It knows nothing of the page.

/** @typedef {{ components?: { schemas?: Record<string, any> }, methods?: any[] }} Document */
/** @typedef {"string" | "time" | "integer" | "number" | "boolean" | "enum" | "const" | "null" | "object" | "map" | "array" | "tuple" | "oneOf" | "any"} Kind */
/** @typedef {{ name: string, required: boolean, schema: any }} Member */

/** A schema without references and allOf. What stands beside a reference counts over what it refers to.
 * @param {any} schema @param {Document} doc @returns {any} */
export function flat(schema, doc) {
  if (schema === null || typeof schema !== "object") return {}; // true: anything
  const { $ref, allOf = [], ...own } = schema;
  const parts = $ref ? [referred($ref, doc), ...allOf] : allOf;
  return Object.assign({}, ...parts.map((/** @type {any} */ part) => flat(part, doc)), own);
}

/** @param {string} $ref @param {Document} doc */
const referred = ($ref, doc) => $ref.replace(/^#\//, "").split("/").reduce((/** @type {any} */ at, part) => at?.[part], doc);

/** Of a flat schema. @param {any} schema @returns {Kind} */
export function kindOf(schema) {
  if ("const" in schema) return "const";
  if (schema.enum) return "enum";
  if (choicesOf(schema)) return "oneOf";
  switch (schema.type) {
    case "string": return schema.format === "date-time" ? "time" : "string";
    case "array": return Array.isArray(schema.items) ? "tuple" : "array";
    case "object": return schema.properties || schema.additionalProperties === false ? "object" : "map";
    case "integer": case "number": case "boolean": case "null": return schema.type;
  }
  return schema.properties ? "object" : "any";
}

/** What a flat schema leaves to choose from, if it does. @param {any} schema @returns {any[] | undefined} */
export function choicesOf(schema) {
  if (Array.isArray(schema.type)) return schema.type.map((/** @type {string} */ type) => ({ ...schema, type }));
  return schema.oneOf ?? schema.anyOf;
}

/** The values that a flat schema has, where they can be counted. @param {any} schema @returns {any[]} */
export function valuesOf(schema) {
  const kind = kindOf(schema);
  return { boolean: [true, false], enum: schema.enum, const: [schema.const], null: [null] }[/** @type {string} */ (kind)] ?? [];
}

/** The members of a flat object schema, those first that must be there. @param {any} schema @returns {Member[]} */
export function membersOf({ properties = {}, required = [] }) {
  const members = Object.entries(properties).map(([name, schema]) => ({ name, schema, required: required.includes(name) }));
  return [...members.filter((member) => member.required), ...members.filter((member) => !member.required)];
}

/** A type in the notation that TypeScript has made known. @param {any} schema @param {Document} doc @returns {string} */
export function typeText(schema, doc) {
  const s = flat(schema, doc);
  const kind = kindOf(s);
  const of = (/** @type {any} */ inner) => typeText(inner, doc);
  switch (kind) {
    case "time": return "date-time";
    case "integer": case "number": return kind + boundsText(s);
    case "enum": case "const": return valuesOf(s).map((value) => JSON.stringify(value)).join(" | ");
    case "oneOf": return /** @type {any[]} */ (choicesOf(s)).map(of).join(" | ");
    case "array": return s.items ? `${inBrackets(of(s.items))}[]` : "array";
    case "tuple": return `[${s.items.map(of).join(", ")}]`;
    case "map": return `{ [key]: ${typeof s.additionalProperties === "object" ? of(s.additionalProperties) : "any"} }`;
    case "object": return nameOf(schema) ?? (membersOf(s).length ? "object" : "{}");
  }
  return kind;
}

/** A choice, so that it stands apart from what comes after it. @param {string} text */
const inBrackets = (text) => (text.includes(" | ") && !text.startsWith("[") ? `(${text})` : text);

/** @param {any} schema */
function boundsText({ minimum, maximum }) {
  if (minimum !== undefined && maximum !== undefined) return ` ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` from ${minimum}`;
  return maximum === undefined ? "" : ` to ${maximum}`;
}

/** The name that the document gives to a schema. @param {any} schema @returns {string | undefined} */
export function nameOf(schema) {
  const $ref = schema?.$ref ?? schema?.allOf?.[0]?.$ref;
  return $ref?.slice($ref.lastIndexOf("/") + 1);
}

/** The object that a schema is about, within lists, maps and choices; undefined where there is none.
 * @param {any} schema @param {Document} doc @returns {any} as it stands there: perhaps a reference */
export function objectWithin(schema, doc) {
  const s = flat(schema, doc);
  const inner = { object: [], oneOf: choicesOf(s), array: [s.items], tuple: s.items, map: [s.additionalProperties] }[/** @type {string} */ (kindOf(s))];
  if (kindOf(s) === "object") return membersOf(s).length ? schema : undefined;
  for (const one of inner ?? []) {
    const found = one && objectWithin(one, doc);
    if (found) return found;
  }
  return undefined;
}

/** Whether a value is for nobody's eyes. @param {any} schema flat */
export const isSecret = ({ format }) => format === "password";
