// Where the focus goes when what had it is taken away.

/** Whether nothing has the focus. */
export const isFocusLost = () => document.activeElement === document.body || document.activeElement === null;

/** Returns what gives the focus, if nothing else has it by then, to the heir of an element that has gone meanwhile: the row of
 * its list that came after it, or before it, or else the title. @param {Element} element @returns {() => void} */
export function heirOf(element) {
  const row = element.closest("li");
  const rows = [...(row?.parentElement?.children ?? [])];
  const at = row ? rows.indexOf(row) : 0;
  const heirs = [...rows.slice(at + 1), ...rows.slice(0, at).reverse()];
  const around = element.closest("dialog, main");
  return () => {
    if (!isFocusLost()) return;
    const heir = heirs.find(({ isConnected }) => isConnected)?.querySelector("button:not(:disabled)");
    const found = heir ?? around?.querySelector("h2[tabindex], button");
    /** @type {HTMLElement | null | undefined} */ (found)?.focus();
  };
}
