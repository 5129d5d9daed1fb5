/**
 * The driver of this client for the live suite (conformance/README.md): commands by line, answers by line.
 * `--forgets-flight` breaks its storage.
 */

import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Edits } from "@tidegate/conformance";
import { ClientDevice } from "../gateway/client-device.js";
import { FileStorage } from "./file-storage.js";

/** The members of each command, besides `id`. */
type Command =
  | { readonly do: "start"; readonly url: string; readonly token: string; readonly directory: string }
  | ({ readonly do: "edit" } & Edits)
  | { readonly do: "offline" | "online" | "state" }
  | { readonly do: "token"; readonly token: string }
  | { readonly do: "quiet"; readonly ms: number };

const forgets = process.argv.includes("--forgets-flight");
let device: ClientDevice | undefined;

async function carryOut(command: Command): Promise<unknown> {
  if (command.do === "start") {
    const storage = new FileStorage(join(command.directory, "steps.jsonl"), forgets);
    device = new ClientDevice(command, () => storage);
    return true;
  }
  if (!device) throw new Error("it is not started");
  switch (command.do) {
    case "edit":
      return device.edit(command);
    case "offline":
    case "online":
      await device.setOnline(command.do === "online");
      return true;
    case "token":
      await device.setToken(command.token);
      return true;
    case "quiet":
      await device.settle(command.ms);
      return true;
    case "state":
      return device.state();
  }
}

function answer(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

createInterface(process.stdin).on("line", (line) => {
  const { id, ...command } = JSON.parse(line) as Command & { readonly id: number };
  carryOut(command).then(
    (ok) => {
      answer({ id, ok });
    },
    (failure: unknown) => {
      answer({ id, error: String(failure) });
    },
  );
});
