// Turns measured times into the form of profile.json (edge_demo/profiler.py).

import type { StageTimes, Started } from "./messages.ts";

/** Returns a percentile with linear interpolation, as numpy.percentile computes it. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

function timing(values: readonly number[]): Readonly<Record<string, number>> {
  return {
    p50_ms: percentile(values, 50),
    p90_ms: percentile(values, 90),
    p95_ms: percentile(values, 95),
    p99_ms: percentile(values, 99),
    iqr_ms: percentile(values, 75) - percentile(values, 25),
  };
}

/**
 * Returns a profile.
 *
 * @param started what was loaded
 * @param firstResultMs from the opening of the page to its first graded photograph; null if it is unknown
 * @param times the milliseconds of each stage
 * @param image a description of the photograph
 */
export function toProfile(started: Started, firstResultMs: number | null, times: StageTimes, image: string): unknown {
  const { total, ...stages } = times;
  return {
    schema_version: 1,
    kind: "profile",
    machine: { browser: navigator.userAgent, cores: navigator.hardwareConcurrency, build: started.build },
    measurements: [
      {
        variant: started.variant,
        threads: started.threads,
        size_mib: started.bundle.models[started.variant].sizeBytes / 2 ** 20,
        load_ms: started.loadMs,
        first_result_ms: firstResultMs,
        stages: Object.fromEntries(Object.entries(stages).map(([name, values]) => [name, timing(values)])),
        total: timing(total),
        repeats: total.length,
        image,
      },
    ],
  };
}
