// Grades a photograph with a model of a bundle, after edge_demo/grader.py. The model is given as a function, so that the
// same code runs in the page's worker and in tests.

import { modelDoubt, type Bundle } from "./bundle.ts";
import { DECISIONS, MARGIN } from "./decision.ts";
import { KerasDrError } from "./errors.ts";
import type { Fundus } from "./fundus.ts";
import { gradeSet, type GradeSet } from "./gradeSets.ts";
import type { JpegDecoder } from "./jpeg.ts";
import { classWords } from "./names.ts";
import type { HeatMap } from "./overlay.ts";
import type { Picture } from "./picture.ts";
import { circleMask, preparePhotograph, readPhotograph, type Photograph } from "./preprocessing.ts";
import { faultsOf, measure, unfamiliar } from "./quality.ts";

const MOST_DECIMALS = 17; // of probabilities in sentences

/** What a model returns: probabilities (C) and heat maps (h, w, C), both float32. */
export interface Outputs {
  readonly probabilities: Float32Array;
  readonly heatmaps: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** Runs a model on RGB of the bundle's size squared. */
export type Model = (image: Uint8Array) => Promise<Outputs>;

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
  readonly prepared: Picture;
  readonly fundus: Fundus | null;
}

interface Prepared {
  readonly image: Picture;
  readonly fundus: Fundus | null;
  readonly faults: readonly string[];
  readonly stretched: boolean;
  readonly unfamiliar: readonly string[];
}

/** Returns two numbers with three decimals, or with as many more as tell them apart. */
function toldApart(one: number, other: number): readonly [string, string] {
  let decimals = 3;
  while (one !== other && one.toFixed(decimals) === other.toFixed(decimals) && decimals < MOST_DECIMALS) decimals++;
  return [one.toFixed(decimals), other.toFixed(decimals)];
}

export class Grader {
  readonly bundle: Bundle;
  private readonly decoder: JpegDecoder;
  private readonly model: Model;
  private readonly variant: string;
  private readonly margin: number;

  constructor(bundle: Bundle, decoder: JpegDecoder, model: Model, variant: string, margin = MARGIN) {
    this.bundle = bundle;
    this.decoder = decoder;
    this.model = model;
    this.variant = variant;
    this.margin = margin;
  }

  /** Returns a photograph's pixels at the scale that the model's input needs, and the fundus circle in them. */
  decode(data: Uint8Array): Promise<Photograph> {
    return readPhotograph(this.decoder, data, this.bundle.preprocessing);
  }

  /** Returns the model's input, the fundus circle and the faults of a decoded photograph. */
  prepare(photograph: Photograph): Prepared {
    const { preprocessing: spec, qualityLimits, colourLimits, gradabilityLimits } = this.bundle;
    const image = preparePhotograph(photograph, spec);
    const { fundus, stretched } = photograph;
    const prepared = { image, fundus, faults: [], stretched: false, unfamiliar: [] };
    if (photograph.several) return { ...prepared, faults: ["two fundi"] };
    if (!fundus && spec.fundus !== "none") return { ...prepared, faults: ["no fundus"] };
    const hasLimits = qualityLimits !== null || Object.keys(gradabilityLimits).length > 0;
    if (!fundus || !hasLimits) return { ...prepared, stretched };
    const plain = spec.enhance === "none" ? image : preparePhotograph(photograph, { ...spec, enhance: "none" });
    const measures = measure(plain, circleMask(spec.size));
    return {
      ...prepared,
      stretched,
      faults: faultsOf(measures, qualityLimits, gradabilityLimits),
      unfamiliar: colourLimits ? unfamiliar(measures, colourLimits) : [],
    };
  }

  invoke(image: Picture): Promise<Outputs> {
    return this.model(image.pixels);
  }

  /** Returns the result for one photograph. */
  conclude(name: string, prepared: Prepared, outputs: Outputs): Grading {
    const { bundle } = this;
    const { probabilities, heatmaps, width, height } = outputs;
    if (!probabilities.every(Number.isFinite)) {
      throw new KerasDrError("The model's probabilities are not all finite numbers.", "Choose another model.");
    }
    const best = DECISIONS[bundle.decision](probabilities, bundle.referable[0], bundle.threshold);
    const score = bundle.referable.reduce((sum, index) => sum + probabilities[index], 0);
    const values = new Float32Array(width * height);
    for (let place = 0; place < values.length; place++) values[place] = heatmaps[place * bundle.classes.length + best];
    const action = this.actionFor(best, score, prepared.faults);
    return {
      path: name,
      grade: bundle.classes[best],
      probabilities: Object.fromEntries(bundle.classes.map((label, index) => [label, probabilities[index]])),
      p_referable: score,
      referred: action.startsWith("refer"),
      fundus_found: prepared.fundus !== null || bundle.preprocessing.fundus === "none",
      faults: prepared.faults,
      action,
      reason: this.explain(action, bundle.classes[best], score, prepared.faults),
      stretched: prepared.stretched,
      unfamiliar: prepared.unfamiliar,
      trained_on: bundle.trainedOn,
      grade_set: bundle.gradeSets && gradeSet(bundle.gradeSets, bundle.classes, probabilities, best),
      model_doubt: modelDoubt(bundle, this.variant),
      heatmap: { values, width, height },
      prepared: prepared.image,
      fundus: prepared.fundus,
    };
  }

  /** Returns the first action that applies; see `ReferralRule` in Python. */
  private actionFor(best: number, score: number, faults: readonly string[]): Action {
    const { threshold, referable } = this.bundle;
    if (referable.includes(best)) return "refer: by grade";
    if (referable.length > 0 && score >= threshold) return "refer: by threshold";
    if (referable.length > 0 && score >= threshold - this.margin) return "refer: uncertain";
    return faults.length > 0 ? "retake" : "none";
  }

  /** Returns the reason for an action as a sentence. */
  private explain(action: Action, label: string, score: number, faults: readonly string[]): string {
    const { threshold, referable } = this.bundle;
    const [probability, limit] = toldApart(score, threshold);
    const grade = classWords(label);
    const condition = "The probability of referable DR";
    if (action === "refer: by grade" && this.bundle.decision !== "threshold") return `The grade ${grade} is referable.`;
    if (action === "refer: by grade" || action === "refer: by threshold") {
      return `${condition}, ${probability}, reaches the threshold ${limit}.`;
    }
    if (action === "refer: uncertain") {
      return `${condition}, ${probability}, is at most ${this.margin} below the threshold ${limit}: uncertain.`;
    }
    if (faults.length > 0) return `The photograph has faults: ${faults.join(", ")}.`;
    if (referable.length === 0) return "No class of this grader is referred.";
    if (threshold > 1) return `The grade ${grade} is not referable.`;
    return `The grade ${grade} is not referable, and the probability ${probability} is below ${limit}.`;
  }

  /** Decodes, prepares and grades a photograph. */
  async grade(data: Uint8Array, name: string): Promise<Grading> {
    const prepared = this.prepare(await this.decode(data));
    return this.conclude(name, prepared, await this.invoke(prepared.image));
  }
}
