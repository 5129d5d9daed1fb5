/**
 * The digest of what a client holds of a scope (rules.md 1.18 and 2.10). It shows whether the client equals the server.
 */

const WORD = 0x1_0000_0000;

/** 16 bytes as four words. */
type Bits = readonly [number, number, number, number];

interface Sum {
  count: number;
  bits: Bits;
}

/** Counts documents by scope and type. */
export class Digests {
  readonly #sums = new Map<string, Map<string, Sum>>();

  add(scope: string, type: string, id: string, version: number): void {
    const sums = this.#sums.get(scope) ?? new Map<string, Sum>();
    this.#sums.set(scope, sums);
    const { count, bits } = sums.get(type) ?? { count: 0, bits: NOTHING };
    sums.set(type, { count: count + 1, bits: xor(bits, hash(`${id}\u0000${String(version)}`)) });
  }

  of(scope: string): string {
    let digest = NOTHING;
    for (const [type, { count, bits }] of this.#sums.get(scope) ?? []) {
      digest = xor(digest, hash(`${type}\u0000${String(count)}\u0000${hex(bits)}`));
    }
    return hex(digest);
  }
}

const NOTHING: Bits = [0, 0, 0, 0];

function xor(a: Bits, b: Bits): Bits {
  return [a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3]];
}

function hex(bits: Bits): string {
  return bits.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** The first 16 bytes of SHA-256 (FIPS 180-4). WebCrypto has no synchronous one. */
function hash(text: string): Bits {
  const bytes = new TextEncoder().encode(text);
  const padded = new DataView(new ArrayBuffer((((bytes.length + 8) >> 6) + 1) << 6));
  new Uint8Array(padded.buffer).set(bytes);
  padded.setUint8(bytes.length, 0x80);
  padded.setUint32(padded.byteLength - 4, bytes.length * 8);
  const state = Int32Array.from(FIRST);
  for (let block = 0; block < padded.byteLength; block += 64) compress(state, padded, block);
  const [a = 0, b = 0, c = 0, d = 0] = state;
  return [a, b, c, d];
}

const schedule = new Int32Array(64);

function compress(state: Int32Array, message: DataView, block: number): void {
  const w = (at: number): number => schedule[at] ?? 0;
  for (let at = 0; at < 64; at++) {
    schedule[at] =
      at < 16
        ? message.getInt32(block + at * 4)
        : w(at - 16) +
          (turn(w(at - 15), 7) ^ turn(w(at - 15), 18) ^ (w(at - 15) >>> 3)) +
          w(at - 7) +
          (turn(w(at - 2), 17) ^ turn(w(at - 2), 19) ^ (w(at - 2) >>> 10));
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let at = 0; at < 64; at++) {
    const first =
      (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + (ROUNDS[at] ?? 0) + w(at)) | 0;
    const second = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, at) => {
    state[at] = (state[at] ?? 0) + word;
  });
}

function turn(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/** The first bits behind the point of the roots of the first primes: of 8 square roots, and of 64 cube roots. */
const PRIMES = primes(64);
const FIRST = PRIMES.slice(0, 8).map((prime) => (Math.sqrt(prime) % 1) * WORD);
const ROUNDS = Int32Array.from(PRIMES, (prime) => (Math.cbrt(prime) % 1) * WORD);

function primes(count: number): readonly number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime > 0)) found.push(n);
  return found;
}
