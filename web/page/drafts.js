// What a form holds, and the value that it makes, by a schema. It knows nothing of the page, so that it can be tested without one.
//
// A draft is what has been filled in. What has not makes no value (undefined), and is not sent. A draft's parts are made when they
// are first asked for: a schema may refer to itself.

import { choicesOf, flat, kindOf, membersOf, valuesOf } from "./schema.js";
import { localText } from "./words.js";

/** @typedef {import("./schema.js").Document} Document */
/** By its kind: text (of "" nothing was filled in); members of an object; rows of a map or array; items of a tuple; what a choice
 * has chosen (-1: nothing), and its draft. `empty`: to be sent although nothing is in it.
 * @typedef {{ text?: string, members?: Record<string, Draft>, rows?: { key: string, value: Draft }[], items?: Draft[],
 *   choice?: number, chosen?: Draft, empty?: boolean }} Draft */
/** @typedef {{ path: string, text: string }} Problem */

/** A value that the form has no place for. */
export class Misfit extends Error {
  /** @param {string} path @param {string} text */
  constructor(path, text) {
    super(path ? `${path} ${text}` : text);
    this.path = path;
  }
}

export class Drafts {
  #doc;
  /** @param {Document} doc */
  constructor(doc) { this.#doc = doc; }

  /** @param {any} schema */
  flat(schema) { return flat(schema, this.#doc); }

  /** A draft with nothing in it. What has been asked for with `given` has the one value that it can have.
   * @param {any} schema @param {{ given?: boolean }} [options] @returns {Draft} */
  make(schema, { given = false } = {}) {
    const s = this.flat(schema);
    switch (kindOf(s)) {
      case "object": return { members: {}, empty: false };
      case "map": case "array": return { rows: [], empty: false };
      case "tuple": return { items: s.items.map((/** @type {any} */ item) => this.make(item, { given: true })) };
      case "oneOf": return { choice: -1 };
    }
    const values = valuesOf(s);
    return { text: given && values.length === 1 ? JSON.stringify(values[0]) : "" };
  }

  /** An object's member. @param {Draft} draft @param {string} name @param {any} schema @returns {Draft} */
  member(draft, name, schema) { return (/** @type {any} */ (draft.members)[name] ??= this.make(schema)); }

  /** Adds a row to a map or array. @param {any} schema its flat schema @param {Draft} draft */
  addRow(schema, draft) {
    const inner = rowSchema(schema);
    const value = this.make(inner, { given: true });
    if (schema.type === "object" && kindOf(this.flat(inner)) === "boolean") value.text = "true"; // a row is there to say something
    /** @type {any} */ (draft.rows).push({ key: "", value });
  }

  /** Chooses one of what a schema leaves to choose; -1: nothing. @param {any} schema flat @param {Draft} draft @param {number} choice */
  choose(schema, draft, choice) {
    draft.choice = choice;
    draft.chosen = choice < 0 ? undefined : this.make(choicesOf(schema)?.[choice], { given: true });
  }

  // From the draft to the value.

  /** The value, and what is wrong in the draft. @param {any} schema @param {Draft} draft @returns {{ value: any, problems: Problem[] }} */
  read(schema, draft) {
    /** @type {Problem[]} */ const problems = [];
    return { value: this.#value(schema, draft, "", problems), problems };
  }

  /** @param {any} schema @param {Draft} draft @param {string} path @param {Problem[]} problems @returns {any} */
  #value(schema, draft, path, problems) {
    const s = this.flat(schema);
    switch (kindOf(s)) {
      case "object": return this.#object(s, draft, path, problems);
      case "map": return this.#map(s, draft, path, problems);
      case "array": return orEmpty(this.#row(s, draft, path, problems).filter((value) => value !== undefined), draft);
      case "tuple": return this.#tuple(s, draft, path, problems);
      case "oneOf": return draft.chosen && this.#value(choicesOf(s)?.[/** @type {number} */ (draft.choice)], draft.chosen, path, problems);
    }
    const { value, problem } = leafValue(s, draft.text ?? "");
    if (problem) problems.push({ path, text: problem });
    return value;
  }

  /** @param {any} s @param {Draft} draft @param {string} path @param {Problem[]} problems */
  #object(s, { members = {}, empty }, path, problems) {
    const values = membersOf(s).filter(({ name }) => Object.hasOwn(members, name))
      .map(({ name, schema }) => [name, this.#value(schema, members[name], join(path, name), problems)])
      .filter(([, value]) => value !== undefined);
    return values.length || empty ? Object.fromEntries(values) : undefined;
  }

  /** @param {any} s @param {Draft} draft @param {string} path @param {Problem[]} problems */
  #map(s, draft, path, problems) {
    /** @type {Map<string, any>} */ const values = new Map();
    for (const { key, value: inner } of draft.rows ?? []) {
      const value = key === "" ? undefined : this.#value(rowSchema(s), inner, join(path, key), problems);
      if (values.has(key)) problems.push({ path: join(path, key), text: "comes twice" });
      if (value !== undefined) values.set(key, value);
    }
    return values.size || draft.empty ? Object.fromEntries(values) : undefined;
  }

  /** @param {any} s @param {Draft} draft @param {string} path @param {Problem[]} problems @returns {any[]} */
  #row(s, { rows = [] }, path, problems) {
    return rows.map(({ value }, i) => this.#value(rowSchema(s), value, `${path}[${i}]`, problems));
  }

  /** What a tuple cannot but hold says nothing yet. @param {any} s @param {Draft} draft @param {string} path @param {Problem[]} problems */
  #tuple(s, { items = [] }, path, problems) {
    const values = items.map((item, i) => this.#value(s.items[i], item, `${path}[${i}]`, problems));
    const isFilled = values.some((value, i) => value !== undefined && kindOf(this.flat(s.items[i])) !== "const");
    return isFilled ? values.map((value) => value ?? null) : undefined;
  }

  // From the value to the draft.

  /** The draft that makes this value. @param {any} schema @param {any} value @param {string} [path] @returns {Draft} @throws {Misfit} */
  from(schema, value, path = "") {
    const s = this.flat(schema);
    if (value === undefined) return this.make(schema);
    switch (kindOf(s)) {
      case "object": return this.#fromObject(s, value, path);
      case "map": return rowsOf(Object.entries(object(value, path)).map(([key, one]) => ({ key, value: this.from(rowSchema(s), one, join(path, key)) })));
      case "array": return rowsOf(array(value, path).map((one, i) => ({ key: "", value: this.from(rowSchema(s), one, `${path}[${i}]`) })));
      case "tuple": return { items: this.#fromTuple(s, value, path) };
      case "oneOf": return this.#fromChoice(s, value, path);
    }
    return { text: leafText(s, value, path) };
  }

  /** @param {any} s @param {any} value @param {string} path @returns {Draft} */
  #fromObject(s, value, path) {
    const { properties = {} } = s;
    const unknown = Object.keys(object(value, path)).find((name) => !Object.hasOwn(properties, name));
    if (unknown !== undefined) throw new Misfit(join(path, unknown), "is not known");
    const members = Object.entries(value).map(([name, one]) => [name, this.from(properties[name], one, join(path, name))]);
    return { empty: members.length === 0, members: Object.fromEntries(members) };
  }

  /** @param {any} s @param {any} value @param {string} path */
  #fromTuple({ items }, value, path) {
    if (array(value, path).length !== items.length) throw new Misfit(path, `has not ${items.length} items`);
    return items.map((/** @type {any} */ item, /** @type {number} */ i) => this.from(item, value[i], `${path}[${i}]`));
  }

  /** @param {any} s @param {any} value @param {string} path @returns {Draft} */
  #fromChoice(s, value, path) {
    for (const [choice, schema] of /** @type {any[]} */ (choicesOf(s)).entries()) {
      try {
        return { choice, chosen: this.from(schema, value, path) };
      } catch (error) {
        if (!(error instanceof Misfit)) throw error;
      }
    }
    throw new Misfit(path, "is none of what it can be");
  }
}

/** What a map's or array's rows are. @param {any} schema flat */
export const rowSchema = (schema) => (schema.type === "array" ? schema.items : schema.additionalProperties) ?? {};

/** @param {{ key: string, value: Draft }[]} rows @returns {Draft} */
const rowsOf = (rows) => ({ empty: rows.length === 0, rows });
const join = (/** @type {string} */ path, /** @type {string} */ name) => (path ? `${path}.${name}` : name);
const orEmpty = (/** @type {any[]} */ values, /** @type {Draft} */ { empty }) => (values.length || empty ? values : undefined);

/** @param {any} value @param {string} path @returns {Record<string, any>} */
function object(value, path) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Misfit(path, "is not an object");
  return value;
}

/** @param {any} value @param {string} path @returns {any[]} */
function array(value, path) {
  if (!Array.isArray(value)) throw new Misfit(path, "is not an array");
  return value;
}

/** What a text says, by a flat schema. @param {any} s @param {string} text @returns {{ value?: any, problem?: string }} */
export function leafValue(s, text) {
  if (text === "") return {};
  switch (kindOf(s)) {
    case "string": return { value: text };
    case "integer": return /^-?\d+$/.test(text.trim()) && Number.isSafeInteger(Number(text)) ? { value: Number(text) } : { problem: "must be a whole number" };
    case "number": return text.trim() && Number.isFinite(Number(text)) ? { value: Number(text) } : { problem: "must be a number" };
    case "time": return Number.isNaN(Date.parse(text)) ? { problem: "must be a date and a time" } : { value: new Date(text).toISOString() };
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { problem: "must be JSON" };
  }
}

/** What the server will say to a value that is sent all the same. @param {any} s flat @param {string} text */
export function leafWarning(s, text) {
  const { value, problem } = leafValue(s, text);
  if (problem) return `It ${problem}.`;
  if (s.pattern && typeof value === "string" && !new RegExp(s.pattern, "u").test(value)) return `It must match ${s.pattern}`;
  if (typeof value !== "number") return "";
  if (value < s.minimum) return `The least is ${s.minimum}.`;
  return value > s.maximum ? `The most is ${s.maximum}.` : "";
}

/** The text that says a value. @param {any} s flat @param {any} value @param {string} path */
function leafText(s, value, path) {
  const kind = kindOf(s);
  const text = kind === "time" && typeof value === "string" ? localText(value) : kind === "string" ? value : JSON.stringify(value);
  const values = valuesOf(s).map((one) => JSON.stringify(one));
  if (values.length ? values.includes(text) : typeof text === "string" && text !== "" && typeof leafValue(s, text).value === typeOf[kind]) return text;
  if (kind === "any") return text;
  throw new Misfit(path, value === "" ? "is an empty text, which only JSON can send" : `is not ${values.length ? values.join(" or ") : `of type ${kind}`}`);
}

/** @type {Record<string, string>} */
const typeOf = { string: "string", time: "string", integer: "number", number: "number" };
