// Both services against a real gateway, behind a proxy that loses and doubles what passes: killed in the middle and started
// again, they have reviewed each task once. TIDEGATE_BINARY names the gateway.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Gateway, Proxy } from "@tidegate/conformance";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const ROOT = join(HERE, "../..");
const BINARY = process.env.TIDEGATE_BINARY ?? join(ROOT, "target/debug/tidegate");
const PATIENCE_MS = 120_000;
const TASKS = 40;

const services = {
  node: [process.execPath, join(HERE, "service.mjs")],
  python: [join(HERE, ".venv/bin/python"), join(HERE, "service.py")],
};

// Each has a gateway of its own, and mostly waits.
describe("services", { concurrency: 2 }, () => {
  for (const [name, command] of Object.entries(services)) {
    test(`the service in ${name} reviews each task once`, async (t) => {
      if (name === "python") await promisify(execFile)(join(ROOT, "scripts/python-packages"), [HERE]);
      await new World(t, command).play();
    });
  }
});

class World {
  #service;

  constructor(t, command) {
    this.t = t;
    this.command = command;
  }

  async play() {
    await this.#open();
    await this.#killedWhileItWorks();
    await this.#refusedByTheDocument();
    await this.#inAnotherEpoch();
    assert.ok(this.tokens >= 3, "a refused token and one that ends are replaced");
  }

  async #open() {
    this.state = await mkdtemp(join(tmpdir(), "tidegate-service-"));
    // In this order: a service that still runs would write into what is removed.
    this.t.after(() => this.#kill());
    this.t.after(() => rm(this.state, { recursive: true }));
    this.gateway = await Gateway.start({ binary: BINARY });
    this.t.after(() => this.gateway.stop());
    this.proxy = await Proxy.start(this.gateway.origin);
    this.t.after(() => this.proxy.stop());
    this.tokens = 0;
    // The first token has ended, and the second one ends in 3 s: the gateway takes a token for 10 s longer.
    const issue = (_, response) => {
      const seconds = [-60, -7][this.tokens] ?? 600;
      this.tokens += 1;
      response.end(JSON.stringify({ token: this.gateway.token("reviewer", ["demo"], seconds) }));
    };
    const issuer = createServer(issue).listen(0, "127.0.0.1");
    await once(issuer, "listening");
    this.t.after(() => issuer.close());
    this.issuer = `http://127.0.0.1:${issuer.address().port}/`;
  }

  /** Answers to pushes are lost, pushes arrive twice, streams are cut, and the service is killed again and again. */
  async #killedWhileItWorks() {
    const faults = ["lose", "double", undefined, "lose", "refuse"];
    let pushes = 0;
    this.proxy.plan = ({ kind }) => {
      if (kind === "push") pushes += 1;
      const fault = faults[pushes % faults.length];
      return fault && kind !== "read" ? { fault } : undefined;
    };
    const done = this.#complete(Array.from({ length: TASKS }, (_, nth) => `task-${nth}`));
    for (let restarts = 0; restarts < 8; restarts += 1) {
      const before = pushes;
      this.#start();
      await this.#until("it pushes", () => pushes > before);
      await this.#kill();
    }
    await done;
    this.#start();
    await this.#reviewed(TASKS);
    this.proxy.plan = () => undefined;
    await this.#settled();
  }

  /** A task is deleted, and its tombstone collected, while the push about it waits. The next task is reviewed. */
  async #refusedByTheDocument() {
    this.proxy.plan = ({ kind }) => (kind === "push" ? { fault: "refuse" } : undefined);
    await this.#complete(["gone"]);
    await this.#until("the push waits", async () => (await this.#kept()).push !== null);
    await this.#kill();
    await this.#push([{ task: { delete: { id: "gone", baseVersion: 1 } } }]);
    await this.gateway.collect();
    this.proxy.plan = () => undefined;
    this.#start();
    await this.#complete(["next"]);
    await this.#reviewed(TASKS + 1);
    await this.#settled();
    const [problem] = (await readFile(join(this.state, "problems.jsonl"), "utf8")).split("\n");
    const { documentId, status, error } = JSON.parse(problem);
    assert.deepEqual([documentId, status, error.code], ["gone", "REJECTED", "NOT_FOUND"]);
  }

  /** The service begins again, and reviews nothing twice. */
  async #inAnotherEpoch() {
    const { client } = await this.#kept();
    this.proxy.plan = ({ kind }) => (kind === "push" ? { fault: "refuse" } : undefined);
    await this.#complete(["old"]);
    await this.#until("the push waits", async () => (await this.#kept()).push !== null);
    await this.gateway.rotate();
    this.proxy.plan = () => undefined;
    await this.#complete(["new"]);
    await this.#reviewed(TASKS + 3);
    await this.#settled();
    assert.notEqual((await this.#kept()).client, client);
  }

  #start() {
    const [program, ...args] = this.command;
    const env = { ...process.env, GATEWAY: this.proxy.origin, STATE: this.state, TOKEN_URL: this.issuer };
    this.#service = spawn(program, args, { env, stdio: ["ignore", "inherit", "inherit"] });
    this.#service.once("exit", (code) => assert.equal(code, null, "the service ended by itself"));
  }

  async #kill() {
    const service = this.#service;
    this.#service = undefined;
    if (!service) return;
    const ended = once(service, "exit");
    service.kill("SIGKILL");
    await ended;
  }

  /** Alice creates tasks that are done, one after the other. */
  async #complete(ids) {
    for (const id of ids) {
      const document = { title: id, audience: "team:demo", done: true };
      await this.#push([{ task: { create: { id, document } } }]);
      await sleep(150);
    }
  }

  async #push(changes) {
    const query = "mutation ($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    const { results } = (await this.#alice(query, { input: { changes } })).pushChanges;
    for (const { status } of results) assert.equal(status, "APPLIED");
  }

  async #tasks() {
    const query = `{ changesSince(limit: 1000) { changes { document { ... on Task { id labels minutesSpent } } } } }`;
    const { changes } = (await this.#alice(query)).changesSince;
    return changes.flatMap(({ document }) => document ?? []);
  }

  async #alice(query, variables) {
    const headers = {
      "Content-Type": "application/json",
      Authorization: `Bearer ${this.gateway.token("alice", ["demo"])}`,
    };
    const body = JSON.stringify({ query, variables });
    const { data, errors } = await (await fetch(this.gateway.url, { method: "POST", headers, body })).json();
    assert.equal(errors, undefined);
    return data;
  }

  async #kept() {
    return JSON.parse(await readFile(join(this.state, "state.json"), "utf8"));
  }

  async #reviewed(count) {
    const isReviewed = ({ labels }) => labels.includes("reviewed");
    await this.#until(`${count} tasks are reviewed`, async () => {
      return (await this.#tasks()).filter(isReviewed).length === count;
    });
  }

  /** Nothing is under way, and each task was reviewed once. */
  async #settled() {
    await this.#until("nothing waits", async () => (await this.#kept()).push === null);
    for (const task of await this.#tasks()) {
      assert.deepEqual(task, { id: task.id, labels: ["reviewed"], minutesSpent: 5 });
    }
  }

  async #until(what, holds) {
    for (const since = Date.now(); !(await holds()); await sleep(100)) {
      assert.ok(Date.now() - since < PATIENCE_MS, `never: ${what}`);
    }
  }
}
