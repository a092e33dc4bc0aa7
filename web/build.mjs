// Builds the page: `node build.mjs` writes dist/, `node build.mjs tests` writes the programs of the tests to build/.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";

const LITERT = "node_modules/@litertjs/core/wasm";
// The runtime is the npm package's, byte for byte; the digests are of its files. Three builds: with relaxed SIMD and
// threads, with relaxed SIMD alone, with neither.
const RUNTIME = {
  "litert_wasm_threaded_internal.js": "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849",
  "litert_wasm_threaded_internal.wasm": "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf",
  "litert_wasm_internal.js": "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
  "litert_wasm_internal.wasm": "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
  "litert_wasm_compat_internal.js": "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
  "litert_wasm_compat_internal.wasm": "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
};
const shared = { bundle: true, charset: "utf8", legalComments: "inline", logLevel: "warning", target: "es2022" };

async function buildTests() {
  const program = { ...shared, format: "esm", platform: "node", outExtension: { ".js": ".mjs" } };
  await build({ ...program, entryPoints: ["test/prepare.ts"], outdir: "build" });
}

async function buildPage() {
  mkdirSync("dist/litert", { recursive: true });
  const page = { ...shared, outdir: "dist", format: "iife", minify: true };
  await build({ ...page, entryPoints: ["src/app.ts", "src/worker.ts", "src/sw.ts"] });
  for (const file of readdirSync("static")) copyFileSync(`static/${file}`, `dist/${file}`);
  for (const [file, digest] of Object.entries(RUNTIME)) {
    const content = readFileSync(`${LITERT}/${file}`);
    const found = createHash("sha256").update(content).digest("hex");
    if (found !== digest) throw new Error(`${file} has the SHA-256 ${found}, not ${digest}.`);
    // compressed in the repository; `keras-dr web` writes it as it was
    if (file.endsWith(".wasm")) compress(content, `dist/litert/${file}.gz`);
    else writeFileSync(`dist/litert/${file}`, content);
  }
}

/** Writes content compressed, unless the file holds it already: other versions of zlib compress in another way. */
function compress(content, file) {
  if (existsSync(file) && gunzipSync(readFileSync(file)).equals(content)) return;
  writeFileSync(file, gzipSync(content, { level: 9 }));
}

await (process.argv[2] === "tests" ? buildTests() : buildPage());
