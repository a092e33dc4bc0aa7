// The page: takes photographs, grades them, and keeps the list of their results.

import type { Bundle } from "./bundle.ts";
import { conclude, type Findings, type Outputs } from "./conclusion.ts";
import { byId } from "./elements.ts";
import { GraderClient } from "./graderClient.ts";
import { showList } from "./listView.ts";
import type { Graded, Pictures, Started } from "./messages.ts";
import { toProfile } from "./profile.ts";
import { numbered, toCsv, toJson, type Outcome } from "./results.ts";
import { hideResult, showResult } from "./resultView.ts";
import * as strings from "./strings.ts";

const KEPT_PICTURES = 20; // of so many photographs; those of older ones are made again when they are shown
const LARGEST_MIB = 200; // size of a file; larger ones are no photographs
const ROUNDS = 20;

/** A photograph of the list with its result. */
interface Entry {
  readonly file: File;
  readonly name: string; // the file's, with a number if another photograph has that name
  outcome: Outcome;
  evidence: Evidence | null; // null if the photograph was not graded
  pictures: Pictures | null; // null if they were forgotten too
}

/** What the outcome is concluded from, at any operating point. */
interface Evidence {
  readonly findings: Findings;
  readonly outputs: Outputs;
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

/** Returns the bundle with the threshold of the chosen operating point. */
function bundleAtPoint(): Bundle {
  return { ...started.bundle, threshold };
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
    const name = numbered(file.name, entries.map((entry) => entry.name));
    const entry = { file, name, ...(await resultOf(file, name)) };
    entries.push(entry);
    isUnsaved = true;
    if ("error" in entry.outcome) failed++;
    forgetOldPictures(entry);
    show(entry);
  }
  progress.hidden = true;
  say(strings.doneText(files.length, failed));
}

async function resultOf(file: File, path: string): Promise<Pick<Entry, "outcome" | "evidence" | "pictures">> {
  try {
    const { pictures, ...evidence } = await gradeFile(file);
    const outcome = outcomeOf(path, evidence);
    firstResultMs ??= performance.now();
    return { outcome, evidence, pictures };
  } catch (error) {
    return { outcome: { path, error: (error as Error).message }, evidence: null, pictures: null };
  }
}

async function gradeFile(file: File): Promise<Graded> {
  return client!.grade(await bytesOf(file));
}

function outcomeOf(path: string, { findings, outputs }: Evidence): Outcome {
  return { path, grading: conclude(bundleAtPoint(), started.variant, path, findings, outputs) };
}

async function bytesOf(file: File): Promise<ArrayBuffer> {
  const mebibytes = file.size / 2 ** 20;
  if (mebibytes > LARGEST_MIB) throw new Error(strings.tooLargeText(mebibytes, LARGEST_MIB));
  return file.arrayBuffer().catch(() => {
    throw new Error(strings.UNREADABLE);
  });
}

function forgetOldPictures(latest: Entry): void {
  const withPictures = entries.filter((entry) => entry.pictures && entry !== latest);
  const surplus = Math.max(0, withPictures.length - KEPT_PICTURES);
  for (const entry of withPictures.slice(0, surplus)) entry.pictures = null;
}

/** Shows an entry of the list, after making its pictures again if they were forgotten; its result stays as it is. */
async function select(entry: Entry): Promise<void> {
  if (entry.evidence && !entry.pictures) {
    try {
      entry.pictures = (await gradeFile(entry.file)).pictures;
      forgetOldPictures(entry);
    } catch (error) {
      say(strings.noPicturesText(entry.name, (error as Error).message));
    }
  }
  show(entry);
  byId("result").focus();
}

function show(entry: Entry): void {
  current = entry;
  showResult(entry.outcome, entry.pictures);
  showEntries();
}

function showEntries(): void {
  const place = current ? entries.indexOf(current) : -1;
  showList(outcomes(), place, (chosen) => {
    const entry = entries[chosen];
    enqueue(() => select(entry));
  });
}

function outcomes(): Outcome[] {
  return entries.map(({ outcome }) => outcome);
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
  const value = toJson(bundleAtPoint(), started.variant, point, outcomes());
  save("gradings.json", "application/json", `${JSON.stringify(value, null, 1)}\n`);
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
    enqueue(concludeAgain);
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
  hideResult();
  showEntries();
  byId("choose").focus();
}

/** Concludes the whole list at the chosen operating point, so that no list mixes two of them; no file is read again. */
function concludeAgain(): void {
  for (const entry of entries) {
    if (!entry.evidence) continue;
    entry.outcome = outcomeOf(entry.name, entry.evidence);
    isUnsaved = true;
  }
  if (current) show(current);
}

/** Grades the whole list with the chosen model, so that no list mixes two of them. */
async function gradeAgain(): Promise<void> {
  for (const entry of entries) {
    Object.assign(entry, await resultOf(entry.file, entry.name));
    isUnsaved = true;
    forgetOldPictures(entry);
  }
  if (current) show(current);
}

async function changeVariant(): Promise<void> {
  const variants = byId<HTMLSelectElement>("variant");
  const lost = await unreadable();
  if (lost.length > 0 && !window.confirm(strings.lostText(lost))) variants.value = started.variant;
  else if (await load(variants.value)) await gradeAgain();
}

/** Returns the names of the graded photographs whose files can no longer be read, so that they cannot be graded again. */
async function unreadable(): Promise<string[]> {
  const names: string[] = [];
  for (const { evidence, file, name } of entries) {
    const isReadable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    if (evidence && !isReadable) names.push(name);
  }
  return names;
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
