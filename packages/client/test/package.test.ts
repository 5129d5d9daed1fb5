import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";

const ENTRY = fileURLToPath(new URL("../src/index.js", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../package.json", import.meta.url));
const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

test("as an app ships it, all of it is less than 20 KB compressed", async () => {
  const { outputFiles } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
  });
  const bytes = brotliCompressSync(outputFiles[0]?.contents ?? "").length;
  assert.ok(bytes > 2_000 && bytes < 20_000, `${bytes} bytes`);
});

test("it depends on no package at run time", async () => {
  const { dependencies } = JSON.parse(await readFile(PACKAGE, "utf8")) as { dependencies?: object };
  assert.equal(dependencies, undefined);
});

test("it has the version and the licence of the gateway", async () => {
  const { version } = JSON.parse(await readFile(PACKAGE, "utf8")) as { version: string };
  const gateway = /^\[workspace\.package\][^[]*?^version = "([^"]+)"/m.exec(
    await readFile(join(ROOT, "Cargo.toml"), "utf8"),
  );
  assert.equal(version, gateway?.[1]);
  const licences = [join(ROOT, "LICENSE"), join(dirname(PACKAGE), "LICENSE")].map((path) => readFile(path, "utf8"));
  const [theirs, own] = await Promise.all(licences);
  assert.equal(own, theirs);
});

test("the one lock file names no address to download from", async () => {
  const { packages } = JSON.parse(await readFile(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { resolved?: string; link?: true }>;
  };
  const named = Object.values(packages).filter(({ resolved, link }) => resolved !== undefined && link !== true);
  assert.deepEqual(named, []);
});
