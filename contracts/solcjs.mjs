#!/usr/bin/env node
// The npm compiler behind the two options of native `solc` that forge and py-solc-x use, for machines
// where no native compiler can be had: --version, and --standard-json from stdin to stdout.
import { readFileSync } from "node:fs";
import solc from "solc";

const options = process.argv.slice(2);

if (options.includes("--version")) {
  // Both callers parse a native compiler's platform suffix; "Emscripten.clang" would not pass.
  const version = solc.version().replace("Emscripten.clang", "Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (options.includes("--standard-json")) {
  // Paths ride on the command line only for a compiler that reads files itself; the input holds every source.
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error(`solcjs.mjs: want --version or --standard-json, got ${options.join(" ") || "nothing"}`);
  process.exitCode = 2;
}
