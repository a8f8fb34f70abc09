// What a verifier knows by itself, held against other means: zlib's or a slow checksum, and a table of addresses.
// node --experimental-websocket --test web/verifier-facts.test.js

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Held, contain, digestOf, isWellFormed, rangeOf } from "./verifier-facts.js";
import { mint } from "./testdata/wire.js";

test("what has the form and the checksum of a token is one; anything else is not", () => {
  const token = mint("0VbmskGIY5M9qaizaalY");
  assert.equal(token.length, 75);
  assert(isWellFormed(token));
  for (let i = 0; i < 500; i++) assert(isWellFormed(mint(String(i).padStart(20, "0"))), `${i}`);
  for (let i = 0; i < token.length; i++) {
    const other = token.slice(0, i) + (token[i] === "x" ? "y" : "x") + token.slice(i + 1);
    assert(!isWellFormed(other), other);
  }
  const sum = (text) => text + mint("", text).slice(-7);
  for (const text of ["", "twt_", token.slice(1), token.slice(0, -1), `${token}0`, ` ${token}`, `${token}\n`, token.replace("twt", "tws"),
    token.replace("_", "-"), sum(`tws_${token.slice(4, 68)}`), sum(`twt_${token.slice(4, 67)}`), sum(`twt_${"ä".repeat(20)}${token.slice(24, 68)}`),
    "x".repeat(1e6), undefined, null, 7, [token], { toString: () => token }]) {
    assert(!isWellFormed(text), String(text).slice(0, 100));
  }
});

test("the hash is SHA-256 of the text, in browsers as in Node.js", async (t) => {
  const token = mint("0VbmskGIY5M9qaizaalY");
  const hash = createHash("sha256").update(token).digest("hex");
  assert.equal(await digestOf(token), hash);
  const { process } = globalThis;
  t.after(() => (globalThis.process = process));
  delete globalThis.process;
  const browsers = await import("./verifier-facts.js?as-in-browsers");
  assert.notEqual(typeof browsers.digestOf(token), "string", "crypto.subtle has it later");
  assert.equal(await browsers.digestOf(token), hash);
});

test("addresses are in the ranges that the server would find them in", () => {
  const all = { "0.0.0.0/0": true, "::/0": true };
  for (const [range, inside, outside] of [
    ["192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "0:0:0:0:0:FFFF:192.0.2.7"], ["192.0.2.8", "192.0.2.70", "::c000:207", "::192.0.2.7", "::fffe:192.0.2.7"]],
    ["192.0.2.0/24", ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.9"], ["192.0.1.255", "192.0.3.0"]],
    ["192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]],
    ["10.0.0.0/9", ["10.0.0.1", "10.127.255.255"], ["10.128.0.0", "11.0.0.0"]],
    ["192.0.2.6/31", ["192.0.2.6", "192.0.2.7"], ["192.0.2.5", "192.0.2.8"]],
    ["0.0.0.0/0", ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], ["::", "::1", "2001:db8::1"]],
    ["::/0", ["::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1.2.3.4"], ["1.2.3.4", "::ffff:1.2.3.4"]],
    ["2001:db8::/32", ["2001:db8::", "2001:DB8:ffff::1", "2001:db8:1:2:3:4:5:6", "2001:db8::1:2.3.4.5"], ["2001:db9::", "2001:db7:ffff::", "32.1.13.184"]],
    ["2001:db8::/33", ["2001:db8:7fff::"], ["2001:db8:8000::"]],
    ["2001:db8::1", ["2001:db8::1", "2001:0db8:0:0::0001", "2001:db8:0:0:0:0:0:1", "2001:db8::0.0.0.1"], ["2001:db8::2", "2001:db8:1::"]],
    ["fe80::/10", ["fe80::1", "fe80::1%eth0", "febf::"], ["fec0::", "fe7f::"]],
    ["1:2:3:4:5:6:7::", ["1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7::"], ["1:2:3:4:5:6::7"]],
    ["", [], ["", "0.0.0.0", "::"]],
    ["192.0.2.0/", ["192.0.2.0"], ["192.0.2.1"]],
    ["192.0.2.0/x", [], ["192.0.2.1"]],
  ]) {
    for (const address of inside) assert.equal(contain([rangeOf(range)], address), true, `${address} in ${range}`);
    for (const address of outside) assert.equal(contain([rangeOf(range)], address), false, `${address} in ${range}`);
  }
  assert(contain([rangeOf("192.0.2.7"), rangeOf("2001:db8::/32")], "2001:db8::1"), "any of them");
  assert(contain(null, "what is no address"), "null is anywhere");
  for (const text of ["", "x", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "1.2.3.-4", "0x1.2.3.4", "1.2.3.4/8", "1e0.2.3.4", ":", ":::", "1:::2", "1::2::3",
    "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "::1:2:3:4:5:6:7:8", "12345::", "g::", "-1::", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:1.2.3", "::1.2.3.4:5", "::ffff:1.2.3.400",
    ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", ":1::2", "1::2:", "::ffff:1.2.3.4:", "[::1]", "%eth0"]) {
    for (const range of Object.keys(all)) assert.equal(contain([rangeOf(range)], text), false, `${text} is no address, not even in ${range}`);
  }
});

test("held is what was used last, and what is dropped of a token is dropped by all its secrets", () => {
  const held = new Held(3);
  const facts = (tokenId) => ({ tokenId });
  for (const key of ["a", "b", "c"]) held.put(key, facts(key.toUpperCase()));
  assert.equal(held.get("a").tokenId, "A");
  held.put("d", facts("D"));
  assert.deepEqual(["a", "b", "c", "d"].map((key) => held.get(key)?.tokenId), ["A", undefined, "C", "D"]);
  held.put("a", facts("A2"));
  held.dropToken("A");
  assert.equal(held.get("a").tokenId, "A2", "put again, it is of the other token");
  held.put("e", facts("A2"));
  held.dropToken("A2");
  assert.deepEqual(["a", "c", "d", "e"].map((key) => held.get(key)?.tokenId), [undefined, undefined, "D", undefined]);
  assert.equal(held.size, 1);
  held.clear();
  assert.equal(held.size, 0);
  const none = new Held(0);
  none.put("a", facts("A"));
  assert.equal(none.get("a"), undefined);
});
