// JSON as people write it: where it is wrong. JSON.parse says so in each browser differently, or not at all.

/** What is wrong with a text, and where. */
export class JsonProblem extends SyntaxError {
  /** @param {string} text @param {number} at @param {string} wanted */
  constructor(text, at, wanted) {
    const before = text.slice(0, at).split("\n");
    const [line, column] = [before.length, /** @type {string} */ (before.at(-1)).length + 1];
    const found = at < text.length ? `“${[...text.slice(at, at + 2)][0]}”` : "the end";
    super(`Line ${line}, column ${column}: ${wanted} is missing before ${found}.`);
    Object.assign(this, { line, column, at });
  }
}

/** @param {string} text @returns {any} @throws {JsonProblem} */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    new Scanner(text).scan();
    throw error;
  }
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
const LITERAL = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;

/** Reads as JSON.parse does, and stops where it does. */
class Scanner {
  #text; #at = 0;
  /** @param {string} text */
  constructor(text) { this.#text = text; }

  scan() {
    this.#value();
    if (this.#next() !== "") this.#miss("the end");
  }

  #value() {
    const next = this.#next();
    if (next === "{") this.#list("}", () => this.#member());
    else if (next === "[") this.#list("]", () => this.#value());
    else if (next === '"') this.#string();
    else if (!this.#take(LITERAL)) this.#miss("a value");
  }

  /** @param {string} end @param {() => void} item */
  #list(end, item) {
    this.#at++;
    if (this.#next() === end) return void this.#at++;
    for (;;) {
      item();
      const next = this.#next();
      if (next !== end && next !== ",") this.#miss(`“,” or “${end}”`);
      this.#at++;
      if (next === end) return;
    }
  }

  #member() {
    if (this.#next() !== '"') this.#miss("a name in double quotes");
    this.#string();
    if (this.#next() !== ":") this.#miss("“:”");
    this.#at++;
    this.#value();
  }

  /** A string that is wrong is so within: where its good part ends. */
  #string() {
    if (this.#take(STRING)) return;
    this.#take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y);
    this.#miss(this.#text[this.#at] === "\\" ? "a known escape" : "a closing “\"”");
  }

  /** The character that comes after white space; "" at the end. */
  #next() {
    this.#take(SPACE);
    return this.#text[this.#at] ?? "";
  }

  /** @param {RegExp} pattern sticky */
  #take(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    this.#at += found?.[0].length ?? 0;
    return found !== null;
  }

  /** @param {string} wanted @returns {never} */
  #miss(wanted) { throw new JsonProblem(this.#text, this.#at, wanted); }
}
