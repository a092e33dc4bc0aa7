// The bundle beside the page: reads and checks bundle.json, and verifies the model, after edge_demo/bundle.py.

import { DECISIONS } from "./decision.ts";
import { KerasDrError } from "./errors.ts";
import type { GradeSets } from "./gradeSets.ts";
import { readPreprocessing, type Preprocessing } from "./preprocessing.ts";
import { COLOURS, FAULTS, MEASURES, type Limits } from "./quality.ts";
import { sha256 } from "./siteFiles.ts";

const AGAIN = "Load the page again; if that does not help, write the site again with keras-dr web.";
const PREFERRED = ["float32", "int8", "float16", "dynamic", "int16x8"];

export interface ModelFile {
  readonly file: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What the page needs of bundle.json; see `Bundle` in Python. */
export interface Bundle {
  readonly classes: readonly string[];
  readonly referable: readonly number[];
  readonly preprocessing: Preprocessing;
  readonly threshold: number;
  /** Name -> threshold of the operating points, the default first. */
  readonly operatingPoints: Readonly<Record<string, number>>;
  readonly models: Readonly<Record<string, ModelFile>>;
  readonly failed: readonly string[];
  readonly decision: string;
  readonly qualityLimits: Limits | null;
  readonly colourLimits: Limits | null;
  /** Fault -> value of its measure beyond which the grader failed on degraded photographs. */
  readonly gradabilityLimits: Readonly<Record<string, number>>;
  readonly trainedOn: string;
  readonly gradeSets: GradeSets | null;
}

type Values = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(key: string): KerasDrError {
  return new KerasDrError(`The value of ${key} in bundle.json is missing or of the wrong type.`, AGAIN);
}

function recordAt(values: Values, key: string): Values {
  const value = values[key];
  if (!isRecord(value)) throw wrong(key);
  return value;
}

function numberAt(values: Values, key: string): number {
  const value = values[key];
  if (typeof value !== "number") throw wrong(key);
  return value;
}

function textAt(values: Values, key: string): string {
  const value = values[key];
  if (typeof value !== "string") throw wrong(key);
  return value;
}

function listAt<Kind>(values: Values, key: string, is: (value: unknown) => value is Kind): Kind[] {
  const value = values[key];
  if (!Array.isArray(value) || !value.every(is)) throw wrong(key);
  return value;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isNumber = (value: unknown): value is number => typeof value === "number";

/** Reads and checks a manifest. */
export function readBundle(manifest: unknown): Bundle {
  if (!isRecord(manifest) || manifest.schema_version !== 1) {
    throw new KerasDrError("The file bundle.json is not a manifest that this page reads.", AGAIN);
  }
  const models: Record<string, ModelFile> = {};
  const entries = recordAt(manifest, "models");
  for (const name of Object.keys(entries)) {
    const entry = recordAt(entries, name);
    const file = textAt(entry, "file");
    if (!/^[\w.-]+$/.test(file)) throw wrong("file");
    models[name] = { file, sha256: textAt(entry, "sha256"), sizeBytes: numberAt(entry, "size_bytes") };
  }
  const classes = listAt(manifest, "classes", isText);
  const referable = listAt(manifest, "referable", isNumber);
  if (referable.some((index) => !(index in classes))) throw wrong("referable");
  const decision = "decision" in manifest ? textAt(manifest, "decision") : "argmax";
  if (!(decision in DECISIONS)) throw wrong("decision");
  return {
    classes,
    referable,
    preprocessing: readPreprocessing(recordAt(manifest, "preprocessing")),
    threshold: numberAt(manifest, "threshold"),
    operatingPoints: operatingPoints(manifest),
    models,
    failed: failedVariants(manifest),
    decision,
    qualityLimits: limitsAt(manifest, "quality_limits", MEASURES),
    colourLimits: limitsAt(manifest, "colour_limits", COLOURS),
    gradabilityLimits: gradabilityLimits(manifest),
    trainedOn: trainedOn(manifest),
    gradeSets: gradeSets(manifest),
  };
}

function operatingPoints(manifest: Values): Record<string, number> {
  const points: Record<string, number> = { default: numberAt(manifest, "threshold") };
  if (!isRecord(manifest.operating_points)) return points;
  for (const [name, point] of Object.entries(manifest.operating_points)) {
    if (isRecord(point) && typeof point.value === "number") points[name] = point.value;
  }
  return points;
}

function failedVariants(manifest: Values): string[] {
  const { parity } = manifest;
  return isRecord(parity) && isRecord(parity.failures) ? Object.keys(parity.failures) : [];
}

function limitsAt(manifest: Values, key: string, names: readonly string[]): Limits | null {
  if (!(key in manifest)) return null;
  const limits = recordAt(manifest, key);
  if (Object.keys(limits).length === 0) return null;
  const pairs: Record<string, readonly [number, number]> = {};
  for (const name of names) {
    const [low, high, ...more] = listAt(limits, name, isNumber);
    if (high === undefined || more.length > 0) throw wrong(key);
    pairs[name] = [low, high];
  }
  return pairs;
}

function gradabilityLimits(manifest: Values): Record<string, number> {
  if (!isRecord(manifest.gradability_limits)) return {};
  const limits: Record<string, number> = {};
  for (const [fault, limit] of Object.entries(manifest.gradability_limits)) {
    if (!FAULTS.includes(fault as (typeof FAULTS)[number]) || typeof limit !== "number") throw wrong("gradability_limits");
    limits[fault] = limit;
  }
  return limits;
}

function gradeSets(manifest: Values): GradeSets | null {
  if (manifest.grade_sets === undefined || manifest.grade_sets === null) return null;
  const about = recordAt(manifest, "grade_sets");
  const limit = numberAt(about, "limit");
  const coverage = numberAt(about, "coverage");
  if (!(limit >= 0 && limit <= 1) || !(coverage > 0 && coverage < 1)) throw wrong("grade_sets");
  return { limit, coverage };
}

function trainedOn(manifest: Values): string {
  if (!("trained_on" in manifest)) return "";
  const about = recordAt(manifest, "trained_on");
  const count = numberAt(about, "photographs");
  let words = `trained on ${count} photograph${count === 1 ? "" : "s"}`;
  if ("origin" in about) words += ` of ${textAt(about, "origin")}`;
  if (about.other_graders) words += ", and learned from other graders";
  return words;
}

/**
 * Returns the variants that this browser can run exactly, the preferred one first.
 *
 * Without relaxed SIMD, the runtime computes int8 models differently, by up to .02 of a probability; so they are left
 * out there. A variant that differs too much from the float model is only in a site whose maker named it; it comes last.
 */
export function usableVariants(bundle: Bundle, hasRelaxedSimd: boolean): string[] {
  const names = PREFERRED.filter((name) => name in bundle.models && (hasRelaxedSimd || name !== "int8"));
  const hasFailed = (name: string) => bundle.failed.includes(name);
  return [...names.filter((name) => !hasFailed(name)), ...names.filter(hasFailed)];
}

/** Returns what is to be said of a model that failed its comparison, a sentence; "" of one that passed. */
export function modelDoubt(bundle: Bundle, variant: string): string {
  if (!bundle.failed.includes(variant)) return "";
  return `The model ${variant} failed its comparison at export: it differs too much from the float model.`;
}

/** Refuses a file whose SHA-256 is not the manifest's. */
export async function verify(data: Uint8Array<ArrayBuffer>, model: ModelFile): Promise<void> {
  const digits = await sha256(data);
  if (digits !== model.sha256.toLowerCase()) {
    const problem = `The file ${model.file} (${data.length} bytes) has the SHA-256 ${digits}`;
    throw new KerasDrError(`${problem}, but the manifest says ${model.sha256}.`, AGAIN);
  }
}
