// Chooses and loads a build of LiteRT.js, which runs the models. Its code is loaded by importScripts, so that the worker
// of the page is a classic one.

import { loadLiteRt, supportsFeature } from "@litertjs/core";
import { fetchSiteFile } from "./siteFiles.ts";

const THREADS = 2; // more gain little, and a phone gets hot
const CORES = 4; // with fewer, two threads wait for each other and for the page

export type Build = "threads" | "relaxed SIMD" | "compatible";

/** A build that was loaded, and with how many threads it runs models. */
export interface Runtime {
  readonly build: Build;
  readonly threads: number;
}

const FILES: Readonly<Record<Build, string>> = {
  threads: "litert_wasm_threaded_internal",
  "relaxed SIMD": "litert_wasm_internal",
  compatible: "litert_wasm_compat_internal",
};

/** Returns the builds that this browser can run, the preferred one first. */
async function possibleBuilds(): Promise<Build[]> {
  if (!(await supportsFeature("relaxedSimd"))) return ["compatible"];
  // memory is shared among threads only where the server sends the headers that isolate the page
  const hasThreads = self.crossOriginIsolated && (await supportsFeature("threads"));
  if (!hasThreads) return ["relaxed SIMD", "compatible"];
  const isLarge = navigator.hardwareConcurrency >= CORES;
  return isLarge ? ["threads", "relaxed SIMD", "compatible"] : ["relaxed SIMD", "threads", "compatible"];
}

/**
 * Loads the runtime.
 *
 * @param base the address of the site's folder
 * @param wanted a build to use instead of the preferred one, for tests and comparisons; it is ignored if it cannot run here
 */
export async function loadRuntime(base: string, wanted: string): Promise<Runtime> {
  const possible = await possibleBuilds();
  const build = possible.find((name) => name === wanted) ?? possible[0];
  const script = `litert/${FILES[build]}.js`;
  await Promise.all([fetchSiteFile(script), fetchSiteFile(`litert/${FILES[build]}.wasm`)]);
  // Emscripten looks for its files beside worker.js, not beside the script that importScripts loads.
  const module = { locateFile: (file: string) => `${base}litert/${file}`, mainScriptUrlOrBlob: base + script };
  Object.assign(self, { Module: module });
  if (build === "threads") {
    // Emscripten starts a worker for each core; two of them are used.
    Object.defineProperty(navigator, "hardwareConcurrency", { value: THREADS, configurable: true });
  }
  await loadLiteRt(base + script);
  return { build, threads: build === "threads" ? THREADS : 1 };
}
