// Digests of scopes (rules.md 2.10): what is live in a scope, as one number. SHA-256 is here because the browser's own is
// asynchronous, and a step of the core is not.

/** The digest of each scope, of documents that have `type`, `id`, `version` and `scope`. */
export function digestsOf(docs) {
  const scopes = new Map();
  for (const { type, id, version, scope } of docs) {
    const types = scopes.get(scope) ?? scopes.set(scope, new Map()).get(scope);
    const sum = types.get(type) ?? types.set(type, { count: 0, bits: NOTHING }).get(type);
    sum.count += 1;
    sum.bits = xor(sum.bits, hash(`${id}\0${version}`));
  }
  return new Map([...scopes].map(([scope, types]) => [scope, digestOf(types)]));
}

/** What is live in a scope of which nothing is kept. */
export const EMPTY = "0".repeat(32);

function digestOf(types) {
  const hashes = [...types].map(([type, { count, bits }]) => hash(`${type}\0${count}\0${hex(bits)}`));
  return hex(hashes.reduce(xor, NOTHING));
}

const NOTHING = [0, 0, 0, 0];
const xor = (left, right) => left.map((word, nth) => word ^ right[nth]);
const hex = (words) => words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

/** The first 32 bits of the fractions of the square and cube roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n += 1) if (PRIMES.every((prime) => n % prime !== 0)) PRIMES.push(n);
const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
const START = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
const ROUNDS = PRIMES.map((prime) => fraction(Math.cbrt(prime)));

/** The first 16 bytes of SHA-256 over a text in UTF-8, as four words. */
export function hash(text) {
  const bytes = new TextEncoder().encode(text);
  const padded = new DataView(new ArrayBuffer(Math.ceil((bytes.length + 9) / 64) * 64));
  new Uint8Array(padded.buffer).set([...bytes, 0x80]);
  padded.setUint32(padded.byteLength - 4, bytes.length * 8);
  let state = START;
  for (let at = 0; at < padded.byteLength; at += 64) state = block(state, padded, at);
  return state.slice(0, 4);
}

const turned = (word, by) => (word >>> by) | (word << (32 - by));

/** One block of 64 bytes (FIPS 180-4, 6.2.2). */
function block(state, bytes, at) {
  const words = new Int32Array(64);
  let [a, b, c, d, e, f, g, h] = state;
  for (let nth = 0; nth < 64; nth += 1) {
    if (nth < 16) words[nth] = bytes.getInt32(at + nth * 4);
    else {
      const [early, late] = [words[nth - 15], words[nth - 2]];
      const sigma0 = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
      const sigma1 = turned(late, 17) ^ turned(late, 19) ^ (late >>> 10);
      words[nth] = words[nth - 16] + sigma0 + words[nth - 7] + sigma1;
    }
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const first = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + choice + ROUNDS[nth] + words[nth]) | 0;
    const second = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + majority) | 0;
    [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
  }
  return state.map((word, nth) => (word + [a, b, c, d, e, f, g, h][nth]) | 0);
}
