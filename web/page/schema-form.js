// A form made from a schema: what is typed goes into a draft (drafts.js), from which the value is read.

import { button, fill, h, labelled, newId, setAttribute, setText } from "./dom.js";
import { leafValue, leafWarning, rowSchema } from "./drafts.js";
import { choicesOf, isSecret, kindOf, membersOf, typeText, valuesOf } from "./schema.js";

const NOT_SENT = "not sent";

/** @typedef {import("./drafts.js").Draft} Draft */
/** What all of a form's fields need. `suggest` gives the id of a datalist for a name, if there is one.
 * @typedef {{ doc: import("./schema.js").Document, drafts: import("./drafts.js").Drafts, changed: () => void,
 *   suggest: (name: string) => string | undefined, isInner?: boolean }} Context */
/** A field: its name, its schema made flat and as it was, and its draft. `bare`: its label is for screen readers alone.
 * @typedef {{ name: string, s: any, schema: any, draft: Draft, required?: boolean, bare?: boolean }} Field */

/** The fields of an object's members. @param {Context} context @param {any} schema @param {Draft} draft @returns {any[]} */
export function membersForm(context, schema, draft) {
  const { drafts } = context;
  return membersOf(drafts.flat(schema)).map((member) => fieldOf(context, {
    ...member, s: drafts.flat(member.schema), draft: drafts.member(draft, member.name, member.schema),
  }));
}

/** @param {Context} context @param {Field} field @returns {any} */
function fieldOf(context, field) {
  const make = { object: objectField, map: rowsField, array: rowsField, tuple: tupleField, oneOf: choiceField }[/** @type {string} */ (kindOf(field.s))];
  return (make ?? leafField)(context, field);
}

/** What a field is called, of which type it is, and whether it must be there. @param {Context} context @param {Field} field */
const labelOf = ({ doc }, { name, schema, required }) => [h("code", null, name), " ", h("span", { class: "type" }, typeText(schema, doc)),
  required && [" ", h("span", { class: "badge" }, "required")]];

// One value.

/** @param {Context} context @param {Field} field */
function leafField(context, field) {
  const { s, draft, name, bare } = field;
  const input = control(context, field);
  const warning = h("small", { class: "warning", id: newId() });
  const told = () => {
    const text = leafWarning(s, draft.text ?? "");
    setText(warning, text);
    setAttribute(input, "aria-invalid", text ? "true" : null);
    setAttribute(input, "data-stops", leafValue(s, draft.text ?? "").problem !== undefined);
  };
  input.addEventListener("input", () => {
    draft.text = input.value;
    told();
    context.changed();
  });
  if (bare) {
    setAttribute(input, "aria-label", name);
    setAttribute(input, "aria-describedby", warning.id);
    return h("div", { class: "field" }, input, warning);
  }
  const element = labelled(labelOf(context, field), input, hintOf(s));
  setAttribute(input, "aria-describedby", [input.getAttribute("aria-describedby"), warning.id].filter(Boolean).join(" "));
  element.append(warning);
  return element;
}

/** @param {any} s flat */
const hintOf = (s) => (kindOf(s) === "time" ? `${s.description ?? ""} (Here in your own time zone; it is sent in UTC.)` : s.description);

/** The control for one value. @param {Context} context @param {Field} field @returns {any} */
function control({ suggest }, { name, s, draft, required }) {
  const kind = kindOf(s);
  const common = { value: draft.text ?? "", "aria-required": required ? "true" : null };
  const values = valuesOf(s);
  if (values.length) {
    const options = values.map((value) => JSON.stringify(value)).map((text) => h("option", { value: text }, text));
    const select = h("select", common, h("option", { value: "" }, NOT_SENT), options);
    select.value = draft.text ?? "";
    return select;
  }
  if (kind === "any") return h("textarea", { ...common, class: "code", rows: "2", spellcheck: "false", placeholder: "JSON" });
  if (kind === "time") return h("input", { type: "datetime-local", step: "1", ...common });
  if (isSecret(s)) return h("input", { type: "password", autocomplete: "new-password", ...common });
  const numeric = kind === "integer" ? "numeric" : kind === "number" ? "decimal" : null;
  return h("input", { ...common, inputmode: numeric, autocomplete: "off", autocapitalize: "none", spellcheck: "false", dir: numeric ? null : "auto", list: suggest(name), placeholder: NOT_SENT });
}

// Several values.

/** A field with others in it. @param {Context} context @param {Field} field @param {...any} content */
function part(context, field, ...content) {
  const hint = field.s.description ? h("small", { id: newId() }, field.s.description) : null;
  return h("fieldset", { class: "part", "aria-describedby": hint?.id }, h("legend", { class: field.bare ? "visually-hidden" : null }, labelOf(context, field)), hint, ...content);
}

/** Its members are made when it is opened; what is deeper is closed at first. @param {Context} context @param {Field} field */
function objectField(context, field) {
  const { draft, s, schema } = field;
  const content = h("div", { class: "part" });
  const show = () => content.firstChild || fill(content, s.description && h("small", null, s.description),
    h("div", { class: "members-form" }, membersForm({ ...context, isInner: true }, schema, draft)), emptyBox(context, field, "{}"));
  const details = h("details", { open: !context.isInner || !isBlank(draft), ontoggle: () => details.open && show() },
    h("summary", null, labelOf(context, field)), content);
  if (details.open) show();
  return details;
}

/** @param {Draft} draft of an object */
const isBlank = ({ members, empty }) => !empty && Object.keys(members ?? {}).length === 0;

/** Nothing and an empty one are the same where it need not be there. @param {Context} context @param {Field} field @param {string} text */
function emptyBox({ changed }, { name, draft, required }, text) {
  if (!required && !draft.empty) return null;
  const box = h("input", { type: "checkbox", checked: Boolean(draft.empty), onchange: () => {
    draft.empty = box.checked;
    changed();
  } });
  return h("label", { class: "check" }, box, h("span", null, "Send ", h("code", null, `${name}: ${text}`), " if nothing is filled in"));
}

/** A map or an array: as many rows as one likes. @param {Context} context @param {Field} field */
function rowsField(context, field) {
  const { name, s, draft } = field;
  const isMap = kindOf(s) === "map";
  const list = h("ul", { class: "rows", role: "list" });
  const draw = () => {
    fill(list, (draft.rows ?? []).map((row, i) => rowOf(context, field, row, i, () => {
      draft.rows?.splice(i, 1);
      draw();
      add.focus();
      context.changed();
    })));
    list.hidden = !draft.rows?.length;
  };
  const add = button("Add", () => {
    context.drafts.addRow(s, draft);
    draw();
    list.lastElementChild.querySelector("input, select, textarea")?.focus();
    context.changed();
  }, { class: "small", "aria-label": `Add to ${name}` });
  draw();
  return part(context, field, list, h("div", { class: "row" }, add), emptyBox(context, field, isMap ? "{}" : "[]"));
}

/** @param {Context} context @param {Field} field @param {{ key: string, value: Draft }} row @param {number} i @param {() => void} remove */
function rowOf(context, { name, s }, row, i, remove) {
  const inner = rowSchema(s);
  const key = kindOf(s) === "map" && keyField(context, name, context.drafts.flat({ type: "string", ...s.propertyNames }), row, i);
  const value = fieldOf(context, { name: key ? `${name}: value ${i + 1}` : `${name}[${i}]`, schema: inner, s: context.drafts.flat(inner), draft: row.value, bare: true });
  return h("li", { class: key ? "pair" : "item" }, key, value, button("Remove", remove, { class: "small", "aria-label": `Remove ${key ? `row ${i + 1} of ${name}` : `${name}[${i}]`}` }));
}

/** @param {Context} context @param {string} name of the map @param {any} s of its keys, flat @param {{ key: string }} row @param {number} i */
function keyField(context, name, s, row, i) {
  const warning = h("small", { class: "warning", id: newId() });
  const input = h("input", {
    value: row.key, "aria-label": `${name}: key ${i + 1}`, "aria-describedby": warning.id, title: s.description, placeholder: "key",
    autocomplete: "off", spellcheck: "false", autocapitalize: "none", dir: "auto", list: context.suggest(name),
    oninput: () => {
      row.key = input.value;
      warn();
      context.changed();
    },
  });
  const warn = () => {
    const text = leafWarning(s, row.key);
    setText(warning, text);
    setAttribute(input, "aria-invalid", text ? "true" : null);
  };
  warn();
  return h("div", { class: "field" }, input, warning);
}

/** Items that each have their place. @param {Context} context @param {Field} field */
function tupleField(context, field) {
  const { name, s, draft } = field;
  return part(context, field, h("div", { class: "tuple" }, s.items.map((/** @type {any} */ schema, /** @type {number} */ i) => {
    const item = context.drafts.flat(schema);
    if (kindOf(item) === "const") return h("code", null, JSON.stringify(item.const));
    return fieldOf(context, { name: `${name}[${i}]`, schema, s: item, draft: /** @type {any} */ (draft.items)[i], bare: true });
  })));
}

/** One of several. @param {Context} context @param {Field} field */
function choiceField(context, field) {
  const { name, s, draft } = field;
  const choices = /** @type {any[]} */ (choicesOf(s));
  const place = h("div", { class: "part" });
  const draw = () => {
    const schema = choices[draft.choice ?? -1];
    const inner = schema && context.drafts.flat(schema);
    const isFixed = !inner || ["const", "null"].includes(kindOf(inner));
    fill(place, !isFixed && fieldOf(context, { name, schema, s: inner, draft: /** @type {Draft} */ (draft.chosen), bare: true }));
    place.hidden = isFixed;
  };
  const select = h("select", { "aria-label": `${name}: which form`, onchange: () => {
    context.drafts.choose(s, draft, Number(select.value));
    draw();
    context.changed();
  } }, h("option", { value: "-1" }, NOT_SENT), choices.map((schema, i) => h("option", { value: String(i) }, typeText(schema, context.doc))));
  select.value = String(draft.choice ?? -1);
  draw();
  return part(context, field, select, place);
}
