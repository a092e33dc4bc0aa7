// The page: takes photographs, shows their results and keeps the list of them.

import { drawHeat, drawPhoto, drawPrepared } from "./drawing.ts";
import { GraderClient } from "./graderClient.ts";
import type { Grading } from "./grader.ts";
import type { Started, View } from "./messages.ts";
import { toProfile } from "./profile.ts";
import { numbered, toCsv, toJson, type Outcome } from "./results.ts";
import * as strings from "./strings.ts";

const KEPT_VIEWS = 20; // pictures of so many photographs are kept; older ones are graded again when they are shown
const LARGEST = 200 * 2 ** 20; // bytes of a file; larger ones are no photographs
const ROUNDS = 20;

/** A photograph in the list; `outcome` appears when it has been graded, `view` is kept for some of them. */
interface Entry {
  readonly file: File;
  readonly name: string; // the file's, with a number if another photograph has that name
  outcome: Outcome | null;
  view: View | null;
}

function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}

const entries: Entry[] = [];
let client: GraderClient | null = null; // null until the grader is loaded
let started: Started;
let threshold = 0;
let pointWords: Readonly<Record<string, string>> = {};
let current: Entry | null = null;
let firstResultMs: number | null = null;
let work: Promise<void> = Promise.resolve();
let pending = 0; // tasks that are not done yet
let isUnsaved = false; // whether the list has results that no file has

function say(text: string): void {
  byId("status").textContent = text;
}

function fillTexts(): void {
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = strings.TEXTS[element.dataset.text!];
  }
}

/** Loads a grader and returns whether that succeeded; if not, the former one goes on. */
async function load(variant: string | null): Promise<boolean> {
  setReady(false);
  say(strings.LOADING);
  const next = new GraderClient();
  let message = navigator.serviceWorker ? strings.READY : strings.NOT_KEPT;
  try {
    started = await next.start(variant);
    client?.end();
    client = next;
  } catch (error) {
    next.end();
    message = (error as Error).message;
  }
  if (client) {
    fillSettings();
    setReady(true);
  }
  say(message);
  return client === next;
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
  if (!client) return; // the status says why
  const progress = byId<HTMLProgressElement>("progress");
  progress.hidden = false;
  let failed = 0;
  for (const [number, file] of files.entries()) {
    say(strings.progressText(number, files.length, file.name));
    progress.value = number / files.length;
    const entry: Entry = { file, name: numbered(file.name, entries.map(({ name }) => name)), outcome: null, view: null };
    await gradeEntry(entry);
    entries.push(entry);
    isUnsaved = true;
    if ("error" in entry.outcome!) failed++;
    forgetOldViews(entry);
    show(entry);
  }
  progress.hidden = true;
  say(strings.doneText(files.length, failed));
}

async function gradeEntry(entry: Entry): Promise<void> {
  const path = entry.name;
  try {
    entry.view = await client!.grade(await bytesOf(entry.file), path, threshold);
    entry.outcome = { path, grading: entry.view.grading };
    firstResultMs ??= performance.now();
  } catch (error) {
    entry.view = null;
    entry.outcome = { path, error: (error as Error).message };
  }
}

async function bytesOf(file: File): Promise<ArrayBuffer> {
  if (file.size > LARGEST) {
    throw new Error(`The file has ${(file.size / 2 ** 20).toFixed(0)} MiB; it may have at most 200. Reduce it first.`);
  }
  return file.arrayBuffer().catch(() => {
    throw new Error(strings.UNREADABLE);
  });
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

/** Shows an entry of the list, after grading it again if its pictures were forgotten; its result is kept in any case. */
async function select(entry: Entry): Promise<void> {
  const { outcome } = entry;
  if (!entry.view && outcome && "grading" in outcome) {
    await gradeEntry(entry);
    if (entry.outcome && "error" in entry.outcome) say(strings.noPicturesText(entry.name, entry.outcome.error));
    entry.outcome = outcome;
    forgetOldViews(entry);
  }
  show(entry);
}

function show(entry: Entry): void {
  current = entry;
  byId("result").hidden = false;
  byId("result-title").textContent = entry.name;
  const outcome = entry.outcome!;
  document.querySelector<HTMLElement>(".pictures")!.hidden = !entry.view;
  byId("probabilities").hidden = "error" in outcome;
  const action = byId("action");
  if ("error" in outcome) {
    action.textContent = "Not graded";
    action.className = "action retake";
    byId("reason").textContent = outcome.error;
    byId("remarks").replaceChildren();
    byId("trained-on").textContent = "";
  } else {
    showGrading(outcome.grading);
    if (entry.view) showPictures(entry.view);
  }
  showList();
}

function showGrading(grading: Grading): void {
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
  byId("trained-on").textContent = strings.trainedText(grading);
  const rows = Object.entries(grading.probabilities).map(([name, value]) => probabilityRow(name, value, grading.grade));
  document.querySelector("#probabilities tbody")!.replaceChildren(...rows);
}

function showPictures({ grading, photo, circle }: View): void {
  const canvas = byId<HTMLCanvasElement>("photo");
  drawPhoto(canvas, photo, circle);
  canvas.setAttribute("aria-label", strings.photoText(grading.path, circle !== null));
  byId("photo-caption").textContent = strings.photoCaption(circle !== null);
  drawPrepared(byId<HTMLCanvasElement>("prepared"), grading.prepared);
  drawHeat(byId<HTMLCanvasElement>("heat"), grading.prepared, grading.heatmap);
  const heatCaption = strings.heatCaption(grading.grade, grading.heatmap.values.some((value) => value > 0));
  byId("heat-caption").textContent = heatCaption;
  byId("prepared").setAttribute("aria-label", heatCaption);
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
    name.textContent = entry.name;
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
    button.onclick = (): void =>
      enqueue(async () => {
        await select(entry);
        byId("result").focus();
      });
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  byId("entries").replaceChildren(...items);
  byId("counts").textContent = strings.countsText(counts.refer, counts.retake, counts.none, counts.failed);
}

/** Does one thing after the other, so that results keep their order. */
function enqueue(task: () => Promise<void> | void): void {
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
  if (given.length > 0) enqueue(() => gradeAll(given));
}

function save(name: string, type: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  isUnsaved = false;
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function saveCsv(): void {
  save("gradings.csv", "text/csv", toCsv(started.bundle, outcomes()));
}

function saveJson(): void {
  const point = byId<HTMLSelectElement>("point").value;
  const value = toJson({ ...started.bundle, threshold }, started.variant, point, outcomes());
  save("gradings.json", "application/json", `${JSON.stringify(value, null, 1)}\n`);
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
  const times = await client!.profile(await bytesOf(file), ROUNDS);
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
  byId("save-csv").onclick = (): void => enqueue(saveCsv);
  byId("save-json").onclick = (): void => enqueue(saveJson);
  byId("clear").onclick = clearList;
  window.addEventListener("beforeunload", (event) => {
    if (isUnsaved) event.preventDefault();
  });
  byId("point").onchange = (): void => {
    usePoint();
    enqueue(gradeAgain);
  };
  byId("variant").onchange = (): void => enqueue(changeVariant);
  byId("measure").onclick = (): void => enqueue(measureSpeed);
}

/** Asks before results are lost that no file has, and returns whether to go on. */
function mayGoOn(): boolean {
  if (isUnsaved && !window.confirm(strings.UNSAVED)) return false;
  isUnsaved = false;
  return true;
}

function clearList(): void {
  if (!mayGoOn()) return;
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
    isUnsaved = true;
    forgetOldViews(entry);
  }
  if (current) await select(current);
}

async function changeVariant(): Promise<void> {
  if (await load(byId<HTMLSelectElement>("variant").value)) await gradeAgain();
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
      if (!mayGoOn()) return;
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
enqueue(async () => {
  await load(null);
});
