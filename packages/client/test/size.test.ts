import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const ENTRY = fileURLToPath(new URL("../src/index.js", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../package.json", import.meta.url));

test("as an app ships it, all of it is less than 20 KB compressed", async () => {
  const { outputFiles } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
  });
  const bytes = gzipSync(outputFiles[0]?.contents ?? "").length;
  assert.ok(bytes > 2_000 && bytes < 20_000, `${bytes} bytes`);
});

test("it depends on no package at run time", async () => {
  const { dependencies } = JSON.parse(await readFile(PACKAGE, "utf8")) as { dependencies?: object };
  assert.equal(dependencies, undefined);
});
