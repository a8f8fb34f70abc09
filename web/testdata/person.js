// What the browser tests ask of a page: what a person would see there, and where he would click. It runs in a world of its
// own, where the page's scripts neither see it nor disturb it.
//
// Roles and names are the browser's own, the ones that screen readers get: computedRole and computedName, which
// --enable-blink-features=ComputedAccessibilityInfo adds to elements.
globalThis.person = (() => {
  /** All elements in a root, those in open shadow roots too. */
  function* all(root) {
    for (const e of root.querySelectorAll("*")) {
      yield e;
      if (e.shadowRoot) yield* all(e.shadowRoot);
    }
  }

  const words = (text) => (text ?? "").replace(/\s+/g, " ").trim();
  const boxes = (e) => [...e.getClientRects()].filter(({ width, height }) => width > 0 && height > 0);
  const isVisible = (e) => e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && boxes(e).length > 0;

  /** Whether a text is the wanted one: the same words, or what a /regular expression/ finds; any for "". */
  function isWanted(text, wanted) {
    if (wanted === "") return true;
    const pattern = /^\/(.+)\/$/.exec(wanted);
    return pattern ? new RegExp(pattern[1], "u").test(words(text)) : words(text) === words(wanted);
  }

  const isNamed = (e, { role, name }) => e.computedRole === role && isWanted(e.computedName, name);

  /** Whether a place is of a role, and has the name or shows exactly that text somewhere inside. */
  function isPlace(e, { role, name }) {
    if (e.computedRole !== role) return false;
    return isWanted(e.computedName, name) || [...all(e)].some((inner) => isWanted(inner.textContent, name) && isVisible(inner));
  }

  /** The visible parts of the page that steps lead to; without any, the page. */
  function places(steps) {
    let found = [document];
    for (const step of steps) {
      found = found.flatMap((place) => [...all(place)].filter((e) => isPlace(e, step) && isVisible(e)));
    }
    return found;
  }

  /** The visible elements that the last step names, in the places that the steps before it lead to. */
  function find(steps) {
    const inside = places(steps.slice(0, -1)).flatMap((place) => [...all(place)]);
    return [...new Set(inside.filter((e) => isNamed(e, steps.at(-1)) && isVisible(e)))];
  }

  /** As an element is told of in messages. */
  function describe(e) {
    const text = words(e.computedName) || words(e.innerText).slice(0, 60);
    return `${e.computedRole || "?"} “${text}” <${e.localName}${e.id ? `#${e.id}` : ""}>`;
  }

  /** The one element, or an error that says how many there are. */
  function one(steps) {
    const found = find(steps);
    if (found.length === 1) return found[0];
    throw new Error(found.length ? `there are ${found.length}: ${found.map(describe).join(", ")}` : "there is none");
  }

  function isChecked(e) {
    if (e.ariaChecked) return e.ariaChecked;
    return e.indeterminate ? "mixed" : String(e.checked);
  }

  const states = {
    checked: (e) => isChecked(e) === "true",
    unchecked: (e) => isChecked(e) === "false",
    mixed: (e) => isChecked(e) === "mixed",
    disabled: (e) => e.matches(":disabled") || e.closest("[aria-disabled=true]") !== null,
    enabled: (e) => !states.disabled(e),
    expanded: (e) => e.ariaExpanded === "true" || e.parentElement?.open === true,
    collapsed: (e) => e.ariaExpanded === "false" || e.parentElement?.open === false,
    selected: (e) => e.ariaSelected === "true" || e.selected === true,
    pressed: (e) => e.ariaPressed === "true",
    current: (e) => !["false", "", null].includes(e.ariaCurrent),
    invalid: (e) => e.ariaInvalid === "true",
    busy: (e) => e.ariaBusy === "true",
    focused: (e) => e === focused(),
  };

  function focused() {
    let e = document.activeElement;
    while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
    return e;
  }

  /** What keeps somebody who has no mouse from knowing where he is; "" for nothing. Only what Tab reaches must look focused:
   * a title that takes the focus from what has gone cannot be operated. */
  function lostAt(e) {
    if (!e || e === document.body) return "nothing has the focus";
    const hasRole = !["", "generic", "none"].includes(e.computedRole ?? "") || e.localName === "summary"; // whose role has no name in ARIA
    if (!hasRole || !(words(e.computedName) || e.localName === "main")) return `${describe(e)} has the focus, and no role or no name`;
    if (!isVisible(e)) return `${describe(e)} has the focus, and is not visible`;
    const { outlineStyle, outlineWidth } = getComputedStyle(e);
    if (e.tabIndex >= 0 && (!e.matches(":focus-visible") || outlineStyle === "none" || parseFloat(outlineWidth) < 2)) return `${describe(e)} has the focus, and does not look so`;
    return isInSight(e) ? "" : `${describe(e)} has the focus, and is out of sight`;
  }

  /** Whether at least a part of it is in the window, with nothing in front. */
  function isInSight(e) {
    const [{ left, top, width, height }] = boxes(e);
    return [0.5, 0.1, 0.9].some((x) => [0.5, 0.1, 0.9].some((y) => {
      for (let up = hit(left + x * width, top + y * height); up; up = up.parentNode ?? up.host) if (up === e) return true;
      return false;
    }));
  }

  /** What moves as one: a part of the page, or what stays in sight while the rest is scrolled. */
  function frameOf(e) {
    for (let up = e.parentElement; up; up = up.parentElement) {
      if (up.matches("dialog, header, nav, main, footer, body") || ["fixed", "sticky"].includes(getComputedStyle(up).position)) return up;
    }
    return null;
  }

  /** Whether one thing comes before another as people read: above it, or left of it in the same line. A column on the right comes
   * after all of the one on its left. */
  function isBefore(one, other) {
    if (frameOf(one) !== frameOf(other)) return false;
    const [[a], [b]] = [boxes(one), boxes(other)];
    if (!a || !b) return false;
    return a.bottom <= b.top ? a.left < b.right : a.top < b.bottom && a.right <= b.left;
  }

  let last = null; // what had the focus when it was looked for last
  /** Where the focus is after a key, what is wrong with it there, and with the way that it took since it was looked for last. */
  function attention(key) {
    const [before, e] = [last, focused()];
    last = e;
    const lost = lostAt(e);
    const hasMoved = before?.isConnected && e !== before && !lost;
    const strayed = hasMoved && (key === "Tab" ? isBefore(e, before) : key === "Shift+Tab" && isBefore(before, e))
      ? `${key} leads from ${describe(before)} to ${describe(e)}` : "";
    return { role: e?.computedRole ?? "", name: words(e?.computedName), lost, strayed };
  }

  function hit(x, y) {
    let e = document.elementFromPoint(x, y);
    for (let inner; (inner = e?.shadowRoot?.elementFromPoint(x, y)) && inner !== e;) e = inner;
    return e;
  }

  /** Where to click so that it reaches an element or its label. */
  function target(steps) {
    const e = one(steps);
    if (e.matches(":disabled")) throw new Error("it is disabled");
    let above;
    for (const part of [e, ...(e.labels ?? [])].filter(isVisible)) {
      let [box] = boxes(part);
      if (box.top < 0 || box.left < 0 || box.bottom > innerHeight || box.right > innerWidth) {
        part.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
        [box] = boxes(part);
      }
      const at = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
      above = hit(at.x, at.y);
      for (let up = above; up; up = up.parentNode ?? up.host) if (up === part) return at;
    }
    throw new Error(above ? `${describe(above)} is in front of it` : "it is outside of the window");
  }

  /** Puts the focus on a list to choose from, and returns how far down the option is from the one chosen; 0 is there. */
  function toChoice(steps, option) {
    const list = one(steps);
    const texts = [...list.options].filter(({ disabled }) => !disabled).map(({ label }) => words(label));
    const wanted = texts.indexOf(words(option));
    if (wanted < 0) throw new Error(`it has ${texts.map((text) => `“${text}”`).join(", ")}`);
    list.focus();
    return wanted - texts.indexOf(words(list.selectedOptions[0]?.label));
  }

  /** What is on the page, a line for each thing that has a meaning. */
  function outline() {
    const lines = [`${document.title} at ${location.href}`];
    for (const e of all(document.body ?? document)) {
      if (!isVisible(e)) continue;
      const role = e.computedRole;
      const own = words([...e.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data).join(" "));
      const name = words(e.computedName);
      if (["", "generic", "none", "presentation", "InlineTextBox", "StaticText"].includes(role ?? "")) {
        if (own) lines.push(`  “${own}”`);
        continue;
      }
      const is = ["checked", "disabled", "expanded", "focused"].filter((state) => states[state](e)).map((state) => `, ${state}`);
      const value = "value" in e && e.value && e.type !== "password" ? `, holds “${words(String(e.value))}”` : "";
      lines.push(`  ${role}${name ? ` “${name}”` : ""}${own && own !== name ? ` shows “${own}”` : ""}${is.join("")}${value}`);
    }
    return lines.length > 120 ? [...lines.slice(0, 120), `  and ${lines.length - 120} lines more`].join("\n") : lines.join("\n");
  }

  document.addEventListener("securitypolicyviolation", (violation) => {
    const { effectiveDirective, blockedURI, sourceFile, lineNumber } = violation;
    policyViolated(`${effectiveDirective} blocked ${blockedURI} (${sourceFile || location.href}:${lineNumber})`);
  });

  let shownAt = null;
  /** Keeps the time of the first frame in which something is visible. */
  function watch(selector) {
    if (document.querySelector(selector)?.checkVisibility()) shownAt = performance.now();
    else requestAnimationFrame(() => watch(selector));
  }

  return {
    target, toChoice, outline, watch, attention,
    shownAt: () => shownAt,
    count: (steps) => find(steps).length,
    text: (steps) => one(steps).innerText.trim(),
    value: (steps) => one(steps).value,
    is: (steps, state) => states[state](one(steps)),
    shows: (steps, text) => places(steps).some((e) => words((e.body ?? e).innerText).includes(words(text))),
    focused: () => {
      const e = focused();
      return e && e !== document.body ? { role: e.computedRole ?? "", name: words(e.computedName) } : { role: "", name: "" };
    },
  };
})();
