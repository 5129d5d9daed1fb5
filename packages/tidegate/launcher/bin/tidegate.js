#!/usr/bin/env node
/**
 * Runs the gateway's binary with the same arguments, streams and signals, and ends as it ends. A package for each platform has
 * the binary, and npm installs the one that fits.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import process from "node:process";

/** The packages there are, by Node's names of platform and processor. */
const PACKAGES = { "linux x64": "@tidegate/linux-x64-gnu" };

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

function binary() {
  const platform = `${process.platform} ${process.arch}`;
  const name = PACKAGES[platform];
  if (name === undefined) {
    throw new Error(`there is no binary for ${platform} yet; build it with cargo`);
  }
  try {
    return createRequire(import.meta.url).resolve(`${name}/tidegate`);
  } catch {
    throw new Error(
      `the package ${name} is missing; install it with the optional dependencies, on a system with glibc`,
    );
  }
}

function run(path) {
  const gateway = spawn(path, process.argv.slice(2), { stdio: "inherit" });
  // A terminal sends Ctrl-C to both, and the gateway takes no notice of a second one.
  for (const signal of SIGNALS) process.on(signal, () => gateway.kill(signal));
  gateway.on("error", fail);
  gateway.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    SIGNALS.forEach((handled) => process.removeAllListeners(handled));
    process.kill(process.pid, signal);
  });
}

function fail(error) {
  process.stderr.write(`tidegate: ${error.message}\n`);
  process.exit(1);
}

try {
  run(binary());
} catch (error) {
  fail(error);
}
