// Which browser and system a User-Agent stands for, in words. It is a guess: they all claim to be each other.

/** Those that claim to be others come first. @type {[string, RegExp][]} */
const BROWSERS = [
  ["Edge", /\b(?:Edg|EdgA|EdgiOS|Edge)\/(\d+)/],
  ["Opera", /\b(?:OPR|Opera|OPT)\/(\d+)/],
  ["Vivaldi", /\bVivaldi\/(\d+)/],
  ["Samsung Internet", /\bSamsungBrowser\/(\d+)/],
  ["Firefox", /\b(?:Firefox|FxiOS)\/(\d+)/],
  ["Headless Chrome", /\bHeadlessChrome\/(\d+)/],
  ["Chrome", /\b(?:Chrome|CriOS|Chromium)\/(\d+)/],
  ["Safari", /\bVersion\/(\d+).*\bSafari\//],
  ["Internet Explorer", /\b(?:MSIE (\d+)|Trident\/.*rv:(\d+))/],
];

/** @type {[string, RegExp][]} */
const SYSTEMS = [
  ["iPhone", /\biPhone\b/], ["iPad", /\biPad\b/], ["Android", /\bAndroid\b/], ["ChromeOS", /\bCrOS\b/],
  ["Windows", /\bWindows\b/], ["macOS", /\b(?:Macintosh|Mac OS X)\b/], ["Linux", /\bLinux\b/], ["FreeBSD", /\bFreeBSD\b/],
];

const PROGRAM = /^([\w.+-]+)(?:\/v?(\d+(?:\.\d+)?))?/; // such as curl/8.5.0, node

/** Says it in a few words: “Firefox 128 on Windows”. @param {string} agent a User-Agent, perhaps cut short @returns {string} */
export function agentWords(agent) {
  const text = agent.trim();
  if (!text) return "Unknown program";
  const system = SYSTEMS.find(([, form]) => form.test(text))?.[0];
  const on = system ? ` on ${system}` : "";
  for (const [name, form] of BROWSERS) {
    const found = form.exec(text);
    if (found) return `${name} ${found[1] ?? found[2]}${on}`;
  }
  if (text.startsWith("Mozilla/")) return `A browser${on}`;
  const program = PROGRAM.exec(text);
  return program ? [program[1], program[2]].filter(Boolean).join(" ") : "Unknown program";
}
