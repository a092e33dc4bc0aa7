// Every text of the page, so that a translation changes this file alone.

import type { Grading } from "./conclusion.ts";
import { setSentence } from "./gradeSets.ts";
import { asSentence, classWords } from "./names.ts";

export const TEXTS: Readonly<Record<string, string>> = {
  title: "Fundus grader",
  notice: "For research, not a medical device. The photographs stay on this device.",
  chooseTitle: "Photographs",
  choose: "Choose photographs",
  take: "Take a photo",
  dropHint: "JPEG or PNG. You can also drop files here.",
  updateReady: "A new version of this page is ready.",
  loadUpdate: "Use it now",
  heatSlider: "Strength of the heat map",
  probabilities: "Probability of each grade",
  listTitle: "Graded so far",
  saveCsv: "Save as CSV",
  saveJson: "Save as JSON",
  clear: "Clear the list",
  settings: "Settings and speed",
  operatingPoint: "Operating point",
  model: "Model",
  measure: "Measure the speed",
  modelCard: "Model card",
  footer: "For research, not a medical device. Nothing is sent anywhere: this page works without a network.",
};

export const LOADING = "Loading the grader …";
export const READY = "Ready. Choose a photograph.";
export const NOT_KEPT = "Ready, but this browser cannot keep the page for use without a network.";
export const NOT_GRADED = "Not graded";
export const MEASURE_FIRST = "Grade a photograph first: it is the one that is measured.";

export const UNREADABLE = "The file cannot be read: it was moved, changed or removed, or it is a folder. Choose the photographs again.";
export const UNSAVED = "The list has results that are not saved. Go on without them?";

const ACTIONS: Readonly<Record<Grading["action"], string>> = {
  "refer: by grade": "Refer",
  "refer: by threshold": "Refer",
  "refer: uncertain": "Refer: uncertain",
  retake: "Take it again",
  none: "No referral",
};

/** Words of the classes of the ICDR scale; other classes keep their names. */
const GRADES: Readonly<Record<string, string>> = {
  no_dr: "no retinopathy",
  mild: "mild retinopathy",
  moderate: "moderate retinopathy",
  severe: "severe retinopathy",
  proliferative: "proliferative retinopathy",
};

const FAULTS: Readonly<Record<string, string>> = {
  "cut off": "It is cut off: move the camera so that the whole circle is in the picture.",
  dark: "It is too dark: use more light.",
  bright: "It is too bright: use less light.",
  flat: "It lacks contrast: clean the lens, and look for a clouded lens of the eye.",
  blurred: "It is blurred: focus, and take it again.",
  "too cut off to grade": "Too much of the fundus is cut off for this grader: aim again.",
  "too dark to grade": "It is too dark for this grader: give more light, or widen the pupil.",
  "too bright to grade": "It is too bright for this grader: give less light, and avoid reflections.",
  "too flat to grade": "It has too little contrast for this grader: clean the lens, and look for a clouded lens of the eye.",
  "too blurred to grade": "It is too blurred for this grader: focus, and take it again.",
  "no fundus": "No fundus was found in it: take it again, with the fundus as a bright disc on black.",
  "two fundi": "It shows two fundi: give each as a photograph of its own.",
};

export function actionText(action: Grading["action"]): string {
  return ACTIONS[action];
}

export function gradeText(grade: string): string {
  return GRADES[grade] ?? classWords(grade);
}

/** The grade and why the action follows, in sentences. */
export function reasonText(grading: Grading): string {
  return `${asSentence(gradeText(grading.grade))} ${grading.reason} ${setSentence(grading.grade_set)}`.trimEnd();
}

/** Remarks on the photograph and on the model, each a sentence. */
export function remarksOn(grading: Grading): string[] {
  const remarks = grading.faults.map((fault) => FAULTS[fault] ?? `Fault: ${fault}.`);
  if (grading.stretched) remarks.push("Its fundus was an ellipse, as in a squashed photograph; it was stretched to a circle.");
  if (grading.unfamiliar.length > 0) {
    const words = grading.unfamiliar.join(", ");
    remarks.push(`Its colours are unlike those of the training photographs (${words}): the grade may be shifted.`);
  }
  if (grading.model_doubt) remarks.push(grading.model_doubt);
  return remarks;
}

/** What the grader was trained on, a sentence; "" if its maker does not say. */
export function trainedText(grading: Grading): string {
  return grading.trained_on && asSentence(grading.trained_on);
}

export function photoText(name: string, hasCircle: boolean): string {
  return `${name}: the photograph${hasCircle ? ", with the circle of its fundus" : "; no fundus was found"}`;
}

export function photoCaption(hasCircle: boolean): string {
  return hasCircle ? "The photograph, with the circle of its fundus" : "The photograph. No fundus was found in it.";
}

/** Says what the heat map shows; a map without heat is said to be one. */
export function heatCaption(grade: string, hasHeat: boolean): string {
  if (!hasHeat) return `No place speaks for “${gradeText(grade)}”`;
  return `Where the evidence for “${gradeText(grade)}” lies: the lighter the blue, the more`;
}

/** The action and the grade, for the list; the page must not hide that a photograph has faults. */
export function listText(grading: Grading): string {
  const result = `${actionText(grading.action)} · ${gradeText(grading.grade)}`;
  return grading.faults.length > 0 ? `${result} · ${grading.faults.join(", ")}` : result;
}

/** The text of a model card without the block of metadata at its beginning. */
export function cardText(markdown: string): string {
  return markdown.replace(/^---\n[\s\S]*?\n---\n+/, "");
}

/** Asks before the results of photographs are lost. */
export function lostText(names: readonly string[]): string {
  const listed = names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
  const files = names.length === 1 ? "its file" : "their files";
  return `The other model cannot grade ${listed}, because ${files} can no longer be read. Change the model and lose these results?`;
}

export function tooLargeText(mebibytes: number, most: number): string {
  return `The file has ${mebibytes.toFixed(0)} MiB; it may have at most ${most}. Reduce it first.`;
}

export function progressText(done: number, all: number, name: string): string {
  return `Grading ${name} (${done + 1} of ${all}) …`;
}

/** Why a photograph of the list is shown without its pictures. */
export function noPicturesText(name: string, reason: string): string {
  return `The pictures of ${name} cannot be drawn again. ${reason}`;
}

export function doneText(count: number, failed: number): string {
  if (count === 1) return failed > 0 ? "The photograph could not be graded." : "1 photograph done.";
  return failed > 0 ? `${count} photographs done; ${failed} of them could not be graded.` : `${count} photographs done.`;
}

export function countsText(refer: number, retake: number, none: number, failed: number): string {
  return `${refer} to refer, ${retake} to take again, ${none} without referral, ${failed} not graded.`;
}

/** The name of a variant, and that it failed the comparison at its export, if so. */
export function variantText(name: string, hasFailed: boolean): string {
  return hasFailed ? `${name} (differs too much from the float model)` : name;
}

export function buildText(variant: string, build: string, threads: number, seconds: number): string {
  const word = threads === 1 ? "one thread" : `${threads} threads`;
  return `Running ${variant}, ${build} build, ${word}; loaded in ${seconds.toFixed(1)} s.`;
}
