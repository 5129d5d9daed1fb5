// Builds the page into src/http/devices, gzipped as the gateway keeps and sends it. The files are committed, so that a plain
// `cargo build` needs no npm; test/bundle.test.mjs compares them with what this makes.
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = new URL(".", import.meta.url);
export const TARGET = new URL("../../src/http/devices/", HERE);

/** The files of the page by name. */
export async function bundle() {
  const { outputFiles } = await build({
    absWorkingDir: fileURLToPath(HERE),
    entryPoints: { app: "src/main.tsx" },
    alias: { "@tidegate/client": fileURLToPath(new URL("../client/src/index.ts", HERE)) },
    banner: { js: `/*!\nPreact\n\n${await preactLicense()}*/` },
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2022",
    outdir: "out",
    write: false,
  });
  const [script] = outputFiles;
  const style = await build({
    absWorkingDir: fileURLToPath(HERE),
    entryPoints: ["src/style.css"],
    minify: true,
    write: false,
  });
  return {
    "index.html": await readFile(new URL("src/index.html", HERE), "utf8"),
    "app.js": script.text,
    "app.css": style.outputFiles[0].text,
  };
}

/** Every copy of Preact has to carry its licence. */
function preactLicense() {
  const preact = dirname(createRequire(import.meta.url).resolve("preact/package.json"));
  return readFile(`${preact}/LICENSE`, "utf8");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(await bundle())) {
    await writeFile(new URL(`${name}.gz`, TARGET), gzipSync(text, { level: 9 }));
  }
}
