// What the page and its worker say to each other.

import type { Bundle } from "./bundle.ts";
import type { Findings, Outputs } from "./conclusion.ts";
import type { Picture } from "./picture.ts";
import type { Runtime } from "./runtime.ts";

/** A request of the page. `bytes` are transferred. */
export type Request =
  | { readonly id: number; readonly kind: "start"; readonly variant: string | null }
  | { readonly id: number; readonly kind: "grade"; readonly bytes: ArrayBuffer }
  | { readonly id: number; readonly kind: "profile"; readonly bytes: ArrayBuffer; readonly rounds: number };

/** What was loaded. Times are in milliseconds from the start of the worker. */
export interface Started extends Runtime {
  readonly bundle: Bundle;
  readonly variant: string;
  readonly variants: readonly string[];
  readonly loadMs: number;
}

/** The pictures of a photograph for the screen: the model's input, and the photograph, reduced, with its fundus circle. */
export interface Pictures {
  readonly prepared: Picture;
  readonly photo: Picture;
  readonly circle: { readonly x: number; readonly y: number; readonly radius: number } | null;
}

/** What was found in a photograph, what the model returned for it, and its pictures. */
export interface Graded {
  readonly findings: Findings;
  readonly outputs: Outputs;
  readonly pictures: Pictures;
}

export type StageTimes = Readonly<Record<string, readonly number[]>>;

/** The answer to a request. */
export type Answer =
  | { readonly id: number; readonly result: Started | Graded | StageTimes }
  | { readonly id: number; readonly error: string };
