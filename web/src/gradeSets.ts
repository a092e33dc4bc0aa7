// Sets of neighbouring grades that hold the true grade with a stated coverage: keras_dr/core/grade_sets.py.

import { classWords } from "./names.ts";

/** How sets are made: the probability that the grades before a grade of the set may have together, and the coverage. */
export interface GradeSets {
  readonly limit: number;
  readonly coverage: number;
}

/** The set of one photograph. */
export interface GradeSet {
  readonly grades: readonly string[];
  readonly words: string;
  readonly coverage: number;
}

/** Returns the set that begins with the predicted grade and grows by the more probable neighbour. */
export function gradeSet(sets: GradeSets, classes: readonly string[], probabilities: Float32Array, best: number): GradeSet {
  let low = best;
  let high = best;
  let total = probabilities[best];
  while (total <= sets.limit && high - low < classes.length - 1) {
    const below = low > 0 ? probabilities[low - 1] : -1;
    const above = high < classes.length - 1 ? probabilities[high + 1] : -1;
    if (above >= below) {
      high += 1;
      total += above;
    } else {
      low -= 1;
      total += below;
    }
  }
  const grades = classes.slice(low, high + 1);
  return { grades, words: setWords(grades), coverage: sets.coverage };
}

function setWords(grades: readonly string[]): string {
  const first = classWords(grades[0]);
  const last = classWords(grades.at(-1)!);
  if (grades.length === 1) return first;
  return grades.length === 2 ? `${first} or ${last}` : `${first} to ${last}`;
}

/** Returns what is said of a set, a sentence; "" if the grader states none. */
export function setSentence(set: GradeSet | null): string {
  return set ? `With ${Number((100 * set.coverage).toPrecision(6))} % coverage the grade is ${set.words}.` : "";
}
