// What the page and its worker say to each other.

import type { Bundle } from "./bundle.ts";
import type { Grading, Outputs } from "./grader.ts";
import type { Picture } from "./picture.ts";
import type { Runtime } from "./runtime.ts";

/** A request of the page. `bytes` are transferred. */
export type Request =
  | { readonly id: number; readonly kind: "start"; readonly variant: string | null }
  | { readonly id: number; readonly kind: "grade"; readonly bytes: ArrayBuffer; readonly name: string; readonly threshold: number }
  | { readonly id: number; readonly kind: "profile"; readonly bytes: ArrayBuffer; readonly rounds: number };

/** What was loaded. Times are in milliseconds from the start of the worker. */
export interface Started extends Runtime {
  readonly bundle: Bundle;
  readonly variant: string;
  readonly variants: readonly string[];
  readonly loadMs: number;
}

/** A graded photograph, with what the model returned, the photograph, reduced for the screen, and the circle in it. */
export interface View {
  readonly grading: Grading;
  readonly outputs: Outputs;
  readonly photo: Picture;
  readonly circle: { readonly x: number; readonly y: number; readonly radius: number } | null;
}

export type StageTimes = Readonly<Record<string, readonly number[]>>;

/** The answer to a request. */
export type Answer =
  | { readonly id: number; readonly result: Started | View | StageTimes }
  | { readonly id: number; readonly error: string };
