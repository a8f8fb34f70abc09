// A service that verifies tokens with verifier.js, for server/verifier_test.go: it serves HTTP for those with repo:read, and
// does what it is told by lines on stdin, each of which it answers by one on stdout. When stdin ends it closes.

import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Verifier } from "../verifier.js";

const verifier = new Verifier(`${process.env.TOKENWIRE_URL}/api`, {
  token: process.env.TOKENWIRE_TOKEN, lease: Number(process.env.LEASE), grace: Number(process.env.GRACE), timeout: 1_500,
});

const read = verifier.require("repo:read");
const server = createServer((req, res) => read(req, res, (error) => res.end(error ? String(error) : `hello ${req.auth.username}`)));
server.listen(0, "127.0.0.1");
await once(server, "listening");

/** What became of a question, and how many requests it took. */
async function ask(token, question) {
  const before = verifier.counts.asked;
  try {
    const { active, allowed, stale, username, permissions } = await verifier.verify(token, question);
    return { active, allowed, stale, username, permissions, requests: verifier.counts.asked - before };
  } catch ({ name, retryAfterMs }) {
    return { error: name, retryAfterMs, requests: verifier.counts.asked - before };
  }
}

console.log(JSON.stringify({ port: server.address().port }));
for await (const line of createInterface({ input: process.stdin })) {
  const { token, question } = JSON.parse(line);
  console.log(JSON.stringify(await ask(token, question)));
}
await verifier.close();
server.close();
server.closeAllConnections();
