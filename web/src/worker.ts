// The worker of the page: loads the runtime and the model, and grades photographs away from the page's own thread.

import { loadAndCompile, Tensor, type CompiledModel } from "@litertjs/core";
import { readBundle, usableVariants, verify, type Bundle } from "./bundle.ts";
import { conclude, type Outputs } from "./conclusion.ts";
import { KerasDrError } from "./errors.ts";
import { scaled } from "./fundus.ts";
import { Grader } from "./grader.ts";
import { JpegDecoder } from "./jpeg.ts";
import type { Answer, Graded, Pictures, Request, StageTimes, Started } from "./messages.ts";
import { heatLayer } from "./overlay.ts";
import { resizeArea, type Picture } from "./picture.ts";
import type { Photograph } from "./preprocessing.ts";
import { loadRuntime } from "./runtime.ts";
import { fetchSiteFile } from "./siteFiles.ts";

const SHOWN = 640; // longest side in pixels of the photograph on the screen
const WARM_UP = 2; // rounds of a profile that are not counted

const base = new URL("./", self.location.href).href;
let bundle: Bundle;
let grader: Grader;
let model: CompiledModel;
let variant: string;

async function start(wanted: string | null): Promise<Started> {
  const begun = performance.now();
  const [code, manifest, runtime] = await Promise.all([
    fetchSiteFile("jpeg.wasm"),
    fetchSiteFile("bundle/bundle.json"),
    loadRuntime(base, self.name),
  ]);
  bundle = readBundle(JSON.parse(new TextDecoder().decode(manifest)));
  grader = new Grader(bundle, await JpegDecoder.load(code), run);
  const variants = usableVariants(bundle, runtime.build !== "compatible");
  const chosen = wanted && variants.includes(wanted) ? wanted : variants[0];
  if (!chosen) throw noModel(bundle, runtime.build);
  const file = bundle.models[chosen];
  const data = await fetchSiteFile(`bundle/${file.file}`);
  await verify(data, file);
  model = await loadAndCompile(data, { accelerator: "wasm", cpuOptions: { numThreads: runtime.threads } });
  variant = chosen; // with the model: if that cannot be loaded, both stay as they were
  await run(new Uint8Array(bundle.preprocessing.size ** 2 * 3)); // the first run allocates
  return { bundle, variant: chosen, variants, ...runtime, loadMs: performance.now() - begun };
}

function noModel({ models }: Bundle, build: string): KerasDrError {
  const names = Object.keys(models).join(", ");
  const reason = build === "compatible" ? "this browser, which lacks relaxed SIMD, computes exactly" : "a browser can run";
  return new KerasDrError(`The site has no model that ${reason}, only ${names}.`, "Write the site again with float32.");
}

/** Runs the model; its tensors lie in WebAssembly's memory and are deleted by hand. */
async function run(image: Uint8Array): Promise<Outputs> {
  const { size } = bundle.preprocessing;
  const input = new Tensor(image.slice(), [1, size, size, 3]);
  try {
    const outputs = await model.run({ image: input });
    try {
      const shape = outputs.heatmaps.type.layout.dimensions;
      const probabilities = Float32Array.from((await outputs.probabilities.data()) as Float32Array);
      const heatmaps = Float32Array.from((await outputs.heatmaps.data()) as Float32Array);
      return { probabilities, heatmaps, height: shape[1], width: shape[2] };
    } finally {
      for (const output of Object.values(outputs)) output.delete();
    }
  } finally {
    input.delete();
  }
}

async function grade(bytes: ArrayBuffer): Promise<Graded> {
  const photograph = await grader.decode(new Uint8Array(bytes));
  const { image, findings } = grader.prepare(photograph);
  const outputs = await grader.invoke(image);
  return { findings, outputs, pictures: { prepared: image, ...shownOf(photograph) } };
}

/** Returns the photograph, reduced for the screen, and the circle of the fundus in it. */
function shownOf({ picture, reduction, fundus }: Photograph): { photo: Picture; circle: Pictures["circle"] } {
  const factor = Math.max(1, Math.max(picture.width, picture.height) / SHOWN);
  const width = Math.max(1, Math.round(picture.width / factor));
  const height = Math.max(1, Math.round(picture.height / factor));
  return { photo: resizeArea(picture, width, height), circle: fundus && scaled(fundus, 1 / (reduction * factor)) };
}

/** Grades a photograph repeatedly and returns the milliseconds of each stage. */
async function profile(bytes: ArrayBuffer, rounds: number): Promise<StageTimes> {
  const data = new Uint8Array(bytes);
  const times = { decode: [] as number[], prepare: [] as number[], invoke: [] as number[], overlay: [] as number[], total: [] as number[] };
  for (let round = -WARM_UP; round < rounds; round++) {
    const begun = performance.now();
    const photograph = await grader.decode(data);
    const decoded = performance.now();
    const { image, findings } = grader.prepare(photograph);
    const ready = performance.now();
    const outputs = await grader.invoke(image);
    const invoked = performance.now();
    heatLayer(image, conclude(bundle, variant, "timed", findings, outputs).heatmap);
    const ended = performance.now();
    if (round < 0) continue;
    times.decode.push(decoded - begun);
    times.prepare.push(ready - decoded);
    times.invoke.push(invoked - ready);
    times.overlay.push(ended - invoked);
    times.total.push(ended - begun);
  }
  return times;
}

function answerTo(request: Request): Promise<Started | Graded | StageTimes> {
  if (request.kind === "start") return start(request.variant);
  if (request.kind === "grade") return grade(request.bytes);
  return profile(request.bytes, request.rounds);
}

/** Returns an error in words for the user. */
function explain(error: unknown): string {
  if (error instanceof KerasDrError) return error.message;
  const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
  const lacksMemory = error instanceof RangeError || /memory|allocat|out of bounds/i.test(reason);
  if (lacksMemory) return `This browser has too little memory: ${reason}. Close other pages and programs, and load this page again.`;
  return `The photograph cannot be graded here: ${reason}. Load the page again; if that does not help, use another browser.`;
}

let queue: Promise<void> = Promise.resolve(); // one request at a time: the model is not reentrant

self.onmessage = ({ data: request }: MessageEvent<Request>): void => {
  queue = queue.then(async () => {
    let answer: Answer;
    try {
      answer = { id: request.id, result: await answerTo(request) };
    } catch (error) {
      answer = { id: request.id, error: explain(error) };
    }
    self.postMessage(answer);
  });
};
