// Concludes a photograph's grade and action from what was found in it and from what a model returned, after
// `Grader.conclude` in edge_demo/grader.py. Needs neither the photograph nor the model, so that the page can conclude again
// at another operating point.

import { modelDoubt, type Bundle } from "./bundle.ts";
import { DECISIONS, MARGIN } from "./decision.ts";
import { KerasDrError } from "./errors.ts";
import type { Fundus } from "./fundus.ts";
import { gradeSet, type GradeSet } from "./gradeSets.ts";
import { classWords } from "./names.ts";
import type { HeatMap } from "./overlay.ts";

const MOST_DECIMALS = 17; // of probabilities in sentences

/** What a model returns: probabilities (C) and heat maps (h, w, C), both float32. */
export interface Outputs {
  readonly probabilities: Float32Array;
  readonly heatmaps: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** What was found in a photograph before the model saw it. */
export interface Findings {
  readonly fundus: Fundus | null;
  readonly faults: readonly string[];
  readonly stretched: boolean;
  readonly unfamiliar: readonly string[];
}

export type Action = "refer: by grade" | "refer: by threshold" | "refer: uncertain" | "retake" | "none";

/** The result for one photograph; see `Grading` in Python. */
export interface Grading {
  readonly path: string;
  readonly grade: string;
  readonly probabilities: Readonly<Record<string, number>>;
  readonly p_referable: number;
  readonly referred: boolean;
  readonly fundus_found: boolean;
  readonly faults: readonly string[];
  readonly action: Action;
  readonly reason: string;
  readonly stretched: boolean;
  readonly unfamiliar: readonly string[];
  readonly trained_on: string;
  readonly grade_set: GradeSet | null;
  readonly model_doubt: string;
  readonly heatmap: HeatMap;
}

/**
 * Returns the result for one photograph.
 *
 * @param bundle with the threshold to use
 * @param variant the model that returned the outputs
 * @param path the name under which the photograph was given
 * @throws KerasDrError if a probability is not a finite number
 */
export function conclude(bundle: Bundle, variant: string, path: string, findings: Findings, outputs: Outputs): Grading {
  const { probabilities, heatmaps, width, height } = outputs;
  if (!probabilities.every(Number.isFinite)) {
    throw new KerasDrError("The model's probabilities are not all finite numbers.", "Choose another model.");
  }
  const best = DECISIONS[bundle.decision](probabilities, bundle.referable[0], bundle.threshold);
  const score = bundle.referable.reduce((sum, index) => sum + probabilities[index], 0);
  const values = new Float32Array(width * height);
  for (let place = 0; place < values.length; place++) values[place] = heatmaps[place * bundle.classes.length + best];
  const { fundus, faults, stretched, unfamiliar } = findings;
  const action = actionFor(bundle, best, score, faults);
  return {
    path,
    grade: bundle.classes[best],
    probabilities: Object.fromEntries(bundle.classes.map((label, index) => [label, probabilities[index]])),
    p_referable: score,
    referred: action.startsWith("refer"),
    fundus_found: fundus !== null || bundle.preprocessing.fundus === "none",
    faults,
    action,
    reason: explain(bundle, action, best, score, faults),
    stretched,
    unfamiliar,
    trained_on: bundle.trainedOn,
    grade_set: bundle.gradeSets && gradeSet(bundle.gradeSets, bundle.classes, probabilities, best),
    model_doubt: modelDoubt(bundle, variant),
    heatmap: { values, width, height },
  };
}

/** Returns the first action that applies; see `ReferralRule` in Python. */
function actionFor({ threshold, referable }: Bundle, best: number, score: number, faults: readonly string[]): Action {
  if (referable.includes(best)) return "refer: by grade";
  if (referable.length > 0 && score >= threshold) return "refer: by threshold";
  if (referable.length > 0 && score >= threshold - MARGIN) return "refer: uncertain";
  return faults.length > 0 ? "retake" : "none";
}

/** Returns the reason for an action as a sentence. */
function explain(bundle: Bundle, action: Action, best: number, score: number, faults: readonly string[]): string {
  const { threshold, referable } = bundle;
  const [probability, limit] = toldApart(score, threshold);
  const grade = classWords(bundle.classes[best]);
  const condition = "The probability of referable DR";
  if (action === "refer: by grade" && bundle.decision !== "threshold") return `The grade ${grade} is referable.`;
  if (action === "refer: by grade" || action === "refer: by threshold") {
    return `${condition}, ${probability}, reaches the threshold ${limit}.`;
  }
  if (action === "refer: uncertain") {
    return `${condition}, ${probability}, is at most ${MARGIN} below the threshold ${limit}: uncertain.`;
  }
  if (faults.length > 0) return `The photograph has faults: ${faults.join(", ")}.`;
  if (referable.length === 0) return "No class of this grader is referred.";
  if (threshold > 1) return `The grade ${grade} is not referable.`;
  return `The grade ${grade} is not referable, and the probability ${probability} is below ${limit}.`;
}

/** Returns two numbers with three decimals, or with as many more as tell them apart. */
function toldApart(one: number, other: number): readonly [string, string] {
  let decimals = 3;
  while (one !== other && one.toFixed(decimals) === other.toFixed(decimals) && decimals < MOST_DECIMALS) decimals++;
  return [one.toFixed(decimals), other.toFixed(decimals)];
}
