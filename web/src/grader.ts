// Takes a photograph as far as the outputs of a bundle's model, after edge_demo/grader.py; conclusion.ts goes on from there.

import type { Bundle } from "./bundle.ts";
import type { Findings, Outputs } from "./conclusion.ts";
import type { JpegDecoder } from "./jpeg.ts";
import type { Picture } from "./picture.ts";
import { circleMask, preparePhotograph, readPhotograph, type Photograph } from "./preprocessing.ts";
import { faultsOf, measure, unfamiliar } from "./quality.ts";

/** Runs a model on RGB of the bundle's size squared. */
export type Model = (image: Uint8Array) => Promise<Outputs>;

/** The model's input, and what was found in the photograph. */
export interface Prepared {
  readonly image: Picture;
  readonly findings: Findings;
}

export class Grader {
  private readonly bundle: Bundle;
  private readonly decoder: JpegDecoder;
  private readonly model: Model;

  constructor(bundle: Bundle, decoder: JpegDecoder, model: Model) {
    this.bundle = bundle;
    this.decoder = decoder;
    this.model = model;
  }

  /** Returns a photograph's pixels at the scale that the model's input needs, and the fundus circle in them. */
  decode(data: Uint8Array): Promise<Photograph> {
    return readPhotograph(this.decoder, data, this.bundle.preprocessing);
  }

  /** Returns the model's input, and what was found in a decoded photograph. */
  prepare(photograph: Photograph): Prepared {
    const image = preparePhotograph(photograph, this.bundle.preprocessing);
    return { image, findings: this.find(photograph, image) };
  }

  private find(photograph: Photograph, image: Picture): Findings {
    const { preprocessing: spec, qualityLimits, colourLimits, gradabilityLimits } = this.bundle;
    const { fundus, stretched, several } = photograph;
    const findings = { fundus, faults: [], stretched: false, unfamiliar: [] };
    if (several) return { ...findings, faults: ["two fundi"] };
    if (!fundus && spec.fundus !== "none") return { ...findings, faults: ["no fundus"] };
    const hasLimits = qualityLimits !== null || Object.keys(gradabilityLimits).length > 0;
    if (!fundus || !hasLimits) return { ...findings, stretched };
    const plain = spec.enhance === "none" ? image : preparePhotograph(photograph, { ...spec, enhance: "none" });
    const measures = measure(plain, circleMask(spec.size));
    return {
      fundus,
      stretched,
      faults: faultsOf(measures, qualityLimits, gradabilityLimits),
      unfamiliar: colourLimits ? unfamiliar(measures, colourLimits) : [],
    };
  }

  invoke(image: Picture): Promise<Outputs> {
    return this.model(image.pixels);
  }
}
