// Making elements. Whatever somebody named becomes text or an attribute, never HTML: a name may hold markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/** Makes an element: h("button", { type: "button", class: "primary", onclick: save }, "Save"). Names that begin with "on"
 * are listeners; `value`, `checked` and `indeterminate` are properties; all else is an attribute, absent where it is null or false.
 * @param {string} tag @param {Record<string, any> | null} [props] @param {...(Child | Child[])} children @returns {any} */
export function h(tag, props, ...children) {
  return furnish(document.createElement(tag), props, children);
}

/** The same for SVG. @param {string} tag @param {Record<string, any> | null} [props] @param {...(Child | Child[])} children
 * @returns {any} */
export function svg(tag, props, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

/** @param {any} element @param {Record<string, any> | null | undefined} props @param {(Child | Child[])[]} children */
function furnish(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (["value", "checked", "indeterminate"].includes(name)) element[name] = value;
    else setAttribute(element, name, value);
  }
  element.append(...nodes(children));
  return element;
}

/** Replaces what an element holds. @param {Element} element @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

const nodes = (/** @type {any[]} */ children) => children.flat(Infinity)
  .filter((child) => child !== null && child !== undefined && child !== false)
  .map((child) => (child instanceof Node ? child : String(child)));

/** Writing what is already there would clear a selection in it, and be told to screen readers again.
 * @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} element @param {string} name @param {any} value null or false: none; true: an empty one */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) return element.removeAttribute(name);
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

let lastId = 0;
/** An id for aria-labelledby, aria-describedby and the like. */
export const newId = () => `id-${++lastId}`;

/** A label and its field, and what there is to say of it. @param {Child | Child[]} label @param {any} field
 * @param {string} [hint] @returns {any} */
export function labelled(label, field, hint) {
  field.id ||= newId();
  const note = hint ? h("small", { id: newId() }, hint) : null;
  if (note) field.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: field.id }, label), field, note);
}

/** A button that does one thing. @param {string} text @param {(event: any) => void} onclick @param {Record<string, any>} [props] */
export const button = (text, onclick, props) => h("button", { type: "button", ...props, onclick }, text);

/** Makes these the children of an element. Those that stay keep the focus, what is selected in them, and their animations.
 * @param {Element} parent @param {Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

const MARK_MS = 1_600;
/** Marks what has changed by itself, for a moment. @param {Element} element */
export function mark(element) {
  if (document.visibilityState !== "visible") return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.animate([{ backgroundColor: "var(--accent-tint)" }, { backgroundColor: "var(--surface)" }], { duration: MARK_MS, easing: still ? "steps(1, end)" : "ease-out" });
}
