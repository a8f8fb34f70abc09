// The forms that names must have, and what is wrong with one that has another.

const MAX = 64; // characters

/** @typedef {{ what: string, marks: string }} Form */

/** What goes into a form's field of that kind, in words. */
export const USERNAME = { what: "username", marks: "._@+-" };
export const PERMISSION = { what: "permission", marks: ":._/-" };

/** The rule, in words. @param {Form} form */
export const ruleOf = ({ marks }) =>
  `Small letters a to z, digits and ${[...marks].join(" ")}, beginning with a letter or digit; ${MAX} characters at most.`;

/** What is wrong with a name, and what to do; "" for a good one. @param {Form} form @param {string} name @returns {string} */
export function problemOfName({ what, marks }, name) {
  if (name === "") return `Give the ${what} a name.`;
  if (/[A-Z]/.test(name)) return `Write it in small letters: “${name.toLowerCase()}”.`;
  const strange = [...name].find((letter) => !/[a-z0-9]/.test(letter) && !marks.includes(letter));
  if (strange) return `Leave out ${nameOf(strange)}: there can only be a to z, digits and ${[...marks].join(" ")} in it.`;
  if (!/^[a-z0-9]/.test(name)) return `Begin it with a letter or digit, not with “${name[0]}”.`;
  if (name.length > MAX) return `Make it shorter: it has ${name.length} characters, of ${MAX} at most.`;
  return "";
}

/** @param {string} letter */
const nameOf = (letter) => (/\s/.test(letter) ? "the space" : `“${letter}”`);

/** Has a field refuse names of another form, when its form is sent. @param {any} field @param {Form} form */
export function holdTo(field, form) {
  const check = () => field.setCustomValidity(problemOfName(form, field.value.trim()));
  field.addEventListener("input", check);
  check();
  return field;
}
