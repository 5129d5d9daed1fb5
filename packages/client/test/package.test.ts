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

interface Manifest {
  readonly version: string;
  readonly dependencies?: object;
  readonly exports: Readonly<Record<string, object>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

async function manifest(): Promise<Manifest> {
  return JSON.parse(await readFile(PACKAGE, "utf8")) as Manifest;
}

/** The package of a module, such as `@apollo/client` of `@apollo/client/react`. */
function packageOf(path: string): string {
  return path
    .split("/")
    .slice(0, path.startsWith("@") ? 2 : 1)
    .join("/");
}

test("the main entry has no code of an adapter, of a package, or of the storage in memory", async () => {
  const { metafile } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    format: "esm",
    metafile: true,
    write: false,
  });
  const inputs = Object.keys(metafile.inputs);
  assert.ok(inputs.length > 30);
  assert.deepEqual(
    inputs.filter((path) => /adapters|node_modules|memory/.test(path)),
    [],
  );
});

test("what the other entries import, an app brings", async () => {
  const { exports, peerDependenciesMeta } = await manifest();
  const adapters = Object.keys(exports).filter((name) => name !== "." && name !== "./memory");
  assert.ok(adapters.length > 0);
  for (const adapter of adapters) {
    const { metafile } = await build({
      entryPoints: [fileURLToPath(new URL(`../src/adapters/${adapter.slice(2)}.js`, import.meta.url))],
      bundle: true,
      format: "esm",
      packages: "external",
      metafile: true,
      write: false,
    });
    const [output] = Object.values(metafile.outputs);
    const peers = output?.imports.filter(({ path }) => peerDependenciesMeta[packageOf(path)]?.optional !== true);
    assert.deepEqual(peers, [], adapter);
  }
});

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
  const { dependencies } = await manifest();
  assert.equal(dependencies, undefined);
});

test("it has the version and the licence of the gateway", async () => {
  const { version } = await manifest();
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
