import assert from "node:assert/strict";
import "fake-indexeddb/auto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Gateway } from "@tidegate/conformance";
import ts from "typescript";
import { WebSocket as NodeWebSocket } from "ws";
import "../alias.js";
import { ROOT, startGateway } from "./gateway.js";

const PACKAGE = join(ROOT, "packages/client");

let gateway: Gateway;

before(async () => {
  gateway = await startGateway();
});

after(() => gateway.stop());

/** The snippets of a page as one module: they follow one another. */
async function snippetsOf(page: string): Promise<string> {
  const text = await readFile(join(ROOT, page), "utf8");
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, snippet]) => snippet).join("\n");
}

/** What the compiler has against a module, as if it stood in `examples`. */
function mistakesIn(path: string): readonly string[] {
  const { config } = ts.readConfigFile(join(PACKAGE, "tsconfig.json"), (file) => ts.sys.readFile(file)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, PACKAGE);
  const program = ts.createProgram([path], { ...options, noEmit: true });
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
}

test("the snippets of docs/client.md compile, run, and print what they say", async (t) => {
  const source = (await snippetsOf("docs/client.md")).replaceAll("http://127.0.0.1:4000", new URL(gateway.url).origin);
  const written = join(PACKAGE, "examples", "snippets.ts");
  const module = join(dirname(fileURLToPath(import.meta.url)), "../../examples/snippets.js");
  t.after(() => Promise.all([written, module].map((path) => rm(path, { force: true }))));
  await writeFile(written, source);
  assert.deepEqual(mistakesIn(written), []);

  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022 },
  });
  await mkdir(dirname(module), { recursive: true });
  await writeFile(module, outputText);
  Object.assign(globalThis, { WebSocket: NodeWebSocket });
  const printed: string[] = [];
  t.mock.method(console, "log", (...words: unknown[]) => printed.push(words.map(String).join(" ")));
  await import(pathToFileURL(module).href);
  const promised = [...source.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, line]) => line);
  assert.deepEqual(
    promised.filter((line) => line === undefined || !printed.includes(line)),
    [],
  );
  assert.ok(promised.length > 5);
});

test("README shows the application of 60 lines as it is", async () => {
  const application = await readFile(join(PACKAGE, "examples/tasks.ts"), "utf8");
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  assert.ok(readme.includes(`\`\`\`ts\n${application}\`\`\``));
  assert.ok(application.split("\n").length <= 60);
});
