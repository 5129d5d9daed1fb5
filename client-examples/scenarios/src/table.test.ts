/**
 * What client-examples/README.md says of each example is so.
 */

import assert from "node:assert/strict";
import { readdir, readFile, stat } from "node:fs/promises";
import { test } from "node:test";
import { EXAMPLES, ROOT } from "./examples.js";
import { commandsIn, MOST_COMMANDS, readmeOf } from "./readme.js";

const LINES_MAX = 300;
const PICTURE_BYTES_MAX = 100_000;

for (const { name, lines: most = LINES_MAX } of EXAMPLES) {
  const directory = `${ROOT}client-examples/${name}`;

  test(`${name} is as small as the table says`, async () => {
    const table = await readFile(`${ROOT}client-examples/README.md`, "utf8");
    const row = table.split("\n").find((line) => line.startsWith(`| [\`${name}\`](${name}) `));
    const [said] = /[\d,]*\d(?= lines)/.exec(row ?? "") ?? [];
    const lines = await linesIn(`${directory}/src`);
    assert.equal(Number(said?.replace(",", "")), Math.round(lines / 10) * 10);
    assert.ok(lines <= most, `${lines} lines`);
  });

  test(`${name} has its pictures, which are small`, async () => {
    const readme = await readFile(`${directory}/README.md`, "utf8");
    for (const picture of ["desktop.png", "phone.png"]) {
      assert.ok(readme.includes(`](${picture})`), picture);
      const { size } = await stat(`${directory}/${picture}`);
      assert.ok(size < PICTURE_BYTES_MAX, `${picture} has ${size} bytes`);
    }
  });
}

for (const name of [...EXAMPLES.map((it) => it.name), "codegen", "node-service"]) {
  test(`${name} is made to run by three commands at most`, async () => {
    const { blocks } = await readmeOf(ROOT, name);
    const commands = commandsIn(blocks[0] ?? "");
    assert.ok(commands.includes("cargo run --release -- dev &"), commands.join());
    assert.ok(commands.length <= MOST_COMMANDS, commands.join());
  });
}

/** Of the source files in a directory; what is generated is in another one. */
async function linesIn(directory: string): Promise<number> {
  const files = (await readdir(directory, { recursive: true })).filter((file) => /\.(?:ts|tsx|js)$/.test(file));
  const texts = await Promise.all(files.map((file) => readFile(`${directory}/${file}`, "utf8")));
  return texts.join("").split("\n").length - 1;
}
