// The rule that turns probabilities into one grade: keras_dr/core/decision.py.

type Rule = (probabilities: Float32Array) => number;

function mostProbable(probabilities: Float32Array): number {
  return probabilities.indexOf(Math.max(...probabilities));
}

/** Returns the first class at which the cumulative probability reaches one half. */
function median(probabilities: Float32Array): number {
  const half = 0.5 * probabilities.reduce((sum, value) => sum + value, 0);
  let cumulative = 0;
  return probabilities.findIndex((value) => {
    cumulative += value;
    return cumulative >= half;
  });
}

export const DECISIONS: Readonly<Record<string, Rule>> = { argmax: mostProbable, median };
