// Gradings as a CSV table and as JSON, with the columns and keys of edge_demo/results.py.

import type { Bundle } from "./bundle.ts";
import type { Grading } from "./conclusion.ts";
import { MARGIN } from "./decision.ts";
import { asSentence } from "./names.ts";

export const FOOTER = "Research use only, not a medical device.";
const SUFFIX = /\.(jpg|jpeg|png|tif|tiff|bmp|webp|jpe|jfif|ppm|pgm|pnm)$/i;

/** A photograph that was graded, or the reason why it was not. */
export type Outcome =
  | { readonly path: string; readonly grading: Grading }
  | { readonly path: string; readonly error: string };

export function imageId(path: string): string {
  const name = path.split("/").at(-1)!;
  return name.replace(SUFFIX, "") || name;
}

/** Returns a name that is not taken yet, with a number where needed: some cameras give each photograph the same name. */
export function numbered(name: string, taken: readonly string[]): string {
  const known = new Set(taken.map((other) => other.toLowerCase()));
  const stem = imageId(name);
  let free = name;
  for (let number = 2; known.has(free.toLowerCase()); number++) free = `${stem}-${number}${name.slice(stem.length)}`;
  return free;
}

/** Returns what every answer ends with. */
export function notice(bundle: Bundle): string {
  if (!bundle.trainedOn) return FOOTER;
  return `${asSentence(bundle.trainedOn)} ${FOOTER}`;
}

type Cell = string | number | undefined;

/** Returns a table with a row for each photograph, in the given order. */
export function toCsv(bundle: Bundle, outcomes: readonly Outcome[]): string {
  const columns = ["image_id", "path", "prediction", ...bundle.classes.map((name) => `p_${name}`), "p_referable"];
  columns.push("referred", "fundus_found", "faults", "action", "reason", "error");
  if (bundle.trainedOn) columns.push("trained_on");
  if (bundle.gradeSets) columns.push("grade_set");
  if (outcomes.some((outcome) => "grading" in outcome && outcome.grading.model_doubt)) columns.push("model_doubt");
  if (outcomes.some((outcome) => "grading" in outcome && outcome.grading.unfamiliar.length)) columns.push("unfamiliar");
  const unique = [...new Set(columns)];
  const lines = [unique.map(quoted).join(",")];
  for (const outcome of outcomes) {
    const row = rowOf(outcome);
    lines.push(unique.map((column) => cellText(row[column], column.startsWith("p_"))).join(","));
  }
  return `${lines.join("\n")}\n`;
}

function rowOf(outcome: Outcome): Record<string, Cell> {
  const { path } = outcome;
  if ("error" in outcome) return { image_id: imageId(path), path, error: outcome.error };
  const { grading } = outcome;
  const probabilities = Object.entries(grading.probabilities).map(([name, value]) => [`p_${name}`, value]);
  return {
    image_id: imageId(path),
    path,
    prediction: grading.grade,
    ...(Object.fromEntries(probabilities) as Record<string, number>),
    p_referable: grading.p_referable,
    referred: Number(grading.referred),
    fundus_found: Number(grading.fundus_found),
    faults: grading.faults.join(";"),
    action: grading.action,
    reason: grading.reason,
    ...(grading.trained_on ? { trained_on: grading.trained_on } : {}),
    ...(grading.grade_set ? { grade_set: grading.grade_set.words } : {}),
    ...(grading.model_doubt ? { model_doubt: grading.model_doubt } : {}),
    ...(grading.unfamiliar.length ? { unfamiliar: grading.unfamiliar.join(";") } : {}),
  };
}

function cellText(value: Cell, isReal: boolean): string {
  if (value === undefined) return "";
  if (typeof value === "number") return isReal ? pythonFloat(value) : String(value);
  return quoted(value);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Returns a number as Python's repr writes it. */
export function pythonFloat(value: number): string {
  if (Number.isInteger(value)) return value.toFixed(1);
  if (Math.abs(value) >= 1e-4) return String(value);
  const [digits, exponent] = value.toExponential().split("e-");
  return `${digits}e-${exponent.padStart(2, "0")}`;
}

/** Returns the value that `edge_demo grade --json` writes. */
export function toJson(bundle: Bundle, variant: string, point: string, outcomes: readonly Outcome[]): unknown {
  const graded = outcomes.flatMap((outcome) => ("grading" in outcome ? [outcome.grading] : []));
  const failures = outcomes.flatMap((outcome) => ("error" in outcome ? [{ path: outcome.path, error: outcome.error }] : []));
  const isReferral = ({ action }: Grading): boolean => action.startsWith("refer");
  const isRetake = ({ action }: Grading): boolean => action === "retake";
  const referred = graded.filter(isReferral).length;
  const retake = graded.filter(isRetake).length;
  return {
    schema_version: 1,
    kind: "gradings",
    bundle: "bundle",
    variant,
    model_sha256: bundle.models[variant].sha256,
    operating_point: point,
    threshold: bundle.threshold,
    margin: MARGIN,
    referable: bundle.referable.map((index) => bundle.classes[index]),
    photographs: graded.map(photographJson),
    failures,
    counts: {
      given: outcomes.length,
      referred,
      retake,
      no_action: graded.length - referred - retake,
      failed: failures.length,
    },
    notice: notice(bundle),
  };
}

function photographJson(grading: Grading): unknown {
  const { path, grade, probabilities, p_referable, referred, fundus_found, faults, action, reason } = grading;
  const { stretched, unfamiliar, trained_on, grade_set, model_doubt } = grading;
  const first = { image_id: imageId(path), path, grade, probabilities, p_referable, referred, fundus_found };
  const about = { ...first, faults, action, reason, stretched, unfamiliar, trained_on };
  return { ...about, ...(grade_set ? { grade_set } : {}), ...(model_doubt ? { model_doubt } : {}) };
}
