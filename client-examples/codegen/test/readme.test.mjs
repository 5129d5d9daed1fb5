// The commands of README.md against a real gateway, and what they make. TIDEGATE_BINARY names the gateway.
// TIDEGATE_CODEGEN_RUST=1 runs those for Rust too.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { InMemoryCache } from "@apollo/client";
import { Gateway } from "@tidegate/conformance";
import { Client, gql } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { map } from "wonka";

const run = promisify(execFile);
const HERE = fileURLToPath(new URL("..", import.meta.url));
const ROOT = join(HERE, "../..");
const BINARY = process.env.TIDEGATE_BINARY ?? join(ROOT, "target/debug/tidegate");
const LANGUAGES = ["TypeScript", "Python", ...(process.env.TIDEGATE_CODEGEN_RUST ? ["Rust"] : [])];
/** What the commands make of the schema, by language. */
const MADE = { TypeScript: "generated", Python: "tidegate_client", Rust: "rust/schema.graphql" };
/** What differs when the schema comes from a gateway: graphql-js's own directives, the source's name, and lost defaults. */
const DIFFERS = { TypeScript: /^introspection\.json/, Python: /^(enums|input_types)\.py/, Rust: /^$/ };

/** A page of the feed with a task and a project that have one id. */
const QUERY = gql`
  query {
    changesSince {
      __typename
      changes {
        __typename
        documentId
        document {
          __typename
          id
          ... on Task {
            title
          }
          ... on Project {
            name
          }
        }
      }
    }
  }
`;
const change = (document) => ({ __typename: "SyncChange", documentId: document.id, document });
const TASK = { __typename: "Task", id: "one", title: "a task" };
const PROJECT = { __typename: "Project", id: "one", name: "a project" };
const PAGE = { changesSince: { __typename: "SyncPage", changes: [change(TASK), change(PROJECT)] } };

test("generators", async (t) => {
  const gateway = await Gateway.start({ binary: BINARY });
  t.after(() => gateway.stop());
  const scratch = await mkdtemp(join(tmpdir(), "tidegate-codegen-"));
  t.after(() => rm(scratch, { recursive: true }));
  await symlink(BINARY, join(scratch, "tidegate"));
  // On Debian and Ubuntu the module venv is a package of its own, which this installs.
  await run(join(ROOT, "scripts/python-packages"), [HERE]);
  const token = gateway.token("alice", ["demo"]);
  const env = { ...process.env, PATH: `${scratch}:${process.env.PATH}`, GATEWAY: gateway.origin, TOKEN: token };
  const sections = (await readFile(join(HERE, "README.md"), "utf8")).split(/^## /m);
  const sectionOf = (title) => sections.find((section) => section.startsWith(title));
  const commandsOf = (section) => {
    const blocks = [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, commands]) => commands);
    return blocks.map((commands) => commands.replaceAll("http://127.0.0.1:4000", gateway.origin));
  };
  const execute = async (commands) =>
    (await run("bash", ["-euo", "pipefail", "-c", commands], { cwd: HERE, env })).stdout;
  for (const made of Object.values(MADE)) await rm(join(HERE, made), { recursive: true, force: true });
  for (const commands of commandsOf(sectionOf("The two files"))) await execute(commands);

  for (const language of LANGUAGES) {
    await t.test(`for ${language} make the same of a gateway as of a file, and the example works`, async () => {
      const [fromFile, fromGateway] = commandsOf(sectionOf(language));
      assert.match(await execute(fromFile), /APPLIED: /);
      const made = join(HERE, MADE[language]);
      const before = join(scratch, basename(made));
      await rename(made, before);
      await execute(fromGateway);
      const { stdout } = await run("diff", ["-rq", "--exclude=__pycache__", before, made]).catch((error) => error);
      const names = stdout.split("\n").flatMap((line) => /([^/ ]+) differ$/.exec(line)?.[1] ?? (line && [line]));
      assert.deepEqual(
        names.filter((name) => name !== "" && !DIFFERS[language].test(name)),
        [],
      );
    });
  }

  await t.test("caches keep documents of two types with one id apart", async (t) => {
    const { possibleTypes, keys, introspection, getDataID } = await import(join(HERE, "build/caches.js"));
    await t.test("Apollo Client", () => {
      const cache = new InMemoryCache({ possibleTypes });
      cache.writeQuery({ query: QUERY, data: PAGE });
      assert.deepEqual(cache.readQuery({ query: QUERY }), PAGE);
      assert.deepEqual(Object.keys(cache.extract()).sort(), ["Project:one", "ROOT_QUERY", "Task:one"]);
    });
    await t.test("Graphcache, which warns of no missing key", async (t) => {
      const warn = t.mock.method(console, "warn");
      const answer = () => map((operation) => ({ operation, data: PAGE, hasNext: false, stale: false }));
      const exchanges = [cacheExchange({ schema: introspection, keys }), answer];
      const client = new Client({ url: "http://127.0.0.1/", exchanges });
      assert.deepEqual((await client.query(QUERY, {}).toPromise()).data, PAGE);
      assert.deepEqual(
        warn.mock.calls.map((call) => call.arguments[0]),
        [],
      );
    });
    await t.test("Relay", () => {
      assert.deepEqual(
        [TASK, PROJECT].map((it) => getDataID(it, it.__typename)),
        ["Task:one", "Project:one"],
      );
      assert.equal(getDataID({ documentId: "one" }, "SyncChange"), undefined);
    });
  });
});
