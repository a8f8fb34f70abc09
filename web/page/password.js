// Passwords that nobody has to think up.

/** Without those that are taken for another: 0 and O, 1, I and l. */
const LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const GROUPS = 4;
const GROUP = 6; // 24 of 57 letters are 140 bits

/** @param {(bytes: Uint8Array<ArrayBuffer>) => Uint8Array} [random] fills it with random bytes
 * @returns {string} such as “Wm4kTz-…”: in groups, to be read out */
export function generatePassword(random = (bytes) => crypto.getRandomValues(bytes)) {
  const letter = () => LETTERS[below(LETTERS.length, random)];
  const group = () => Array.from({ length: GROUP }, letter).join("");
  return Array.from({ length: GROUPS }, group).join("-");
}

/** A random number from 0 to `limit` - 1, each as likely as any other: a byte beyond the last whole multiple of the limit is
 * thrown away, since the remainder of all 256 would favour the first ones.
 * @param {number} limit at most 256 @param {(bytes: Uint8Array<ArrayBuffer>) => Uint8Array} random */
export function below(limit, random) {
  const end = 256 - (256 % limit);
  for (;;) {
    const [byte] = random(new Uint8Array(1));
    if (byte < end) return byte % limit;
  }
}
