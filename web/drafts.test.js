// What the console's form makes of a schema: a value, and back. node --test web/drafts.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts, leafWarning, Misfit } from "./page/drafts.js";
import { isSecret, kindOf, objectWithin, typeText } from "./page/schema.js";

const doc = { components: { schemas: {
  Options: { type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 100 }, next: { $ref: "#/components/schemas/Options" } } },
  Token: { type: "object", properties: { name: { type: "string" }, id: { type: "string" } }, required: ["id"] },
} } };
const TIME = { type: "string", format: "date-time" };
const MAP = { type: "object", additionalProperties: { type: "boolean" } };
const MATCH = { oneOf: [{ type: "string" }, { type: "array", items: [{ const: "like" }, { type: "string" }] }] };
const ORDER = { oneOf: [{ type: "string" }, { type: "array", items: { type: "array", items: [{ type: "string" }, { enum: ["asc", "desc"] }] } }] };
const drafts = new Drafts(doc);
const object = (properties) => ({ type: "object", properties });
const read = (schema, draft) => drafts.read(schema, draft);

test("nothing is sent that was not filled in", () => {
  for (const schema of [{ type: "string" }, { type: "integer" }, { type: "boolean" }, { enum: ["a"] }, { const: 1 }, TIME, MAP, MATCH, ORDER, {}, { $ref: "#/components/schemas/Options" },
    { type: "array", items: {} }, object({ a: object({ b: { type: "string" } }) }), { type: "array", items: [{ const: "like" }, { type: "string" }] }]) {
    assert.deepEqual(read(schema, drafts.make(schema)), { value: undefined, problems: [] }, JSON.stringify(schema));
  }
});

test("the members of an object are made when they are asked for, also where a schema refers to itself", () => {
  const schema = { $ref: "#/components/schemas/Options" };
  const draft = drafts.make(schema);
  const inner = drafts.member(draft, "next", schema);
  assert.equal(drafts.member(draft, "next", schema), inner, "once");
  assert.equal(read(schema, draft).value, undefined);
  drafts.member(inner, "limit", { type: "integer" }).text = "7";
  assert.deepEqual(read(schema, draft).value, { next: { limit: 7 } });
});

test("what is not filled in can be sent empty", () => {
  for (const [schema, value] of [[MAP, {}], [object({}), {}], [{ type: "array", items: {} }, []]]) {
    assert.deepEqual(read(schema, { ...drafts.make(schema), empty: true }).value, value);
  }
});

test("a map's rows; one without a key says nothing, a key that comes twice is told", () => {
  const draft = drafts.make(MAP);
  for (let i = 0; i < 3; i++) drafts.addRow(MAP, draft);
  assert.equal(read(MAP, draft).value, undefined);
  draft.rows[0].key = draft.rows[1].key = "admin";
  draft.rows[1].value.text = "false";
  assert.deepEqual(read(object({ permissions: MAP }), { members: { permissions: draft } }).problems, [{ path: "permissions.admin", text: "comes twice" }]);
  draft.rows[1].key = "__proto__";
  const { value, problems } = read(MAP, draft);
  assert.deepEqual([Object.entries(value), problems], [[["admin", true], ["__proto__", false]], []]);
});

test("a choice has the draft of what was chosen; what can be but one is there already", () => {
  const draft = drafts.make(MATCH);
  drafts.choose(MATCH, draft, 1);
  assert.equal(read(MATCH, draft).value, undefined, "“like” alone says nothing");
  draft.chosen.items[1].text = "ci";
  assert.deepEqual(read(MATCH, draft).value, ["like", "ci"]);
  drafts.choose(MATCH, draft, -1);
  assert.equal(read(MATCH, draft).value, undefined);
  const nullable = { oneOf: [{ type: "string" }, { type: "null" }] };
  const none = drafts.make(nullable);
  drafts.choose(nullable, none, 1);
  assert.equal(read(nullable, none).value, null);
});

test("numbers and times: what is none is a problem, what is out of bounds a warning", () => {
  const limit = { type: "integer", minimum: 1, maximum: 100 };
  assert.deepEqual(read(object({ limit }), { members: { limit: { text: "1.5" } } }), { value: undefined, problems: [{ path: "limit", text: "must be a whole number" }] });
  assert.deepEqual(read(limit, { text: " 101" }), { value: 101, problems: [] });
  assert.deepEqual(["1", "0", "101", "x", "9".repeat(20), ""].map((text) => leafWarning(limit, text)),
    ["", "The least is 1.", "The most is 100.", "It must be a whole number.", "It must be a whole number.", ""]);
  const id = { type: "string", pattern: "^[a-z]+$" };
  assert.deepEqual(["admin", "Admin", ""].map((text) => leafWarning(id, text)), ["", "It must match ^[a-z]+$", ""]);
  assert.equal(read(TIME, { text: "soon" }).problems.length, 1);
  assert.equal(read({ type: "number" }, { text: "1e3" }).value, 1_000);
  assert.equal(read({ type: "string" }, { text: " " }).value, " ");
});

test("value to form to value", () => {
  const all = [
    [{ type: "string" }, "“ü”"], [{ type: "integer" }, -3], [{ type: "number" }, 0.5], [{ type: "boolean" }, false], [{ enum: ["a", 1, null] }, null], [{ const: true }, true],
    [TIME, "2026-07-01T12:00:00.000Z"], [TIME, "2026-01-01T00:00:00.123Z"], [MAP, { admin: true, "": false }], [MAP, {}], [MATCH, "x"], [MATCH, ["like", "x"]],
    [ORDER, [["name", "asc"], ["id", "desc"]]], [{}, { any: ["thing"] }], [{ type: "array", items: { type: "integer" } }, [1, 2]], [{ $ref: "#/components/schemas/Options" }, { next: { next: {} } }],
    [{ allOf: [TIME], description: "end" }, "2026-07-01T12:00:00.000Z"], [{ type: ["string", "null"] }, null],
  ];
  for (const [schema, value] of all) {
    const { value: back, problems } = read(schema, drafts.from(schema, value));
    if (value?.[""] === undefined) assert.deepEqual([back, problems], [value, []], JSON.stringify(schema));
  }
  assert.equal(read(TIME, drafts.from(TIME, "2026-01-01T01:00:00+01:00")).value, "2026-01-01T00:00:00.000Z", "the same time");
});

test("what the form has no place for is told, and where", () => {
  const schema = object({ options: { $ref: "#/components/schemas/Options" }, name: { type: "string" }, permissions: MAP, where: MATCH, at: TIME });
  for (const [value, text] of [
    [{ foo: 1 }, "foo is not known"], [{ options: { limit: "x" } }, "options.limit is not of type integer"], [{ options: null }, "options is not an object"],
    [{ name: "" }, "name is an empty text, which only JSON can send"], [{ permissions: { admin: 1 } }, "permissions.admin is not true or false"],
    [{ where: ["is", "x"] }, "where is none of what it can be"], [{ at: "tomorrow" }, "at is not of type time"], [[], "is not an object"], [{ toString: 1 }, "toString is not known"],
  ]) assert.throws(() => drafts.from(schema, value), (error) => error instanceof Misfit && error.message === text, text);
});

test("types in words", () => {
  const texts = [[TIME, "date-time"], [{ type: "integer", minimum: 1, maximum: 100 }, "integer 1 to 100"], [{ type: "integer", minimum: 0 }, "integer from 0"], [MAP, "{ [key]: boolean }"],
    [ORDER, 'string | [string, "asc" | "desc"][]'], [{ type: "array", items: { oneOf: [{ type: "string" }, { type: "null" }] } }, "(string | null)[]"],
    [{ type: "array", items: { $ref: "#/components/schemas/Token" } }, "Token[]"], [object({ a: {} }), "object"], [{ type: "object", additionalProperties: false }, "{}"],
    [{ type: "object" }, "{ [key]: any }"], [true, "any"]];
  for (const [schema, text] of texts) assert.equal(typeText(schema, doc), text);
  assert.equal(kindOf({ type: "object", properties: {} }), "object");
  assert.equal(objectWithin({ type: "array", items: { $ref: "#/components/schemas/Token" } }, doc).$ref, "#/components/schemas/Token");
  assert.equal(objectWithin(MAP, doc), undefined);
});

test("secrets are known by their schema, whatever they are called", () => {
  assert(isSecret({ type: "string", format: "password" }) && !isSecret({ type: "string" }) && !isSecret({}));
});
