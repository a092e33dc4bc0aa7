// The page: takes photographs, shows their results and keeps the list of them.

import { drawHeat, drawPhoto, drawPrepared } from "./drawing.ts";
import { GraderClient } from "./graderClient.ts";
import type { Started, View } from "./messages.ts";
import { toProfile } from "./profile.ts";
import { toCsv, toJson, type Outcome } from "./results.ts";
import * as strings from "./strings.ts";

const KEPT_VIEWS = 20; // pictures of so many photographs are kept; older ones are graded again when they are shown
const LARGEST = 200 * 2 ** 20; // bytes of a file; larger ones are no photographs
const ROUNDS = 20;

/** A photograph in the list; one of `view` and `error` appears when it has been graded. */
interface Entry {
  readonly file: File;
  outcome: Outcome | null;
  view: View | null;
}

function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}

const entries: Entry[] = [];
let client = new GraderClient();
let started: Started;
let threshold = 0;
let pointWords: Readonly<Record<string, string>> = {};
let current: Entry | null = null;
let firstResultMs: number | null = null;
let work: Promise<void> = Promise.resolve();
let pending = 0; // tasks that are not done yet

function say(text: string): void {
  byId("status").textContent = text;
}

function fillTexts(): void {
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = strings.TEXTS[element.dataset.text!];
  }
}

async function start(variant: string | null): Promise<void> {
  setReady(false);
  say(strings.LOADING);
  try {
    started = await client.start(variant);
  } catch (error) {
    say((error as Error).message);
    return;
  }
  fillSettings();
  setReady(true);
  say(navigator.serviceWorker ? strings.READY : strings.NOT_KEPT);
}

function setReady(isReady: boolean): void {
  for (const id of ["choose", "take", "measure"]) byId<HTMLButtonElement>(id).disabled = !isReady;
}

function fillSettings(): void {
  const points = byId<HTMLSelectElement>("point");
  if (points.options.length === 0) {
    for (const name of Object.keys(started.bundle.operatingPoints)) points.add(new Option(name, name));
    usePoint();
  }
  const variants = byId<HTMLSelectElement>("variant");
  const { failed } = started.bundle;
  const label = (name: string) => strings.variantText(name, failed.includes(name));
  variants.replaceChildren(...started.variants.map((name) => new Option(label(name), name)));
  variants.value = started.variant;
  byId("build").textContent = strings.buildText(label(started.variant), started.build, started.threads, started.loadMs / 1000);
}

/** Takes over the chosen operating point and shows what it does. */
function usePoint(): void {
  const name = byId<HTMLSelectElement>("point").value;
  threshold = started.bundle.operatingPoints[name];
  byId("point-words").textContent = pointWords[name] ?? "";
}

/** Grades files one after the other; a broken one stops only itself. */
async function gradeAll(files: readonly File[]): Promise<void> {
  const progress = byId<HTMLProgressElement>("progress");
  progress.hidden = false;
  let failed = 0;
  for (const [number, file] of files.entries()) {
    say(strings.progressText(number, files.length, file.name));
    progress.value = number / files.length;
    const entry: Entry = { file, outcome: null, view: null };
    await gradeEntry(entry);
    entries.push(entry);
    if ("error" in entry.outcome!) failed++;
    forgetOldViews(entry);
    show(entry);
  }
  progress.hidden = true;
  say(strings.doneText(files.length, failed));
}

async function gradeEntry(entry: Entry): Promise<void> {
  const path = entry.file.name;
  try {
    if (entry.file.size > LARGEST) {
      throw new Error(`The file has ${(entry.file.size / 2 ** 20).toFixed(0)} MiB; it may have at most 200. Reduce it first.`);
    }
    const bytes = await entry.file.arrayBuffer();
    entry.view = await client.grade(bytes, path, threshold);
    entry.outcome = { path, grading: entry.view.grading };
    firstResultMs ??= performance.now();
  } catch (error) {
    entry.view = null;
    entry.outcome = { path, error: (error as Error).message };
  }
}

function forgetOldViews(latest: Entry): void {
  const withViews = entries.filter((entry) => entry.view && entry !== latest);
  for (const entry of withViews.slice(0, Math.max(0, withViews.length - KEPT_VIEWS))) {
    entry.view = null;
    const { outcome } = entry;
    if (outcome && "grading" in outcome) {
      const empty = { pixels: new Uint8Array(), width: 0, height: 0 };
      const heatmap = { values: new Float32Array(), width: 0, height: 0 };
      entry.outcome = { path: outcome.path, grading: { ...outcome.grading, prepared: empty, heatmap } };
    }
  }
}

/** Shows an entry of the list, after grading it again if its pictures were forgotten. */
async function select(entry: Entry): Promise<void> {
  if (!entry.view && entry.outcome && "grading" in entry.outcome) await gradeEntry(entry);
  show(entry);
  byId("result").focus();
}

function show(entry: Entry): void {
  current = entry;
  byId("result").hidden = false;
  byId("result-title").textContent = entry.file.name;
  const isFailed = "error" in entry.outcome!;
  for (const name of [".pictures", "#probabilities"]) {
    document.querySelector<HTMLElement>(name)!.hidden = isFailed;
  }
  const action = byId("action");
  if ("error" in entry.outcome!) {
    action.textContent = "Not graded";
    action.className = "action retake";
    byId("reason").textContent = entry.outcome.error;
    byId("remarks").replaceChildren();
  } else if (entry.view) {
    showView(entry.view);
  }
  showList();
}

function showView({ grading, photo, circle }: View): void {
  const action = byId("action");
  action.textContent = strings.actionText(grading.action);
  action.className = `action ${grading.action.split(":")[0]}`;
  byId("reason").textContent = strings.reasonText(grading);
  const remarks = strings.remarksOn(grading).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  byId("remarks").replaceChildren(...remarks);
  const canvas = byId<HTMLCanvasElement>("photo");
  drawPhoto(canvas, photo, circle);
  canvas.setAttribute("aria-label", strings.photoText(grading.path, circle !== null));
  byId("photo-caption").textContent = strings.photoCaption(circle !== null);
  drawPrepared(byId<HTMLCanvasElement>("prepared"), grading.prepared);
  drawHeat(byId<HTMLCanvasElement>("heat"), grading.prepared, grading.heatmap);
  const heatCaption = strings.heatCaption(grading.grade, grading.heatmap.values.some((value) => value > 0));
  byId("heat-caption").textContent = heatCaption;
  byId("prepared").setAttribute("aria-label", heatCaption);
  const rows = Object.entries(grading.probabilities).map(([name, value]) => probabilityRow(name, value, grading.grade));
  document.querySelector("#probabilities tbody")!.replaceChildren(...rows);
}

function probabilityRow(name: string, value: number, best: string): HTMLTableRowElement {
  const row = document.createElement("tr");
  if (name === best) row.className = "best";
  const heading = document.createElement("th");
  heading.scope = "row";
  heading.textContent = strings.gradeText(name);
  const number = document.createElement("td");
  number.textContent = value.toFixed(3);
  const bar = document.createElement("td");
  const meter = document.createElement("meter");
  meter.value = value;
  meter.setAttribute("aria-label", `${strings.gradeText(name)}: ${value.toFixed(3)}`);
  bar.append(meter);
  row.append(heading, number, bar);
  return row;
}

function showList(): void {
  byId("list").hidden = entries.length === 0;
  const counts = { refer: 0, retake: 0, none: 0, failed: 0 };
  const items = entries.map((entry) => {
    const { outcome } = entry;
    const button = document.createElement("button");
    button.type = "button";
    const name = document.createElement("span");
    name.textContent = entry.file.name;
    const result = document.createElement("span");
    if (outcome && "grading" in outcome) {
      const kind = outcome.grading.action.split(":")[0] as "refer" | "retake" | "none";
      counts[kind]++;
      result.textContent = strings.listText(outcome.grading);
      result.className = kind;
    } else {
      counts.failed++;
      result.textContent = "Not graded";
      result.className = "retake";
    }
    button.append(name, result);
    if (entry === current) button.setAttribute("aria-current", "true");
    button.onclick = (): void => enqueue(() => select(entry));
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  byId("entries").replaceChildren(...items);
  byId("counts").textContent = strings.countsText(counts.refer, counts.retake, counts.none, counts.failed);
}

/** Does one thing after the other, so that results keep their order. */
function enqueue(task: () => Promise<void>): void {
  const main = document.querySelector("main")!;
  pending++;
  main.setAttribute("aria-busy", "true");
  work = work
    .then(task)
    .catch((error: unknown) => say(String(error)))
    .finally(() => {
      pending--;
      if (pending === 0) main.setAttribute("aria-busy", "false");
    });
}

function take(files: Iterable<File> | null | undefined): void {
  const given = [...(files ?? [])];
  if (given.length > 0 && started) enqueue(() => gradeAll(given));
}

function save(name: string, type: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function outcomes(): Outcome[] {
  return entries.flatMap(({ outcome }) => (outcome ? [outcome] : []));
}

async function measureSpeed(): Promise<void> {
  if (!current) {
    say(strings.MEASURE_FIRST);
    return;
  }
  const { file } = current;
  const times = await client.profile(await file.arrayBuffer(), ROUNDS);
  const profile = toProfile(started, firstResultMs, times, `photograph, ${file.size} bytes`);
  byId("profile").textContent = JSON.stringify(profile, null, 1);
  byId("profile").hidden = false;
}

function listen(): void {
  byId("choose").onclick = (): void => byId("files").click();
  byId("take").onclick = (): void => byId("camera").click();
  for (const id of ["files", "camera"]) {
    const input = byId<HTMLInputElement>(id);
    input.onchange = (): void => {
      take(input.files);
      input.value = "";
    };
  }
  const drop = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer?.files);
  });
  const opacity = byId<HTMLInputElement>("opacity");
  const applyOpacity = (): void => {
    byId("heat").style.opacity = String(Number(opacity.value) / 100);
  };
  opacity.oninput = applyOpacity;
  applyOpacity();
  byId("save-csv").onclick = (): void => save("gradings.csv", "text/csv", toCsv(started.bundle, outcomes()));
  byId("save-json").onclick = (): void => {
    const point = byId<HTMLSelectElement>("point").value;
    const value = toJson({ ...started.bundle, threshold }, started.variant, point, outcomes());
    save("gradings.json", "application/json", `${JSON.stringify(value, null, 1)}\n`);
  };
  byId("clear").onclick = clearList;
  byId("point").onchange = (): void => {
    usePoint();
    enqueue(gradeAgain);
  };
  byId("variant").onchange = (): void => enqueue(changeVariant);
  byId("measure").onclick = (): void => enqueue(measureSpeed);
}

function clearList(): void {
  entries.length = 0;
  current = null;
  byId("result").hidden = true;
  showList();
  byId("choose").focus();
}

/** Grades the whole list with the settings as they are now, so that no list mixes two of them. */
async function gradeAgain(): Promise<void> {
  for (const entry of entries) {
    await gradeEntry(entry);
    forgetOldViews(entry);
  }
  if (current) show(current);
}

async function changeVariant(): Promise<void> {
  client.end();
  client = new GraderClient();
  await start(byId<HTMLSelectElement>("variant").value);
  await gradeAgain();
}

/** Registers the service worker and offers a new version of the page when there is one. */
async function keepOffline(): Promise<void> {
  if (!navigator.serviceWorker) return;
  const registration = await navigator.serviceWorker.register("sw.js");
  const offer = (): void => {
    const { waiting } = registration;
    if (!waiting || !navigator.serviceWorker.controller) return;
    byId("update").hidden = false;
    byId("load-update").onclick = (): void => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
      waiting.postMessage("use the new version");
    };
  };
  // A version that began to be installed before this line ran has no further event "updatefound".
  const follow = (): void => registration.installing?.addEventListener("statechange", offer);
  registration.addEventListener("updatefound", follow);
  follow();
  offer();
}

/** Loads what the operating points do, in words, and the model card. */
async function showModelCard(): Promise<void> {
  const points = await fetch("bundle/points.json").catch(() => null);
  if (points?.ok) pointWords = (await points.json()) as Record<string, string>;
  if (started) usePoint();
  const response = await fetch("bundle/MODEL_CARD.md").catch(() => null);
  if (response?.ok) byId("card").textContent = strings.cardText(await response.text());
  else byId("card-details").hidden = true;
}

fillTexts();
listen();
void keepOffline().catch(() => undefined);
void showModelCard();
enqueue(() => start(null));
