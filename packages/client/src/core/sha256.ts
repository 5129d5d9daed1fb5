/**
 * SHA-256 (FIPS 180-4). The platform's own is asynchronous, and a step of the core is not.
 */

type State = readonly [number, number, number, number, number, number, number, number];

const PRIMES: number[] = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((prime) => n % prime > 0)) PRIMES.push(n);

/** The constants of the standard: the first 32 bits of the fractions of the primes' square and cube roots. */
const INITIAL = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime))) as unknown as State;
const ROUNDS = PRIMES.map((prime) => fraction(Math.cbrt(prime)));

/** The hash of a text in UTF-8, in eight words. */
export function sha256(text: string): State {
  const bytes = new TextEncoder().encode(text);
  // A bit follows the text, and its length in bits ends the last block of 64 bytes.
  const blocks = new DataView(new ArrayBuffer(((bytes.length + 72) >> 6) << 6));
  new Uint8Array(blocks.buffer).set(bytes);
  blocks.setUint8(bytes.length, 0x80);
  blocks.setUint32(blocks.byteLength - 4, bytes.length * 8);
  let state = INITIAL;
  for (let at = 0; at < blocks.byteLength; at += 64) state = compressed(state, blocks, at);
  return state;
}

function compressed(state: State, blocks: DataView, begin: number): State {
  const words: number[] = [];
  const back = (count: number): number => words[words.length - count] ?? 0;
  let [a, b, c, d, e, f, g, h] = state;
  for (const [round, constant] of ROUNDS.entries()) {
    const word =
      round < 16
        ? blocks.getInt32(begin + 4 * round)
        : ((turned(back(2), 17, 19) ^ (back(2) >>> 10)) +
            back(7) +
            (turned(back(15), 7, 18) ^ (back(15) >>> 3)) +
            back(16)) |
          0;
    words.push(word);
    const chosen = h + turned(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + constant + word;
    const most = turned(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c));
    [a, b, c, d, e, f, g, h] = [(chosen + most) | 0, a, b, c, (d + chosen) | 0, e, f, g];
  }
  return [a, b, c, d, e, f, g, h].map((word, at) => (word + (state[at] ?? 0)) | 0) as unknown as State;
}

/** The XOR of a word's rotations to the right. */
function turned(word: number, ...counts: readonly number[]): number {
  return counts.reduce((joined, count) => joined ^ ((word >>> count) | (word << (32 - count))), 0);
}

function fraction(root: number): number {
  return (root * 2 ** 32) | 0;
}
