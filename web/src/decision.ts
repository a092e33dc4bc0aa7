// The rule that turns probabilities into one grade, and the margin: keras_dr/core/decision.py.

export const MARGIN = 0.05;

type Rule = (probabilities: Float32Array, positive: number, threshold: number) => number;

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

/** Returns the positive one of two classes if its probability reaches the threshold; see `Cut` in Python. */
function cut(probabilities: Float32Array, positive: number, threshold: number): number {
  return probabilities[positive] >= threshold ? positive : 1 - positive;
}

export const DECISIONS: Readonly<Record<string, Rule>> = { argmax: mostProbable, median, threshold: cut };
