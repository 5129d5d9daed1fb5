// The driver of this client for the live suite (conformance/README.md): commands by line, answers by line. The page's
// IndexedDB is a file here, which is replaced whole with each step. `--forgets-flight` breaks it.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "../../src/client.js";
import { EditError, views } from "../../src/core.js";
import { modelOf } from "../../src/model.js";
import { Network } from "../../src/session.js";

const forgets = process.argv.includes("--forgets-flight");

/** The window's events, which the network and the client use. */
const window = new EventTarget();
for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
  globalThis[name] = window[name].bind(window);
}

/** The whole example: model.graphql. */
const MODEL = modelOf({
  Task: {
    root: "task",
    fields: "audience title notes done priority labels minutesSpent due projectId",
    merges: { labels: "SET", minutesSpent: "COUNTER" },
    defaults: { done: false, priority: "NORMAL", labels: [], minutesSpent: 0 },
  },
  Project: { root: "project", fields: "audience name archived", merges: {}, defaults: { archived: false } },
  Article: { root: "article", fields: "audience title text", merges: {}, defaults: {} },
});

class FileStore {
  constructor(directory) {
    this.path = join(directory, "state.json");
  }

  load() {
    try {
      const { docs, ...rest } = JSON.parse(readFileSync(this.path, "utf8"));
      return { ...rest, docs: new Map(docs), ...(forgets && { flight: null }) };
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    }
  }

  save(_, { docs, ...rest }) {
    writeFileSync(`${this.path}.new`, JSON.stringify({ ...rest, docs: [...docs] }));
    renameSync(`${this.path}.new`, this.path);
  }
}

let client;
let token;
const network = new Network();

const commands = {
  async start({ url, token: first, directory }) {
    token = first;
    const user = userOf(directory);
    client = await Client.open(
      { session: { user, url, network, token: () => token }, store: new FileStore(directory), model: MODEL },
      () => undefined,
    );
    return true;
  },

  async edit({ edits, transaction: atomic = false, policy }) {
    const changedAt = new Date().toISOString();
    // Edits that are no transaction are made one by one.
    const steps = atomic ? [edits] : edits.map((it) => [it]);
    try {
      for (const made of steps) await client.dispatch(() => ({ do: "edit", edits: made, changedAt, atomic, policy }));
      return true;
    } catch (error) {
      if (error instanceof EditError) return false;
      throw error;
    }
  },

  token(command) {
    token = command.token;
    return true;
  },

  offline() {
    network.online = false;
    return true;
  },

  online() {
    if (!network.online) network.online = true;
    return true;
  },

  async quiet({ ms }) {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) {
      const { phase } = client.status;
      if (phase === "halted" || (phase === "live" && client.unsent === 0)) break;
    }
    return true;
  },

  state() {
    const { state, status, unsent } = client;
    const shown = [...views(MODEL.types, state)].filter(([, body]) => body);
    const outcomes = state.outcomes.map(({ n, status: is, edit: { op, type, id, set, base } }) => {
      return { n, status: is, op, type, id, set, base };
    });
    const halted = status.phase === "halted" ? { halted: status.error } : {};
    return { documents: Object.fromEntries(shown), outcomes, unsent, ...halted };
  },
};

/** The user whose documents are in a directory: that of the first token. */
function userOf(directory) {
  const path = join(directory, "user");
  try {
    return readFileSync(path, "utf8");
  } catch {
    const { sub } = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
    writeFileSync(path, sub);
    return sub;
  }
}

createInterface(process.stdin).on("line", (line) => {
  const { id, ...command } = JSON.parse(line);
  const say = (answer) => process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
  Promise.resolve()
    .then(() => commands[command.do](command))
    .then(
      (ok) => say({ ok }),
      (failure) => say({ error: String(failure?.stack) }),
    );
});
