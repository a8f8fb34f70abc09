// The methods of the OpenRPC document: in groups, by their addresses, and what is to be known of one.

const ADDRESS = "#/console";

/** `x-access`: of each kind of caller that may call it, what he must hold.
 * @typedef {{ name: string, summary?: string, description?: string, params: { name: string, required?: boolean, description?: string, schema: any }[],
 *   result?: { schema: any }, errors?: { code: number, message: string }[], "x-post-only"?: boolean,
 *   "x-access"?: Partial<Record<"nobody" | "session" | "token", string[]>> }} Method */

/** Those that have all the words that are looked for, grouped by the part of the name before its last.
 * @param {Method[]} methods @param {string} search @returns {Map<string, Method[]>} */
export function groupsOf(methods, search = "") {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map();
  for (const method of methods) {
    const text = [method.name, method.summary, ...method.params.map(({ name }) => name)].join(" ").toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    const group = groupOf(method);
    groups.set(group, [...(groups.get(group) ?? []), method]);
  }
  return groups;
}

/** /v1/api-tokens/ of /v1/api-tokens/create; rpc. of rpc.discover. @param {Method} method */
export const groupOf = ({ name }) => name.slice(0, Math.max(name.lastIndexOf("/"), name.lastIndexOf(".")) + 1);

/** Where the page shows a method. @param {Method} method */
export const addressOf = ({ name }) => `${ADDRESS}${name.startsWith("/") ? "" : "/"}${name}`;

/** The method that an address names. @param {Method[]} methods @param {string} hash */
export function methodAt(methods, hash) {
  let address = hash;
  try {
    address = decodeURI(hash);
  } catch {} // it names none
  return methods.find((method) => addressOf(method) === address);
}

/** Whether the connection has no such method. @param {Method} method */
export const isPostOnly = (method) => method["x-post-only"] === true;

/** Whether it asks for no credential. @param {Method} method */
export const isForAnybody = (method) => method["x-access"]?.nobody?.length === 0;

/** The permissions that a session lacks for it. @param {Method} method @param {(permission: string) => boolean} holds */
export const lacking = (method, holds) => (method["x-access"]?.session ?? []).filter((permission) => !holds(permission));

/** A method's params as one schema, of an object. @param {Method} method */
export function paramsSchema({ params }) {
  return {
    type: "object",
    properties: Object.fromEntries(params.map(({ name, schema, description }) => [name, description ? { ...schema, description } : schema])),
    required: params.filter(({ required }) => required).map(({ name }) => name),
    additionalProperties: false,
  };
}

/** Params by position. One that is left out before one that is not is null, which counts as not sent.
 * @param {Method} method @param {Record<string, any>} named @returns {any[]} */
export function toPositions({ params }, named) {
  const unknown = Object.keys(named).find((name) => !params.some((param) => param.name === name));
  if (unknown !== undefined) throw new TypeError(`there is no param “${unknown}”, so it has no position`);
  const values = params.map(({ name }) => named[name]);
  return values.slice(0, values.findLastIndex((value) => value !== undefined) + 1).map((value) => value ?? null);
}

/** Params by name. @param {Method} method @param {any[]} values @returns {Record<string, any>} */
export function toNames({ params }, values) {
  if (values.length > params.length) throw new TypeError(`there are ${values.length} params, of ${params.length} at most`);
  const given = values.map((value, i) => [params[i], value]).filter(([param, value]) => value !== null || param.required);
  return Object.fromEntries(given.map(([param, value]) => [param.name, value]));
}
