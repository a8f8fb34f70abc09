// What is said of a User-Agent. node --test web/agent.test.js

import assert from "node:assert/strict";
import { test } from "node:test";
import { agentWords } from "./page/agent.js";

const AGENTS = {
  "Firefox 128 on Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  "Firefox 127 on iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 14_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15",
  "Chrome 126 on Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
  "Chrome 126 on Android": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
  "Chrome 125 on ChromeOS": "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36",
  "Headless Chrome 126 on Linux": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
  "Edge 126 on Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.68",
  "Opera 111 on macOS": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0",
  "Samsung Internet 25 on Android": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
  "Safari 17 on macOS": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
  "Safari 17 on iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  "Internet Explorer 11 on Windows": "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
  "A browser on Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
  "curl 8.5": "curl/8.5.0",
  node: "node",
  "Go-http-client 1.1": "Go-http-client/1.1",
  "python-requests 2.32": "python-requests/2.32.3",
  "Unknown program": "  ",
};

test("says the browser and the system, or the program", () => {
  for (const [words, agent] of Object.entries(AGENTS)) assert.equal(agentWords(agent), words);
});

test("whatever is sent, something short is said", () => {
  for (const agent of ["", "<script>", "💥".repeat(100), "/".repeat(200), "\u202Eevil"]) assert.equal(agentWords(agent), "Unknown program");
  assert(agentWords("x".repeat(200)).length <= 200);
});
